"""A small BERT sentence encoder in numpy, for one text at a time: the same vectors as torch, in less time and without loading torch.

A question of a dozen tokens is 250 million operations; in torch most of its time goes into dispatch and into a tokenizer's wrapping.
Many texts at once are torch's work (`kb.encoder`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from threadpoolctl import ThreadpoolController

    Vector = NDArray[np.float32]

POOLING, NORMALISE = "1_Pooling", "2_Normalize"


@dataclass(frozen=True)
class Norm:
    """A layer norm: `weight` and `bias` [d], `epsilon` under the root."""

    weight: Vector
    bias: Vector
    epsilon: float

    def __call__(self, x: Vector) -> Vector:
        """Each row of `x` [n, d] at mean 0 and variance 1, then scaled and moved."""
        centred = x - x.mean(axis=-1, keepdims=True)
        scale = self.weight / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + np.float32(self.epsilon))
        return np.asarray(centred * scale + self.bias, np.float32)


@dataclass(frozen=True)
class Dense:
    """`x @ weight + bias`, weight [in, out]."""

    weight: Vector
    bias: Vector

    def __call__(self, x: Vector) -> Vector:
        """`x` [n, in] -> [n, out]."""
        return np.asarray(x @ self.weight + self.bias, np.float32)


@dataclass(frozen=True)
class Layer:
    """One transformer block. `attend` gives query, key and value side by side; the query is scaled already."""

    attend: Dense  # [d, 3 d]
    gather: Dense  # [d, d]
    gathered: Norm
    widen: Dense  # [d, f]
    narrow: Dense  # [f, d]
    narrowed: Norm
    heads: int

    def __call__(self, x: Vector) -> Vector:
        """`x` [n, d] -> [n, d]."""
        from scipy.special import erf

        tokens, width = x.shape
        query, key, value = self.attend(x).reshape(tokens, 3, self.heads, -1).transpose(1, 2, 0, 3)  # [heads, n, d / heads] each
        weights = np.exp((scores := query @ key.transpose(0, 2, 1)) - scores.max(axis=-1, keepdims=True))  # [heads, n, n]
        weights /= weights.sum(axis=-1, keepdims=True)
        x = self.gathered(x + self.gather((weights @ value).transpose(1, 0, 2).reshape(tokens, width)))
        wide = self.widen(x)  # [n, f]
        wide *= np.float32(0.5) * (1 + erf(wide * np.float32(np.sqrt(0.5))))
        return self.narrowed(x + self.narrow(wide))


@dataclass(frozen=True)
class Bert:
    """Text -> vector of unit length: mean over the last layer's tokens. `tokenizer` cuts at the model's longest text.

    `threads` holds numpy's libraries to one thread meanwhile: a second one gains little, and spins while other programs keep its core.
    """

    tokenizer: Any
    threads: ThreadpoolController
    words: Vector  # [vocabulary, d]
    places: Vector  # [longest, d], with the one token type added
    first: Norm
    layers: tuple[Layer, ...]

    def encode(self, text: str) -> Vector:
        """[d]."""
        tokens = self.tokenizer.encode(text).ids
        with self.threads.limit(limits=1):
            x = self.first(self.words[tokens] + self.places[: len(tokens)])  # [n, d]
            for layer in self.layers:
                x = layer(x)
        mean = x.mean(axis=0)
        return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), np.float32)


def load(folder: Path) -> Bert | None:
    """The encoder of a sentence-transformers folder; None where it is of another kind than this module computes."""
    config = _json(folder / "config.json")
    if not _is_plain_bert(folder, config) or not (folder / "model.safetensors").is_file():
        return None
    from safetensors.numpy import load_file
    from threadpoolctl import ThreadpoolController

    tensors = load_file(str(folder / "model.safetensors"))
    places = tensors["embeddings.position_embeddings.weight"] + tensors["embeddings.token_type_embeddings.weight"][0]
    epsilon = float(config["layer_norm_eps"])
    return Bert(
        tokenizer=_tokenizer(folder),
        threads=ThreadpoolController(),
        words=tensors["embeddings.word_embeddings.weight"],
        places=places,
        first=_norm(tensors, "embeddings.LayerNorm", epsilon),
        layers=tuple(_layer(tensors, number, config, epsilon) for number in range(int(config["num_hidden_layers"]))),
    )


def _is_plain_bert(folder: Path, config: Mapping[str, Any]) -> bool:
    """Whether it is BERT with exact GELU, absolute places, mean pooling and unit length, and nothing else."""
    modules = _json(folder / "modules.json")
    pooling = _json(folder / POOLING / "config.json")
    chosen = [name for name, value in pooling.items() if name.startswith("pooling_mode_") and value]
    steps = [entry.get("path") for entry in modules] if isinstance(modules, list) else []
    return (
        config.get("model_type") == "bert"
        and config.get("hidden_act") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
        and steps == ["", POOLING, NORMALISE]
        and chosen == ["pooling_mode_mean_tokens"]
    )


def _tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(int(_json(folder / "sentence_bert_config.json")["max_seq_length"]))
    return tokenizer


def _layer(tensors: Mapping[str, Vector], number: int, config: Mapping[str, Any], epsilon: float) -> Layer:
    name = f"encoder.layer.{number}"
    heads, width = int(config["num_attention_heads"]), int(config["hidden_size"])
    parts = [_dense(tensors, f"{name}.attention.self.{part}") for part in ("query", "key", "value")]
    scale = np.float32(1 / np.sqrt(width / heads))
    parts[0] = Dense(parts[0].weight * scale, parts[0].bias * scale)
    attend = Dense(np.concatenate([part.weight for part in parts], axis=1), np.concatenate([part.bias for part in parts]))
    return Layer(
        attend=attend,
        gather=_dense(tensors, f"{name}.attention.output.dense"),
        gathered=_norm(tensors, f"{name}.attention.output.LayerNorm", epsilon),
        widen=_dense(tensors, f"{name}.intermediate.dense"),
        narrow=_dense(tensors, f"{name}.output.dense"),
        narrowed=_norm(tensors, f"{name}.output.LayerNorm", epsilon),
        heads=heads,
    )


def _dense(tensors: Mapping[str, Vector], name: str) -> Dense:
    return Dense(np.ascontiguousarray(tensors[f"{name}.weight"].T), tensors[f"{name}.bias"])


def _norm(tensors: Mapping[str, Vector], name: str, epsilon: float) -> Norm:
    return Norm(tensors[f"{name}.weight"], tensors[f"{name}.bias"], epsilon)


def _json(file: Path) -> Any:
    """The file's value, empty where there is no such file."""
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
