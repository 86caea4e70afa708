"""The user's question, with what answering it computes once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from surrogates.contrast import Contraries

if TYPE_CHECKING:
    from kb.encoder import Tokens
    from kb.records import Hit


@dataclass(frozen=True)
class Asked:
    """The user's question with all that is computed once for it."""

    text: str
    contraries: Contraries
    tokens: Mapping[str, Tokens]
    """Of the question and its contraries; nothing where only the bank is asked."""
    vector: NDArray[np.float32]  # [d], frozen
    hits: Sequence[Hit]
    words: frozenset[str]
    serving: NDArray[np.bool_]  # [n], the bank questions that may answer it
    bank: NDArray[np.float32]  # [n, d], frozen
    adapted: tuple[NDArray[np.float32], NDArray[np.float32]]
    """The question [d] and the bank's questions [n, d] as the model's adapter turns them."""

    @cached_property
    def scores(self) -> NDArray[np.float32]:
        """Adapted cosine with every bank question, -2 where it does not serve, [n]: some milliseconds at 20,000."""
        vector, vectors = self.adapted
        return np.where(self.serving, np.vecdot(vectors, vector), np.float32(-2.0)) if len(vectors) else np.zeros(0, np.float32)

    def cosines(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Frozen cosine with some bank questions, -2 where one does not serve, [len(rows)]."""
        return np.where(self.serving[rows], self.bank[rows] @ self.vector, np.float32(-2.0)) if len(rows) else np.zeros(0, np.float32)

    @property
    def plain(self) -> frozenset[str]:
        """The words without codes, which the full-text index spells in its own way."""
        return frozenset(word for word in self.words if word.isalpha())
