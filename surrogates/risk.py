"""Risk against coverage, and how far confidences are from the truth: figures over (confidence, right) of every question asked."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

BINS = 10


@dataclass(frozen=True)
class Judged:
    """One question: how sure its candidate is, 0 where none may be given, and whether that is right."""

    confidence: float
    right: bool


@dataclass(frozen=True)
class Point:
    """Answering every question of at least `confidence`: the share answered and the share wrong among them."""

    confidence: float
    coverage: float
    risk: float


@dataclass(frozen=True)
class Bin:
    """The questions with a confidence from `low` to below `high` (the last bin includes 1): the mean said and the share right."""

    low: float
    high: float
    questions: int
    confidence: float
    right: float


def curve(judged: Sequence[Judged]) -> list[Point]:
    """One point for each confidence that occurs, the surest first; what has confidence 0 is never answered and ends no point."""
    ordered = sorted(judged, key=lambda each: -each.confidence)
    points, answered, wrong = [], 0, 0
    for confidence, same in groupby(ordered, key=lambda each: each.confidence):
        if confidence <= 0:
            break
        for each in same:
            answered += 1
            wrong += not each.right
        points.append(Point(confidence, answered / len(ordered), wrong / answered))
    return points


def aurc(judged: Sequence[Judged]) -> float:
    """Area under the risk-coverage curve: the mean error of the k surest answers over all k; 0 is best.

    Raises:
        ValueError: there are no questions.
    """
    if not judged:
        raise ValueError("there is no area under a curve of no questions")
    wrong, risks = 0, []
    for count, each in enumerate(sorted(judged, key=lambda each: -each.confidence), start=1):
        wrong += not each.right
        risks.append(wrong / count)
    return statistics.mean(risks)


def reliability(judged: Sequence[Judged], bins: int = BINS) -> list[Bin]:
    """The reliability diagram over the questions that have a candidate; empty bins are left out."""
    found = []
    for index in range(bins):
        low, high = index / bins, (index + 1) / bins
        held = [each for each in judged if each.confidence > 0 and min(int(each.confidence * bins), bins - 1) == index]
        if held:
            said = statistics.mean(each.confidence for each in held)
            found.append(Bin(low, high, len(held), said, sum(each.right for each in held) / len(held)))
    return found


def calibration_error(judged: Sequence[Judged], bins: int = BINS) -> float | None:
    """Expected calibration error: mean distance of said and true shares over the bins, weighed by questions; None without candidates."""
    held = reliability(judged, bins)
    total = sum(each.questions for each in held)
    return sum(each.questions * abs(each.confidence - each.right) for each in held) / total if total else None
