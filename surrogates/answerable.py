"""Does the library hold the answer at all? A calibrated yes or no from what retrieval found, before the engine is asked."""

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


# fitted by `python -m benchmarks.answers answerable`; see docs/benchmarks/asking.md
WEIGHTS = Evidence(cosine=17.96, sentence=0.41, covered=5.24, together=-0.22, codes=1.51)
BIAS = -10.98
ANSWERABLE_AT_LEAST = 0.51


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


def is_answerable(question: str, hits: Sequence[Hit], rarity: Rarity) -> bool:
    """Whether to go on and write an answer rather than decline with the nearest passages."""
    return bool(hits) and probability(evidence(question, hits, rarity)) >= ANSWERABLE_AT_LEAST
