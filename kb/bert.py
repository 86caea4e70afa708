"""A small BERT sentence encoder: the same vectors as torch, in less time and without loading torch.

A question of a dozen tokens is 250 million operations over 42 MB of weights; torch and numpy lay the weights out anew for each product.
onnxruntime does that once. The graph is made from the encoder's own files when it is loaded.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kb.onnx import Graph

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]

POOLING, NORMALISE = "1_Pooling", "2_Normalize"
TOGETHER = 96
"""Tokens of several texts that go through in one pass; each text sees its own alone."""
FAR = np.float32(-1e4)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bert:
    """Texts -> vectors of unit length: mean over the last layer's tokens. `tokenizer` cuts at the model's longest text."""

    tokenizer: Any
    session: Any  # (x [n, d], mask [n, n], pool [b, n]) -> [b, d], [n, d]
    words: Vector  # [vocabulary, d]
    places: Vector  # [longest, d], with the one token type added

    def encode(self, texts: Sequence[str], pool: Executor | None = None) -> Vector:
        """[len(texts), d]. Passes run one after the other, or in the threads of `pool`."""
        groups = _groups([self.tokenizer.encode(text).ids for text in texts])
        found = [mean for mean, _ in (pool.map if pool else map)(self._through, groups)]
        return _unit(np.concatenate(found)) if found else np.zeros((0, self.words.shape[1]), np.float32)

    def encode_tokens(self, texts: Sequence[str]) -> list[tuple[Vector, Vector, list[tuple[int, int]]]]:
        """For each text its vector [d], the last layer's vector of each token [n, d], and the characters that each token stands for."""
        cut = [self.tokenizer.encode(text) for text in texts]
        passes = [self._through(group) for group in _groups([text.ids for text in cut])]
        if not passes:
            return []
        vectors, hidden = (np.concatenate(each) for each in zip(*passes, strict=True))  # [len(texts), d], [all tokens, d]
        ends = np.cumsum([len(text.ids) for text in cut])[:-1]
        return [(*made, text.offsets) for *made, text in zip(_unit(vectors), np.split(hidden, ends), cut, strict=True)]

    def _through(self, texts: Sequence[Sequence[int]]) -> tuple[Vector, Vector]:
        """One pass over the tokens of texts: the mean of each text [len(texts), d], the last layer of each token [n, d]."""
        lengths = [len(text) for text in texts]
        text_of = np.repeat(np.arange(len(texts)), lengths)  # [n]
        x = np.concatenate([self.words[text] + self.places[: len(text)] for text in texts])  # [n, d]
        own = text_of == np.arange(len(texts))[:, None]  # [b, n]
        mask = np.where(own[text_of], np.float32(0), FAR)  # [n, n]
        pool = (own / np.asarray(lengths, np.float32)[:, None]).astype(np.float32)  # [b, n]
        mean, hidden = self.session.run(None, {"x": x, "mask": mask, "pool": pool})
        return mean, hidden


def load(folder: Path) -> Bert | None:
    """The encoder of a sentence-transformers folder; None where it is of another kind than this module computes.

    From then on numpy multiplies on one thread in this process: see `_one_thread`.
    """
    config = _json(folder / "config.json")
    if not _is_plain_bert(folder, config) or not (folder / "model.safetensors").is_file():
        return None
    try:
        import onnxruntime
    except ImportError as error:
        log.warning("texts are encoded by torch, which takes longer: onnxruntime cannot be loaded (%s)", error)
        return None
    from safetensors.numpy import load_file

    _one_thread()
    tensors = load_file(str(folder / "model.safetensors"))
    onnxruntime.disable_telemetry_events()  # its Windows builds report to the system
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a second thread gains a millisecond, and waits for a core that other programs keep busy
    session = onnxruntime.InferenceSession(graph(tensors, config), options, providers=["CPUExecutionProvider"])
    words = tensors["embeddings.word_embeddings.weight"]
    places = tensors["embeddings.position_embeddings.weight"] + tensors["embeddings.token_type_embeddings.weight"][0]
    return Bert(_tokenizer(folder), session, words, places)


def _one_thread() -> None:
    """Hold numpy's OpenBLAS to one thread. After each product its others wait spinning, which takes the cores from what answers a question
    next: at a bank of 20,000 questions every answer took twice as long."""
    from threadpoolctl import ThreadpoolController

    ThreadpoolController().select(internal_api="openblas").limit(limits=1)


def graph(tensors: Mapping[str, Vector], config: Mapping[str, Any]) -> bytes:
    """The transformer as an ONNX model, from embedded tokens to the mean of each text and the last layer: see `Bert.session`."""
    made = _Layers(Graph(), tensors, int(config["num_attention_heads"]), float(config["layer_norm_eps"]))
    x = made.norm("x", "embeddings.LayerNorm")
    for number in range(int(config["num_hidden_layers"])):
        x = made.layer(x, f"encoder.layer.{number}")
    return made.graph.model({"x": 2, "mask": 2, "pool": 2}, made.graph.node("MatMul", "pool", x), x)


@dataclass(frozen=True)
class _Layers:
    """Adds the parts of a transformer to a graph; `name` is where their tensors are."""

    graph: Graph
    tensors: Mapping[str, Vector]
    heads: int
    epsilon: float

    def layer(self, x: str, name: str) -> str:
        """One block, [n, d] -> [n, d]."""
        gathered = self.dense(self.attention(x, f"{name}.attention.self"), f"{name}.attention.output.dense")
        x = self.norm(self.graph.node("Add", x, gathered), f"{name}.attention.output.LayerNorm")
        wide = self.graph.node("Gelu", self.dense(x, f"{name}.intermediate.dense"))  # [n, f]
        return self.norm(self.graph.node("Add", x, self.dense(wide, f"{name}.output.dense")), f"{name}.output.LayerNorm")

    def attention(self, x: str, name: str) -> str:
        """[n, d] -> [n, d], each token looking where the mask is 0."""
        query, key, value = (self._by_head(x, f"{name}.{part}", turned=part == "key") for part in ("query", "key", "value"))
        scores = self.graph.node("Add", self.graph.node("MatMul", query, key), "mask")  # [heads, n, n]
        seen = self.graph.node("MatMul", self.graph.node("Softmax", scores, axis=-1), value)  # [heads, n, d / heads]
        width = self.graph.constant(np.asarray([-1, self.tensors[f"{name}.value.bias"].size]))
        return self.graph.node("Reshape", self.graph.node("Transpose", seen, perm=(1, 0, 2)), width)

    def dense(self, x: str, name: str, scale: float = 1.0) -> str:
        """`x @ weight + bias`, both scaled."""
        weight, bias = self.tensors[f"{name}.weight"].T * np.float32(scale), self.tensors[f"{name}.bias"] * np.float32(scale)
        return self.graph.node("Gemm", x, self.graph.constant(weight), self.graph.constant(bias))

    def norm(self, x: str, name: str) -> str:
        """Each row at mean 0 and variance 1, then scaled and moved."""
        weight, bias = (self.graph.constant(self.tensors[f"{name}.{part}"]) for part in ("weight", "bias"))
        return self.graph.node("LayerNormalization", x, weight, bias, epsilon=self.epsilon)

    def _by_head(self, x: str, name: str, turned: bool) -> str:
        """[heads, n, d / heads], or [heads, d / heads, n]; the query is scaled for the softmax here."""
        size = self.tensors[f"{name}.bias"].size // self.heads
        scale = size**-0.5 if name.endswith(".query") else 1.0
        shape = self.graph.constant(np.asarray([-1, self.heads, size]))
        parts = self.graph.node("Reshape", self.dense(x, name, scale), shape)  # [n, heads, d / heads]
        return self.graph.node("Transpose", parts, perm=(1, 2, 0) if turned else (1, 0, 2))


def _unit(rows: Vector) -> Vector:
    """Rows [n, d] at length 1."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), np.float32)


def _groups(texts: Sequence[Sequence[int]]) -> Iterator[list[Sequence[int]]]:
    """Texts in order, as many at a time as have `TOGETHER` tokens; a longer one by itself."""
    group: list[Sequence[int]] = []
    for text in texts:
        if group and sum(map(len, group)) + len(text) > TOGETHER:
            yield group
            group = []
        group.append(text)
    if group:
        yield group


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


def _json(file: Path) -> Any:
    """The file's value, empty where there is no such file."""
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
