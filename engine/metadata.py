"""The configuration of a model from a GGUF file's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.architecture import Config, refuse
from engine.errors import UnknownArchitecture, UnusableSource
from engine.kernels import Activation
from engine.names import GGUF_NAMES

_ACTIVATIONS: dict[str, Activation] = {"falcon": "gelu", "phi2": "gelu_tanh"}


def config_from_gguf(values: Mapping[str, Any], tied: bool) -> Config:
    """Read GGUF metadata; `tied` tells whether the file lacks an output head of its own.

    Raises:
        UnknownArchitecture: another family, or a variant that the decoder does not compute.
        UnusableSource: an entry is missing.
    """
    kind = str(values.get("general.architecture"))
    if kind not in GGUF_NAMES:
        raise UnknownArchitecture(f"the file's architecture is {kind!r}; the engine runs GGUF files of {', '.join(GGUF_NAMES)}")
    refuse(int(values.get(f"{kind}.expert_count") or 0) > 0, "a mixture of experts")
    scaling = values.get(f"{kind}.rope.scaling.type", "none")
    refuse(scaling not in ("none", ""), f"rope scaling {scaling!r}")
    try:
        return _config(kind, values, tied)
    except KeyError as missing:
        raise UnusableSource(f"the GGUF file's metadata has no {missing}; the file is incomplete") from missing


def _config(kind: str, values: Mapping[str, Any], tied: bool) -> Config:
    heads, hidden = int(values[f"{kind}.attention.head_count"]), int(values[f"{kind}.embedding_length"])
    head_dim = int(values.get(f"{kind}.attention.key_length") or hidden // heads)
    plain = kind in _ACTIVATIONS  # layer norms, no gate, attention and feed-forward side by side
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
        norm="layer" if plain else "rms",
        norm_epsilon=float(values[f"{kind}.attention.layer_norm_{'' if plain else 'rms_'}epsilon"]),
        gated=not plain,
        rope_theta=float(values.get(f"{kind}.rope.freq_base") or 10_000.0),
        tied=tied,
        activation=_ACTIVATIONS.get(kind, "silu"),
        rotary_dim=int(values.get(f"{kind}.rope.dimension_count") or head_dim),
        parallel=plain,
        head_norm=kind == "qwen3",
    )
