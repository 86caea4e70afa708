"""A question -> the passages that answer it: full text, exact codes and meaning, fused."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kb import lexical
from kb.dense import DenseIndex
from kb.words import WordIndex


@dataclass(frozen=True)
class Fusion:
    """How the rankings are weighed; see docs/benchmarks/kb.md for what each choice measured."""

    candidates: int = 100
    """Length of each ranking before fusing."""
    lexical: float = 1.0
    dense: float = 1.0
    codes: float = 0.6

    def __post_init__(self) -> None:
        if self.candidates < 1 or min(self.lexical, self.dense, self.codes) < 0:
            raise ValueError(f"candidates is {self.candidates}, expected at least 1; weights must not be negative")


@dataclass(frozen=True)
class Found:
    """A fused result; `dense` and `bm25` are None where that side did not find the passage."""

    passage_id: int
    score: float
    dense: float | None
    bm25: float | None


def search(
    connection: sqlite3.Connection,
    index: DenseIndex,
    words: WordIndex,
    question: str,
    vector: NDArray[np.float32],
    collection_id: int | None,
    limit: int,
    fusion: Fusion = Fusion(),
) -> list[Found]:
    """The `limit` best passages of a collection (None: the whole library) for a question and its vector [d]."""
    asked = lexical.terms(question)
    bm25 = _by_words(connection, words, asked.words, collection_id, fusion.candidates)
    codes = lexical.rank(connection, lexical.any_code(asked.codes), collection_id, fusion.candidates)
    dense = index.search(vector, fusion.candidates, None if collection_id is None else words.in_collection(collection_id))
    scores = _fused([(bm25, fusion.lexical), (dense, fusion.dense), (codes, fusion.codes)])
    best = sorted(scores, key=lambda passage: (-scores[passage], passage))[:limit]
    by_bm25, by_dense = dict(bm25), dict(dense)
    return [Found(passage, scores[passage], by_dense.get(passage), by_bm25.get(passage)) for passage in best]


def _fused(rankings: Sequence[tuple[list[tuple[int, float]], float]]) -> dict[int, float]:
    """Weighted sum of each ranking's scores as shares of its best, so that first place in every ranking gives 1.

    Unlike fusing by ranks this keeps how far the best stands above the rest: a ranking that cannot tell its candidates apart moves little.
    """
    total = sum(weight for ranking, weight in rankings if ranking) or 1.0
    scores: dict[int, float] = {}
    for ranking, weight in rankings:
        best = max((score for _, score in ranking), default=0.0)
        for passage, score in ranking:
            scores[passage] = scores.get(passage, 0.0) + weight / total * max(score, 0.0) / (best if best > 0 else 1.0)
    return scores


def _by_words(
    connection: sqlite3.Connection, words: WordIndex, asked: tuple[str, ...], collection_id: int | None, limit: int
) -> list[tuple[int, float]]:
    """Full text in memory where it can tell, else FTS5: a word of several tokens ("oil_temp") is a phrase."""
    if words.covers(asked):
        return words.rank(asked, collection_id, limit)
    return lexical.rank(connection, lexical.any_word(asked), collection_id, limit)
