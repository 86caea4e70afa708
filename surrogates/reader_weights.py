"""What `python -m benchmarks.reader` and `benchmarks.rerank` fitted, from the file beside this one: how passages and units are ranked, the
verifier and the heads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from surrogates.verifier import Verifier

FILE = Path(__file__).with_name("reader.safetensors")
ORDERS = ("rerank", "ranker")
HEADS = ("head", "plain", "answerable")


@dataclass(frozen=True)
class Head:
    """Logistic regression: `weights` [k] and `bias`."""

    weights: NDArray[np.float64]
    bias: float

    def confidence(self, features: NDArray[np.float64]) -> float:
        """A probability, from features [k]."""
        return float(1.0 / (1.0 + np.exp(-(features @ self.weights + self.bias))))


@dataclass(frozen=True)
class Weights:
    """`rerank` [len(rerank.NAMES)] for passages, `ranker` [len(unit_features.NAMES)] for their units; `head` over `reader.HEAD_NAMES`,
    `plain` over the same without the verifier's score, for other encoders. `answerable` sees the same as `head`.
    """

    rerank: NDArray[np.float64]
    ranker: NDArray[np.float64]
    verifier: Verifier
    head: Head
    plain: Head
    answerable: Head


@lru_cache(maxsize=1)
def fitted() -> Weights:
    """The weights that the program comes with."""
    return load(FILE)


def load(file: Path) -> Weights:
    """Weights from a file that `save` wrote.

    Raises:
        KeyError: a tensor is missing.
    """
    from safetensors import safe_open

    with safe_open(file, framework="np") as content:
        tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - not a dictionary
        encoder = str(json.loads((content.metadata() or {})["about"])["encoder"])
    heads = [Head(np.asarray(tensors[name], np.float64), float(tensors[f"{name}.bias"][0])) for name in HEADS]
    rerank, ranker = (np.asarray(tensors[name], np.float64) for name in ORDERS)
    return Weights(rerank, ranker, Verifier(tensors, encoder), *heads)


def save(file: Path, weights: Weights) -> None:
    """Write weights."""
    from safetensors.numpy import save_file

    heads = {name: getattr(weights, name) for name in HEADS}
    tensors = {name: np.asarray(head.weights, np.float32) for name, head in heads.items()}
    tensors |= {f"{name}.bias": np.asarray([head.bias], np.float32) for name, head in heads.items()}
    tensors |= {name: np.asarray(getattr(weights, name), np.float32) for name in ORDERS} | weights.verifier.tensors
    save_file(tensors, file, metadata={"about": json.dumps({"encoder": weights.verifier.encoder})})
