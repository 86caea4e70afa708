"""How sure an instant answer is: features of one candidate, and a small logistic head that turns them into a probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Features:
    """What is known about one candidate answer for one question; all about 0..1."""

    score: float
    """Cosine of the adapted vectors of the question and the bank question."""
    frozen: float
    """The same before adaptation."""
    margin: float
    """Score minus the best score of a question that rests on other passages."""
    agreement: float
    """Share of the nearest bank questions, weighed by score, that rest on the same passage."""
    shared_words: float
    """How much of the question, weighed by rarity, the bank question says too."""
    explained: float
    """The same, said by bank question, answer, passage or heading."""
    returned: float
    """How much of the bank question the user's question says."""
    evidence_rank: float
    """1 / rank of the source passage in the live search, 0 when it is not among the hits."""
    evidence_dense: float
    """Cosine of question and source passage."""
    evidence_lead: float
    """How much more of the question the source passage says than any other hit does; negative when another says more."""
    novelty: float
    """How much of the question, weighed by rarity, no passage of the library says."""

    def array(self) -> NDArray[np.float64]:
        """The features in order, [11]."""
        return np.asarray(astuple(self), np.float64)


NAMES = tuple(field.name for field in fields(Features))


@dataclass(frozen=True)
class Head:
    """A logistic model over features as they are (no scaling); `weights` in the order of `NAMES`."""

    weights: tuple[float, ...]
    bias: float

    def __post_init__(self) -> None:
        if len(self.weights) != len(NAMES):
            raise ValueError(f"the head has {len(self.weights)} weights, expected {len(NAMES)}")
        if not np.isfinite([*self.weights, self.bias]).all():
            raise ValueError("the head holds numbers that are not finite")

    def confidence(self, features: Features) -> float:
        """Probability that the candidate is right, 0..1."""
        return float(1.0 / (1.0 + np.exp(-(features.array() @ np.asarray(self.weights) + self.bias))))


# Chosen by hand, then fitted near that on hand-written questions: `python -m benchmarks.surrogate --limit 0 --fit`.
BUILT_IN = Head(weights=(2.777, 1.837, 1.929, 1.009, 2.173, 1.763, 1.42, 1.326, 1.307, 0.89, -1.917), bias=-9.777)


def fit(rows: Sequence[Features], right: Sequence[bool], prior: Head = BUILT_IN, strength: float = 20.0) -> Head:
    """Logistic regression that stays near `prior` unless the rows speak against it; `strength` counts like that many rows.

    Both kinds weigh the same in sum, so that many easy questions do not make the head sure of itself.

    Raises:
        ValueError: there are not both right and wrong rows.
    """
    from scipy.optimize import minimize

    labels = np.asarray(right, np.float64)  # [n]
    if labels.min(initial=1.0) == labels.max(initial=0.0):
        raise ValueError("calibration needs right and wrong candidates, got one kind")
    table = np.column_stack([[row.array() for row in rows], np.ones(len(rows))])  # [n, k + 1]
    start = np.asarray([*prior.weights, prior.bias])
    balance = np.where(labels > 0, len(labels) / 2 / labels.sum(), len(labels) / 2 / (1 - labels).sum())

    def loss(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = table @ point
        error = balance * (1 / (1 + np.exp(-logits)) - labels)
        value = float((balance * (np.logaddexp(0, logits) - labels * logits)).sum() + strength / 2 * ((point - start) ** 2).sum())
        return value, table.T @ error + strength * (point - start)

    found = minimize(loss, start, jac=True, method="L-BFGS-B")
    return Head(tuple(float(weight) for weight in found.x[:-1]), float(found.x[-1]))
