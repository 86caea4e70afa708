"""The least confidence for an instant answer, chosen by testing thresholds in a fixed sequence (Learn then Test, arXiv:2110.01052).

Questions with known verdicts are labels. The thresholds of `GRID` are tried from the strictest down; each is kept only if a binomial
test rejects "more than alpha of the answered are wrong" at delta. Measured against the teacher's own questions the result is
*agreement*; *certified* needs labels that people judged, and that is `judging`'s to say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from kb.library import Library

Provenance = Literal["human", "span", "teacher"]
DELTA = 0.1
ALPHAS = (0.20, 0.10, 0.05, 0.02, 0.01)
"""Allowed share of wrong answers among the instant ones, level 1 (answers most) to 5 (only the surest)."""
FLOORS = (0.60, 0.80, 0.85, 0.90, 0.95)
"""Confidence below which agreement with a teacher may not take a level, 1 to 5."""
GRID = tuple(round(0.98 - 0.02 * step, 2) for step in range(25))
"""The thresholds that are tested, 0.98 down to 0.50: fixed before any question is asked."""


@dataclass(frozen=True)
class Label:
    """One calibration question: the confidence of its candidate, whether that was right, and who says so.

    Labels with the same `passage` hang together and count as one question; None stands alone.
    """

    confidence: float
    right: bool
    provenance: Provenance
    passage: int | None = None


@dataclass(frozen=True)
class Certificate:
    """What a threshold was tested on. `kind` is "certified" by human labels, else "agreement" with the teacher, or "none" when untested.

    `delta` is the probability, over the choice of the questions, that more than `alpha` are wrong all the same, at any level at any time.
    `judged` of `needed` human-judged answers are there for the next test. `fingerprint` is the bank and model that it stands on, `void` why
    an earlier one stands no more ("" where there was none).
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
    needed: int = 0
    fingerprint: str = ""
    at: str = ""
    void: str = ""

    def sentence(self) -> str:
        """The certificate in words for a person."""
        if self.kind == "certified":
            return f"certified: at most {self.alpha:.0%} wrong, {self.wrong} of {self.answered} judged answers were"
        return f"not certified: {self.judged} of {self.needed} judged"

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def p_value(wrong: int, answered: int, alpha: float) -> float:
    """Probability of at most `wrong` errors among `answered` if the true share were alpha; 1 when nothing was answered."""
    if answered == 0:
        return 1.0
    logs = [
        math.lgamma(answered + 1) - math.lgamma(k + 1) - math.lgamma(answered - k + 1)
        + k * math.log(alpha) + (answered - k) * math.log(1 - alpha)
        for k in range(wrong + 1)
    ]  # fmt: skip
    return min(1.0, math.fsum(math.exp(value) for value in logs))


def least_labels(alpha: float, delta: float) -> int:
    """Labels without an error that pass one test: (1 - alpha) ** n <= delta.

    >>> least_labels(0.05, 0.1), least_labels(0.02, 0.1), least_labels(0.01, 0.1)
    (45, 114, 230)
    """
    return math.ceil(math.log(delta) / math.log(1 - alpha))


def count(labels: Sequence[Label], threshold: float) -> tuple[int, int]:
    """(answered, wrong) at a threshold. Labels on one passage count once, as wrong if any of them is."""
    right: dict[object, bool] = {}
    for index, label in enumerate(labels):
        if label.confidence >= threshold:
            key = ("alone", index) if label.passage is None else label.passage
            right[key] = right.get(key, True) and label.right
    return len(right), sum(not each for each in right.values())


def sequence_test(labels: Sequence[Label], alpha: float, delta: float) -> tuple[float, int, int] | None:
    """(threshold, answered, wrong) of the lowest threshold of `GRID` whose whole sequence above it passed; None when none did.

    The sequence starts where an errorless run could first pass. That the start depends on how many labels lie above is harmless as
    long as answers of less confidence are not more often right.
    """
    least, passed = least_labels(alpha, delta), None
    for threshold in GRID:
        answered, wrong = count(labels, threshold)
        if answered < least:
            continue
        if p_value(wrong, answered, alpha) > delta:
            break
        passed = (threshold, answered, wrong)
    return passed


def certificates(labels: Sequence[Label], teacher: str = "") -> list[Certificate]:
    """What the teacher's own labels allow, one per level, strictest alpha last, each tested at delta / 5 so that all five hold together.

    This is agreement, never a certified error, whatever the labels say of themselves: it may raise a level above its floor, not lower it.
    """
    found: list[Certificate] = []
    for level, (alpha, floor) in enumerate(zip(ALPHAS, FLOORS, strict=True), start=1):
        passed = sequence_test(labels, alpha, DELTA / len(ALPHAS))
        accept, answered, wrong = passed or (floor, 0, 0)
        lowest = max([accept, floor, *(certificate.accept_at for certificate in found)])
        found.append(Certificate(level, lowest, alpha, DELTA, "agreement" if passed else "none", answered, wrong, 0, teacher))
    return found


def accept_at(library: Library, level: int) -> float:
    """Least confidence for an instant answer at the user's level, 1 (answers most) to 5 (only the surest); above 1 nothing is sure enough.

    What people certified for the bank and model of now, else what the teacher's agreement allows; raised where audits found errors.

    Raises:
        ValueError: there is no such level.
    """
    if not 1 <= level <= len(ALPHAS):
        raise ValueError(f"level is {level}, expected 1 to {len(ALPHAS)}")
    from surrogates import judging

    return judging.accept_at(library, level)
