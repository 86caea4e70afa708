"""The least confidence for an instant answer, chosen by testing thresholds in a fixed sequence (Learn then Test).

Questions with known verdicts are calibration labels. Thresholds are tried from the strictest down; each is kept only if a binomial
test rejects "more than alpha of the answered are wrong" at delta. Measured against the teacher's own questions the result is
*agreement*; *certified* needs labels that people judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from kb.library import Library

Provenance = Literal["human", "span", "teacher"]
DELTA = 0.1
ALPHAS = (0.20, 0.10, 0.05, 0.02, 0.01)
"""Allowed share of wrong answers among the instant ones, level 1 (answers most) to 5 (only the surest)."""
JUDGED_NEEDED = 45
"""Judged answers without an error that certify 5 % at delta 0.1: 0.95 ** 45 < 0.1."""
FLOORS = (0.50, 0.60, 0.70, 0.80, 0.90)
"""Confidence below which no calibration of a home may go, level 1 to 5."""


@dataclass(frozen=True)
class Label:
    """One calibration question: the confidence of its candidate, whether that was right, and who says so."""

    confidence: float
    right: bool
    provenance: Provenance


@dataclass(frozen=True)
class Certificate:
    """What a threshold was tested on. `kind` is "certified" with enough human labels, else "agreement", or "none" when untested.

    `delta` is the probability, over the choice of the questions, that more than `alpha` are wrong all the same.
    """

    level: int
    accept_at: float
    alpha: float
    delta: float
    kind: Literal["certified", "agreement", "none"]
    answered: int
    wrong: int
    judged: int
    teacher: str = ""

    def sentence(self) -> str:
        """The certificate in words for a person."""
        if self.kind == "certified":
            return f"certified: at most {self.alpha:.0%} wrong, {self.wrong} of {self.answered} judged answers were"
        return f"not certified: {self.judged} of {JUDGED_NEEDED} judged"

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def p_value(wrong: int, answered: int, alpha: float) -> float:
    """Probability of at most `wrong` errors among `answered` if the true share were alpha; 1 when nothing was answered."""
    from scipy.stats import binom

    return 1.0 if answered == 0 else float(binom.cdf(wrong, answered, alpha))


def sequence_test(labels: Sequence[Label], alpha: float, delta: float) -> tuple[float, int, int] | None:
    """(threshold, answered, wrong) of the lowest threshold whose whole sequence above it passed; None when not even the first did.

    The sequence is fixed ahead by the sorted confidences from the top down, starting where an errorless run could first pass.
    """
    ordered = sorted(labels, key=lambda label: -label.confidence)
    least = int(np.ceil(np.log(delta) / np.log(1 - alpha)))
    passed = None
    wrong = sum(not label.right for label in ordered[: least - 1])
    for answered, label in enumerate(ordered[least - 1 :], start=least):
        wrong += not label.right
        if answered < len(ordered) and ordered[answered].confidence == label.confidence:
            continue
        if p_value(wrong, answered, alpha) > delta:
            break
        passed = (label.confidence, answered, wrong)
    return passed


def certificates(labels: Sequence[Label], teacher: str = "") -> list[Certificate]:
    """One per level, strictest alpha last, each tested at delta / 5 so that all five hold together."""
    human = [label for label in labels if label.provenance == "human"]
    enough = len(human) >= JUDGED_NEEDED
    used = human if enough else list(labels)
    found: list[Certificate] = []
    for level, (alpha, floor) in enumerate(zip(ALPHAS, FLOORS, strict=True), start=1):
        passed = sequence_test(used, alpha, DELTA / len(ALPHAS))
        if passed is None:
            found.append(Certificate(level, _above(floor, found), alpha, DELTA, "none", 0, 0, len(human), teacher))
            continue
        accept, answered, wrong = passed
        kind: Literal["certified", "agreement"] = "certified" if enough else "agreement"
        lowest = accept if enough else max(accept, floor)
        found.append(Certificate(level, max(lowest, _above(0.0, found)), alpha, DELTA, kind, answered, wrong, len(human), teacher))
    return found


def accept_at(library: Library, level: int) -> float:
    """Least confidence for an instant answer at the user's level, 1 (answers most) to 5 (only the surest).

    Raises:
        ValueError: there is no such level.
    """
    if not 1 <= level <= len(ALPHAS):
        raise ValueError(f"level is {level}, expected 1 to {len(ALPHAS)}")
    from surrogates.model import current

    return current(library.home, library.encoder.name).certificates[level - 1].accept_at


def _above(floor: float, lower: Sequence[Certificate]) -> float:
    return max([floor, *(certificate.accept_at for certificate in lower)])
