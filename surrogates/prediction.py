"""What the surrogate would answer, and the bank's questions that lead there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kb.records import Passage
    from surrogates.bank import BankAnswer
    from surrogates.confidence import Features


@dataclass(frozen=True)
class Source:
    """A passage that an instant answer rests on; `quote` occurs in it word for word."""

    passage: Passage
    quote: str


@dataclass(frozen=True)
class Prediction:
    """What the surrogate would answer. `refused_by` names the gate that forbids it, None when all let it pass."""

    text: str
    confidence: float
    answer_id: int | None
    """None for what was read in the passages and is not in the bank yet."""
    sources: tuple[Source, ...]
    matched_question: str
    """The bank question that it answers; for what was read, one about that place that is nearly the user's, "" without."""
    refused_by: str | None
    features: Features | None = None
    """What the bank's head judged; None for what was read."""


@dataclass(frozen=True)
class Candidate:
    """A bank question that may be the user's, before it is judged. `row` is its place in the view."""

    row: int
    answer: BankAnswer
    sources: tuple[Source, ...]
    features: Features
    evidence: str
