"""Does the library hold the answer at all? A calibrated yes or no, before the engine is asked: from reading the passages where all of the
best were read, else from what retrieval found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from surrogates.quantities import signature
from surrogates.units import spans
from surrogates.wording import Rarity, content

if TYPE_CHECKING:
    from kb.records import Hit, Passage
    from surrogates.reader import Reading

CONSIDERED = 5  # passages


@dataclass(frozen=True)
class Evidence:
    """What the best passages say about a question, each 0..1.

    `cosine`: best sentence-vector similarity. `sentence`: idf-weighted share of the question's content words in the sentence that has most
    of them, headings included; `covered`: in one passage; `together`: in all passages considered. `codes`: share of the question's codes
    that they hold, 1 when it names none.
    """

    cosine: float
    sentence: float
    covered: float
    together: float
    codes: float


# fitted by `python -m benchmarks.answerable --fit`; see docs/benchmarks/asking.md
WEIGHTS = Evidence(cosine=9.57, sentence=0.28, covered=3.08, together=0.30, codes=1.53)
BIAS = -7.29
ANSWERABLE_AT_LEAST, DOUBTED_BELOW = 0.301, 0.188
READ_AT_LEAST = 0.33
"""Of the probability from evidence: where nothing was read, and beside the reader's. Then the reader's, from `benchmarks.reader`."""


def evidence(question: str, hits: Sequence[Hit], rarity: Rarity) -> Evidence:
    """Look at the first hits of a search for `question`."""
    considered = [hit.passage for hit in hits[:CONSIDERED]]
    texts = ["\n".join([*passage.heading, passage.text]) for passage in considered]
    wanted = content(question)
    everything = frozenset().union(*(content(text) for text in texts))
    asked_codes = signature(question).codes
    held_codes = frozenset().union(*(signature(text).codes for text in texts))
    return Evidence(
        cosine=max((hit.dense for hit in hits[:CONSIDERED] if hit.dense is not None), default=0.0),
        sentence=max((_best_sentence(wanted, passage, rarity) for passage in considered), default=0.0),
        covered=max((rarity.share(wanted, content(text)) for text in texts), default=0.0),
        together=rarity.share(wanted, everything) if texts else 0.0,
        codes=len(asked_codes & held_codes) / len(asked_codes) if asked_codes else 1.0,
    )


def _best_sentence(wanted: frozenset[str], passage: Passage, rarity: Rarity) -> float:
    headed = frozenset().union(*(content(title) for title in passage.heading))
    sentences = (content(passage.text[span.start : span.end]) for span in spans(passage.text))
    return max((rarity.share(wanted, headed | words) for words in sentences), default=0.0)


def probability(found: Evidence) -> float:
    """How likely the library holds the answer, on libraries and questions like those it was fitted on."""
    score = BIAS + sum(weight * value for weight, value in zip(astuple(WEIGHTS), astuple(found), strict=True))
    return 1.0 / (1.0 + math.exp(-score))


def is_answerable(question: str, hits: Sequence[Hit], rarity: Rarity, reading: Reading | None) -> bool:
    """Whether to go on and write an answer rather than decline with the nearest passages; `reading` is that of `hits`."""
    read = None if reading is None else reading.answerable(hits)
    return bool(hits) and is_enough(evidence(question, hits, rarity), read)


def is_enough(found: Evidence, read: float | None) -> bool:
    """Whether evidence, and the reader's probability where it has one, speak for an answer."""
    if read is None:
        return probability(found) >= ANSWERABLE_AT_LEAST
    return read >= READ_AT_LEAST and probability(found) >= DOUBTED_BELOW
