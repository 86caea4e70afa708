"""The live search's passages in a better order, where they were read.

One vector stands for a whole passage and hides a row of its table. Here each word of the question looks for its best match in the passage
and in each unit of it (late interaction, arXiv:2004.12832), and what it finds counts beside the search's own score. The four weights were
fitted on people's questions: `python -m benchmarks.rerank`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from surrogates.units import spans

if TYPE_CHECKING:
    from kb.records import Hit
    from surrogates.interaction import PassageTokens
    from surrogates.unit_features import Question

ABOVE_TEXT = 2  # characters before a passage's text where its headings stand: see `interaction.TITLE` and `ABOVE`
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
    firsts = np.cumsum([0, *(len(each.starts) for each in tokens[:-1])])
    match = asked.tokens.vectors @ np.concatenate([each.vectors for each in tokens]).T  # [q, t]
    best = np.maximum.reduceat(match, firsts, axis=1)  # [q, h]
    return np.column_stack([[hit.score for hit in hits], best.mean(axis=0), asked.weights @ best, _best_units(asked, hits, tokens, match)])


def _best_units(asked: Question, hits: Sequence[Hit], tokens: Sequence[PassageTokens], match: NDArray[np.float32]) -> Table:
    """How well the best unit of each passage matches together with its headings, [h]; `match` [q, t] is that of all tokens in their order.

    The units of all passages are looked at in one go: characters count on from one passage to the next, each begins with its headings.
    """
    begins = np.cumsum([0, *(len(hit.passage.text) + ABOVE_TEXT for hit in hits[:-1])]) + ABOVE_TEXT  # [h]
    starts = np.concatenate([each.starts + begin for each, begin in zip(tokens, begins, strict=True)])  # [t]
    units = [
        [begin - ABOVE_TEXT, *(begin + span.start for span in spans(hit.passage.text))] for hit, begin in zip(hits, begins, strict=True)
    ]
    unit = np.searchsorted(np.concatenate(units), starts, side="right")
    edges = np.flatnonzero(np.diff(unit, prepend=-1))  # where the tokens of a unit begin
    found = np.maximum.reduceat(match, edges, axis=1)  # [q, units with tokens]
    passage = np.searchsorted(begins - ABOVE_TEXT, starts[edges], side="right") - 1
    is_heading = starts[edges] < begins[passage]
    headed = np.full((len(match), len(hits)), -1.0, np.float32)
    headed[:, passage[is_heading]] = found[:, is_heading]
    scores = asked.weights @ np.maximum(found, headed[:, passage])  # a heading by itself counts where nothing else is
    return np.maximum.reduceat(scores, np.flatnonzero(np.diff(passage, prepend=-1)))
