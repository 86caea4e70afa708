"""The verifier: a small neural network that reads a question word by word against the sentence that is to answer it.

The ranker's features say how well a sentence matches on the whole; whether each word of the question that matters is met there, and which
may stay unmet, is what the network learns: every token of the question goes with its matches and its own meaning through two layers, what
comes out is pooled by attention and by maximum, and a last layer joins it with the ranker's features. `python -m benchmarks.reader` fits
it. It knows tokens of one encoder only; with another encoder the reader does without.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MATCHES = ("unit", "before", "behind", "title", "passage", "said", "said_near", "said_headed", "said_anywhere")
"""What a token of the question finds: the best match in the unit, in it and the two before, in it and the two behind, in the passage's own
heading, in the passage (cosines, -1 where there is nothing), and whether its word is said there, near,
in headings, anywhere."""
MARKS = ("rarity", "unknown", "content", "weight")
"""What a token of the question is: idf as a share of the largest, whether the library lacks its word, whether it has one, its weight."""
TENSORS = ("axes", "kind", "first", "second", "attention", "joined", "last", "straight", "middle", "scale")
WEIGHT_SCALE = 5.0

Table = NDArray[np.float32]


@dataclass(frozen=True)
class TokenMatches:
    """Of one unit and question: `matches` [q, len(MATCHES)], `marks` [q, len(MARKS)]."""

    matches: Table
    marks: Table


class Verifier:
    """The fitted network; `encoder` names the encoder whose tokens it knows."""

    def __init__(self, tensors: Mapping[str, Table], encoder: str) -> None:
        """`tensors` has `NAME` [in, out] and `NAME.bias` [out] of the layers, `axes` [d, w], and `middle` and `scale` [k] of the features.

        Raises:
            KeyError: a tensor is missing.
        """
        self.tensors = {name: np.asarray(tensors[name], np.float32) for name in (*TENSORS, *BIASED)}
        self.encoder = encoder

    def meanings(self, vectors: Table) -> Table:
        """The question's token vectors [q, d] on the network's axes, [q, w], of unit length."""
        turned = vectors @ self.tensors["axes"]
        return np.asarray(turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-9), np.float32)

    def score(self, meanings: Table, found: TokenMatches, features: NDArray[np.float64]) -> float:
        """How well the unit answers, as a logit up to a constant. `features` [k] are the ranker's, plain and less the best of all units."""
        kind = self._layer("kind", meanings)
        tokens = np.concatenate([found.matches, found.marks, kind], axis=1)
        hidden = gelu(self._layer("second", gelu(self._layer("first", tokens))))  # [q, h]
        drawn = self._layer("attention", hidden)[:, 0]
        share = np.exp(drawn - drawn.max())
        pooled = (share / share.sum()) @ hidden
        plain = np.asarray((features - self.tensors["middle"]) / self.tensors["scale"], np.float32)
        joined = np.concatenate([plain, pooled, hidden.max(axis=0)])
        deep = self._layer("last", gelu(self._layer("joined", joined)))
        return float(deep[0] + self._layer("straight", plain)[0])

    def _layer(self, name: str, rows: Table) -> Table:
        return np.asarray(rows @ self.tensors[name] + self.tensors[f"{name}.bias"], np.float32)


BIASED = tuple(f"{name}.bias" for name in ("kind", "first", "second", "attention", "joined", "last", "straight"))


def gelu(values: Table) -> Table:
    """The tanh form (arXiv:1606.08415)."""
    return np.asarray(0.5 * values * (1 + np.tanh(0.7978845608 * (values + 0.044715 * values**3))), np.float32)
