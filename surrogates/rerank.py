"""The live search's passages in a better order, where teaching has read them.

One vector stands for a whole passage and hides a row of its table. Here each word of the question looks for its best match in the passage
and in each unit of it (late interaction, arXiv:2004.12832), and what it finds counts beside the search's own score. The four weights were
fitted on people's questions: `python -m benchmarks.rerank`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from surrogates.units import spans

if TYPE_CHECKING:
    from kb.records import Hit
    from surrogates.interaction import PassageTokens
    from surrogates.unit_features import Question

RERANKED = 20
"""Best hits of the search that are put in order."""
NAMES = ("fused", "match", "weighed", "unit")
"""Features of a hit: the search's score, the mean of the words' best matches in the passage, the same weighed by rarity, and that in the
best one of its units with the headings."""

Table = NDArray[np.float64]


def rerank(asked: Question, hits: Sequence[Hit], held: Mapping[int, PassageTokens], weights: Table) -> list[Hit]:
    """The hits with ranks from 1 on; those with tokens in `held` change places among themselves, the others stay where they are."""
    read = [place for place, hit in enumerate(hits) if hit.passage.id in held and len(held[hit.passage.id].starts)]
    ordered = list(hits)
    if read:
        scores = features(asked, [hits[place] for place in read], held) @ weights
        for place, better in zip(read, np.argsort(-scores, kind="stable"), strict=True):
            ordered[place] = hits[read[better]]
    return [replace(hit, rank=rank) for rank, hit in enumerate(ordered, start=1)]


def features(asked: Question, hits: Sequence[Hit], held: Mapping[int, PassageTokens]) -> Table:
    """What is known of hits whose passages have tokens in `held`: [len(hits), len(NAMES)]."""
    tokens = [held[hit.passage.id] for hit in hits]
    begins = np.cumsum([0, *(len(each.starts) for each in tokens)])
    match = asked.tokens.vectors @ np.concatenate([each.vectors for each in tokens]).T  # [q, t]
    best = np.maximum.reduceat(match, begins[:-1], axis=1)  # [q, h]
    units = [
        _best_unit(asked, hit, each, match[:, first:last]) for hit, each, (first, last) in zip(hits, tokens, pairwise(begins), strict=True)
    ]
    return np.column_stack([[hit.score for hit in hits], best.mean(axis=0), asked.weights @ best, units])


def _best_unit(asked: Question, hit: Hit, tokens: PassageTokens, match: NDArray[np.float32]) -> float:
    """How well the best unit of a passage matches together with its headings; `match` [q, t] is that of its tokens in their order."""
    firsts = [span.start for span in spans(hit.passage.text)]
    unit = np.searchsorted(firsts, tokens.starts, side="right")  # 0: headings
    edges = np.flatnonzero(np.diff(unit, prepend=-1))
    found = np.maximum.reduceat(match, edges, axis=1)  # [q, units with tokens]
    if unit[0] == 0 and found.shape[1] > 1:
        found = np.maximum(found[:, 1:], found[:, :1])
    return float((asked.weights @ found).max())
