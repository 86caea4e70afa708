"""What the decoder must know of a checkpoint, read from a Hugging Face config.json or from GGUF metadata, and the names of its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.errors import UnknownArchitecture, UnusableSource

LAYER_PARTS = ("query", "key", "value", "output", "gate", "up", "down")
"""The matrices of a layer, in canonical names: `layer.3.query.weight`."""


@dataclass(frozen=True)
class Config:
    """The shape of a model, and the few ways in which the families differ.

    `norm` is "rms" (weight only) or "layer" (weight and bias). `gated` FFNs are down(silu(gate x) * up x), others down(relu(up x)).
    `rope_theta` is None where positions are learned; `position_offset` is then the row of the table that position 0 takes.
    """

    architecture: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocabulary: int
    context: int
    norm: Literal["rms", "layer"]
    norm_epsilon: float
    gated: bool
    rope_theta: float | None
    tied: bool
    position_offset: int = 0

    def __post_init__(self) -> None:
        sizes = (self.hidden, self.layers, self.heads, self.kv_heads, self.head_dim, self.ffn, self.vocabulary, self.context)
        if min(sizes) < 1:
            raise UnusableSource(f"the checkpoint's configuration has a size below 1: {self}")
        if self.heads % self.kv_heads or self.head_dim % 2:
            raise UnusableSource(f"{self.heads} heads over {self.kv_heads} key heads of {self.head_dim} columns cannot be grouped")

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of float32 keys and values that one position takes over all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * 4


@dataclass(frozen=True)
class Names:
    """How a family calls its tensors in a Hugging Face checkpoint; `layer` holds patterns with `{}` for the layer's number."""

    layer: Mapping[str, str]
    outer: Mapping[str, str]


_LLAMA_NAMES = Names(
    layer={
        "model.layers.{}.input_layernorm": "attention_norm",
        "model.layers.{}.post_attention_layernorm": "ffn_norm",
        "model.layers.{}.self_attn.q_proj": "query",
        "model.layers.{}.self_attn.k_proj": "key",
        "model.layers.{}.self_attn.v_proj": "value",
        "model.layers.{}.self_attn.o_proj": "output",
        "model.layers.{}.mlp.gate_proj": "gate",
        "model.layers.{}.mlp.up_proj": "up",
        "model.layers.{}.mlp.down_proj": "down",
    },
    outer={"model.embed_tokens": "embedding", "model.norm": "final_norm", "lm_head": "head"},
)
_OPT_NAMES = Names(
    layer={
        "model.decoder.layers.{}.self_attn_layer_norm": "attention_norm",
        "model.decoder.layers.{}.final_layer_norm": "ffn_norm",
        "model.decoder.layers.{}.self_attn.q_proj": "query",
        "model.decoder.layers.{}.self_attn.k_proj": "key",
        "model.decoder.layers.{}.self_attn.v_proj": "value",
        "model.decoder.layers.{}.self_attn.out_proj": "output",
        "model.decoder.layers.{}.fc1": "up",
        "model.decoder.layers.{}.fc2": "down",
    },
    outer={
        "model.decoder.embed_tokens": "embedding",
        "model.decoder.embed_positions": "positions",
        "model.decoder.final_layer_norm": "final_norm",
        "lm_head": "head",
    },
)
_GGUF_NAMES = Names(
    layer={
        "blk.{}.attn_norm": "attention_norm",
        "blk.{}.ffn_norm": "ffn_norm",
        "blk.{}.attn_q": "query",
        "blk.{}.attn_k": "key",
        "blk.{}.attn_v": "value",
        "blk.{}.attn_output": "output",
        "blk.{}.ffn_gate": "gate",
        "blk.{}.ffn_up": "up",
        "blk.{}.ffn_down": "down",
    },
    outer={"token_embd": "embedding", "output_norm": "final_norm", "output": "head"},
)
HUGGING_FACE_NAMES = {"llama": _LLAMA_NAMES, "mistral": _LLAMA_NAMES, "qwen2": _LLAMA_NAMES, "opt": _OPT_NAMES}
GGUF_ARCHITECTURES = ("llama", "qwen2")
KNOWN = "Llama (SmolLM2, Mistral), Qwen2 and OPT"

_IGNORED = re.compile(r"rotary_emb\.inv_freq|attention\.bias|attn\.masked_bias|rope_freqs")


def canonical_names(stored: list[str], names: Names) -> dict[str, str]:
    """Canonical name -> stored name. Raises UnknownArchitecture for a tensor that the family does not have."""
    found: dict[str, str] = {}
    for name in stored:
        if _IGNORED.search(name):
            continue
        found[_canonical(name, names)] = name
    return found


def gguf_names(stored: list[str]) -> dict[str, str]:
    """Canonical name -> name in a GGUF file."""
    return canonical_names(stored, _GGUF_NAMES)


def _canonical(stored: str, names: Names) -> str:
    stem, _, kind = stored.rpartition(".")
    for prefix in ("", "model."):  # OPT checkpoints were saved with and without the outer module's name
        if prefix + stem in names.outer:
            return f"{names.outer[prefix + stem]}.{kind}"
        number = re.search(r"\.(\d+)\.", stem)
        if number:
            pattern = prefix + stem.replace(number[0], ".{}.", 1)
            if pattern in names.layer:
                return f"layer.{number[1]}.{names.layer[pattern]}.{kind}"
    raise UnknownArchitecture(f"the checkpoint has a tensor {stored!r} that the engine does not know; it can run {KNOWN}")


def config_from_hugging_face(values: Mapping[str, Any]) -> Config:
    """Read a config.json.

    Raises:
        UnknownArchitecture: another family, or a variant that the decoder does not compute.
        UnusableSource: a field is missing.
    """
    kind = str(values.get("model_type"))
    if kind not in HUGGING_FACE_NAMES:
        raise UnknownArchitecture(f"the checkpoint's model_type is {kind!r}; the engine can run {KNOWN}")
    try:
        return _opt(values) if kind == "opt" else _llama_like(kind, values)
    except KeyError as missing:
        raise UnusableSource(f"config.json has no field {missing}; the checkpoint is incomplete") from missing


def _llama_like(kind: str, values: Mapping[str, Any]) -> Config:
    heads = int(values["num_attention_heads"])
    _refuse(values.get("hidden_act", "silu") != "silu", f"the activation {values.get('hidden_act')!r}")
    windowed = values.get("sliding_window") and values.get("use_sliding_window", kind == "mistral")
    context = int(values["max_position_embeddings"])
    # within its window, sliding attention is plain attention
    context = min(context, int(values["sliding_window"])) if windowed else context
    return Config(
        architecture=kind,
        hidden=int(values["hidden_size"]),
        layers=int(values["num_hidden_layers"]),
        heads=heads,
        kv_heads=int(values.get("num_key_value_heads") or heads),
        head_dim=int(values.get("head_dim") or int(values["hidden_size"]) // heads),
        ffn=int(values["intermediate_size"]),
        vocabulary=int(values["vocab_size"]),
        context=context,
        norm="rms",
        norm_epsilon=float(values["rms_norm_eps"]),
        gated=True,
        rope_theta=float(_rope_parameters(values).get("rope_theta") or values.get("rope_theta") or 10_000.0),
        tied=bool(values.get("tie_word_embeddings", False)),
    )


def _opt(values: Mapping[str, Any]) -> Config:
    heads, hidden = int(values["num_attention_heads"]), int(values["hidden_size"])
    _refuse(values.get("activation_function", "relu") != "relu", f"the activation {values.get('activation_function')!r}")
    _refuse(not values.get("do_layer_norm_before", True), "layer norms after the attention (do_layer_norm_before false)")
    _refuse(int(values.get("word_embed_proj_dim") or hidden) != hidden, "projected embeddings (word_embed_proj_dim)")
    _refuse(bool(values.get("_remove_final_layer_norm", False)), "no final layer norm")
    return Config(
        architecture="opt",
        hidden=hidden,
        layers=int(values["num_hidden_layers"]),
        heads=heads,
        kv_heads=heads,
        head_dim=hidden // heads,
        ffn=int(values["ffn_dim"]),
        vocabulary=int(values["vocab_size"]),
        context=int(values["max_position_embeddings"]),
        norm="layer",
        norm_epsilon=1e-5,
        gated=False,
        rope_theta=None,
        tied=bool(values.get("tie_word_embeddings", True)),
        position_offset=2,
    )


def _refuse(when: bool, what: str) -> None:
    if when:
        raise UnknownArchitecture(f"the checkpoint uses {what}, which the engine does not compute; it can run {KNOWN}")


def config_from_gguf(values: Mapping[str, Any], tied: bool) -> Config:
    """Read GGUF metadata; `tied` tells whether the file lacks an output head of its own."""
    kind = str(values.get("general.architecture"))
    if kind not in GGUF_ARCHITECTURES:
        raise UnknownArchitecture(f"the file's architecture is {kind!r}; the engine runs {' and '.join(GGUF_ARCHITECTURES)} GGUF files")
    _refuse(int(values.get(f"{kind}.expert_count") or 0) > 0, "a mixture of experts")
    scaling = values.get(f"{kind}.rope.scaling.type", "none")
    _refuse(scaling not in ("none", ""), f"rope scaling {scaling!r}")
    try:
        heads, hidden = int(values[f"{kind}.attention.head_count"]), int(values[f"{kind}.embedding_length"])
        head_dim = int(values.get(f"{kind}.attention.key_length") or hidden // heads)
        _refuse(int(values.get(f"{kind}.rope.dimension_count") or head_dim) != head_dim, "rotary embedding of a part of each head")
        return Config(
            architecture=kind,
            hidden=hidden,
            layers=int(values[f"{kind}.block_count"]),
            heads=heads,
            kv_heads=int(values.get(f"{kind}.attention.head_count_kv") or heads),
            head_dim=head_dim,
            ffn=int(values[f"{kind}.feed_forward_length"]),
            vocabulary=len(values["tokenizer.ggml.tokens"]),
            context=int(values[f"{kind}.context_length"]),
            norm="rms",
            norm_epsilon=float(values[f"{kind}.attention.layer_norm_rms_epsilon"]),
            gated=True,
            rope_theta=float(values.get(f"{kind}.rope.freq_base") or 10_000.0),
            tied=tied,
        )
    except KeyError as missing:
        raise UnusableSource(f"the GGUF file's metadata has no {missing}; the file is incomplete") from missing


def _rope_parameters(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Newer configurations keep theta and scaling in `rope_parameters`, older ones the scaling in `rope_scaling`."""
    found = values.get("rope_parameters") or values.get("rope_scaling") or {}
    return found if isinstance(found, Mapping) else {}


def rope_frequencies(config: Config, values: Mapping[str, Any]) -> NDArray[np.float32]:
    """Radians per position for each pair of columns, [head_dim / 2], with Llama 3's stretching where config.json asks for it.

    Raises UnknownArchitecture for other kinds of scaling.
    """
    theta = config.rope_theta
    assert theta is not None
    plain = 1.0 / theta ** (np.arange(0, config.head_dim, 2, dtype=np.float64) / config.head_dim)
    scaling = _rope_parameters(values)
    kind = scaling.get("rope_type") or scaling.get("type") or "default"
    if kind == "default":
        return plain.astype(np.float32)
    _refuse(kind != "llama3", f"rope scaling {kind!r}")
    return _llama3_frequencies(plain, scaling).astype(np.float32)


def _llama3_frequencies(plain: NDArray[np.float64], scaling: Mapping[str, Any]) -> NDArray[np.float64]:
    """Long waves are slowed by `factor`, short ones stay, those between are blended."""
    original = float(scaling["original_max_position_embeddings"])
    low, high = float(scaling["low_freq_factor"]), float(scaling["high_freq_factor"])
    turns = original * plain / (2 * np.pi)  # how often the pair turns within the original context
    blend = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return np.asarray(plain * (blend + (1.0 - blend) / float(scaling["factor"])))
