"""A question with the answer that a passage gives to it: what teaching makes, filters judge and the bank keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Source = Literal["structure", "engine", "human"]


@dataclass(frozen=True)
class Quote:
    """A span of one passage: `start` and `end` are characters of the passage's text, end exclusive."""

    passage_id: int
    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"a quote from {self.start} to {self.end} holds no text")


@dataclass(frozen=True)
class Pair:
    """`answer` is the quotes' text, or a row of a table put into words; every number and code in it stands in a quote."""

    question: str
    answer: str
    quotes: tuple[Quote, ...]
    source: Source

    def __post_init__(self) -> None:
        if not self.quotes:
            raise ValueError(f"the pair {self.question!r} rests on no passage")
