"""What the decoder must know of a model, whichever way its checkpoint is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.errors import UnknownArchitecture, UnusableSource
from engine.kernels import Activation

KNOWN = "Llama (SmolLM2, Mistral), Qwen2, Qwen3, OPT, Falcon, Phi-2 and Persimmon"


@dataclass(frozen=True)
class Config:
    """The shape of a model, and the few ways in which the families differ.

    `norm` is "rms" (weight only) or "layer" (weight and bias); with `head_norm` each head's query and key are normed too. `gated` FFNs
    are down(f(gate x) * up x), others down(f(up x)), with f named by `activation`. `rope_theta` is None where positions are learned;
    `position_offset` is then the row of the table that position 0 takes, otherwise the first `rotary_dim` columns of each head turn.
    In a `parallel` layer the FFN sees what the attention sees, and both are added to it.
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
    activation: Activation = "silu"
    rotary_dim: int = 0
    parallel: bool = False
    head_norm: bool = False

    def __post_init__(self) -> None:
        sizes = (self.hidden, self.layers, self.heads, self.kv_heads, self.head_dim, self.ffn, self.vocabulary, self.context)
        if min(sizes) < 1:
            raise UnusableSource(f"the checkpoint's configuration has a size below 1: {self}")
        if self.heads % self.kv_heads or self.head_dim % 2:
            raise UnusableSource(f"{self.heads} heads over {self.kv_heads} key heads of {self.head_dim} columns cannot be grouped")
        if self.rotary_dim % 2 or not 0 <= self.rotary_dim <= self.head_dim or (self.rotary_dim > 0) != (self.rope_theta is not None):
            raise UnusableSource(f"{self.rotary_dim} columns of a head of {self.head_dim} cannot be rotated (rope theta {self.rope_theta})")

    @property
    def neuron_wise(self) -> bool:
        """Whether neurons are read one by one: those of ReLU kind, most of which give exactly 0 for a token."""
        return not self.gated and self.activation in ("relu", "relu2")

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of half-float keys and values that one position takes over all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * 2


def refuse(when: bool, what: str) -> None:
    """Raise UnknownArchitecture for `what` the decoder does not compute."""
    if when:
        raise UnknownArchitecture(f"the checkpoint uses {what}, which the engine does not compute; it can run {KNOWN}")


def rope_parameters(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Newer configurations keep theta and scaling in `rope_parameters`, older ones the scaling in `rope_scaling`."""
    found = values.get("rope_parameters") or values.get("rope_scaling") or {}
    return found if isinstance(found, Mapping) else {}


def rope_frequencies(config: Config, values: Mapping[str, Any]) -> NDArray[np.float32]:
    """Radians per position for each pair of columns, [rotary_dim / 2], with Llama 3's stretching where config.json asks for it.

    Raises UnknownArchitecture for other kinds of scaling.
    """
    theta = config.rope_theta
    assert theta is not None
    plain = 1.0 / theta ** (np.arange(0, config.rotary_dim, 2, dtype=np.float64) / config.rotary_dim)
    scaling = rope_parameters(values)
    kind = scaling.get("rope_type") or scaling.get("type") or "default"
    if kind == "default":
        return plain.astype(np.float32)
    refuse(kind != "llama3", f"rope scaling {kind!r}")
    return _llama3_frequencies(plain, scaling).astype(np.float32)


def _llama3_frequencies(plain: NDArray[np.float64], scaling: Mapping[str, Any]) -> NDArray[np.float64]:
    """Long waves are slowed by `factor`, short ones stay, those between are blended."""
    original = float(scaling["original_max_position_embeddings"])
    low, high = float(scaling["low_freq_factor"]), float(scaling["high_freq_factor"])
    turns = original * plain / (2 * np.pi)  # how often the pair turns within the original context
    blend = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return np.asarray(plain * (blend + (1.0 - blend) / float(scaling["factor"])))
