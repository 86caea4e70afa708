"""Fits a layer's predictor to what the layer did on a text: reduced-rank regression first, then a balanced loss, in numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.formats import Floats
from engine.sparse import Mask

RANK_STEP = 32
"""Ranks are multiples of this: whole blocks of eight-bit rows."""


@dataclass(frozen=True)
class FitSettings:
    """`false_negatives` is the share of firing neurons that may be missed; the rank grows until at most `false_positives` of the silent
    ones are wanted, or it reaches half of the hidden width."""

    false_negatives: float = 0.04
    false_positives: float = 0.08
    least_rank: int = 32
    steps: int = 300
    batch: int = 256
    rate: float = 2e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.false_negatives < 1 or not 0 < self.false_positives < 1:
            raise ValueError(f"shares lie between 0 and 1, got {self.false_negatives} and {self.false_positives}")
        if self.least_rank < RANK_STEP or self.least_rank % RANK_STEP:
            raise ValueError(f"the least rank is {self.least_rank}, expected a multiple of {RANK_STEP}")


@dataclass(frozen=True)
class Fitted:
    """Scores are out (inner x) + bias, wanted from 0 on. Both shares were measured on tokens that were not fitted."""

    inner: Floats
    out: Floats
    bias: Floats
    false_negatives: float
    false_positives: float
    active_share: float


@dataclass(frozen=True)
class Sample:
    """What a layer did: `x` [tokens, hidden], the predictor's input; `up` [tokens, neurons], before the ReLU."""

    x: Floats
    up: Floats


def fit(train: Sample, test: Sample, settings: FitSettings) -> Fitted:
    """The predictor of least rank that keeps to both shares on `test`, or the best there is."""
    most = max(train.x.shape[1] // 2 // RANK_STEP * RANK_STEP, settings.least_rank)
    rank = min(settings.least_rank, most)
    while True:
        found = _at_rank(train, test, rank, settings)
        if found.false_positives <= settings.false_positives or rank >= most:
            return found
        rank = min(2 * rank, most)


def _at_rank(train: Sample, test: Sample, rank: int, settings: FitSettings) -> Fitted:
    inner, out, bias = _regress(train, rank)
    inner, out, bias = _balance(train, inner, out, bias, settings)
    scores, firing = np.asarray((test.x @ inner.T) @ out.T + bias, np.float32), test.up > 0
    shift = threshold(scores, firing, settings.false_negatives)
    wanted = scores >= shift
    misses, excess = rates(wanted, firing)
    return Fitted(inner, out, bias - np.float32(shift), misses, excess, float(firing.mean()))


def threshold(scores: Floats, firing: Mask, false_negatives: float) -> float:
    """The highest score below which no more than that share of the firing neurons lies."""
    of_firing = scores[firing]
    return 0.0 if of_firing.size == 0 else float(np.quantile(of_firing, false_negatives, method="lower"))


def rates(wanted: Mask, firing: Mask) -> tuple[float, float]:
    """(share of the firing neurons that are not wanted, share of the silent ones that are)."""
    missed, fires = int((firing & ~wanted).sum()), int(firing.sum())
    excess = int((wanted & ~firing).sum())
    return missed / max(fires, 1), excess / max(firing.size - fires, 1)


def _regress(train: Sample, rank: int) -> tuple[Floats, Floats, Floats]:
    """The product of that rank which comes nearest to `up`, in least squares: (inner, out, bias)."""
    mean, centre = train.x.mean(axis=0), train.up.mean(axis=0)
    x, up = train.x - mean, train.up - centre
    gram = x.T @ x
    gram[np.diag_indices_from(gram)] += 1e-2 * np.trace(gram) / len(gram)
    whole = np.linalg.solve(gram, x.T @ up)  # [hidden, neurons]
    basis = np.random.default_rng(0).standard_normal((up.shape[1], rank)).astype(np.float32)
    for _ in range(4):  # subspace iteration towards the directions in which the fitted values vary most
        basis = np.linalg.qr(whole.T @ (gram @ (whole @ basis)))[0].astype(np.float32)
    inner = np.ascontiguousarray((whole @ basis).T)  # [rank, hidden]
    spread = np.float32(up.std() + 1e-9)
    return inner / spread, basis, (centre - (mean @ inner.T) @ basis.T) / spread


def _balance(train: Sample, inner: Floats, out: Floats, bias: Floats, settings: FitSettings) -> tuple[Floats, Floats, Floats]:
    """Adam on the logistic loss in which the few firing neurons weigh as much as the many silent ones."""
    random = np.random.default_rng(settings.seed)
    firing_share = float(np.clip((train.up > 0).mean(), 1e-3, 0.999))
    weights = np.float32(0.5 / firing_share), np.float32(0.5 / (1 - firing_share))
    size = np.float32(np.sqrt(np.square(inner).mean() / max(float(np.square(out).mean()), 1e-12)) ** 0.5)
    values = [inner / size, out * size, bias.copy()]  # both factors of like size, so that one rate suits both
    moments = [(np.zeros_like(value), np.zeros_like(value)) for value in values]
    rates_of = [float(np.sqrt(np.square(value).mean())) + 1e-6 for value in values]
    for step in range(1, settings.steps + 1):
        rows = random.integers(0, len(train.x), min(settings.batch, len(train.x)))
        slopes = _slopes(train.x[rows], train.up[rows] > 0, values, weights)
        rate = settings.rate * 10 * (1 - step / (settings.steps + 1))
        for value, slope, moment, scale in zip(values, slopes, moments, rates_of, strict=True):
            _adam(value, slope, moment, rate * scale, step)
    return values[0], values[1], values[2]


def _slopes(x: Floats, firing: Mask, values: list[Floats], weights: tuple[np.float32, np.float32]) -> list[Floats]:
    inner, out, bias = values
    bottleneck = x @ inner.T  # [n, rank]
    scores = bottleneck @ out.T + bias
    error = 1 / (1 + np.exp(-np.clip(scores, -30, 30))) - firing  # [n, neurons]
    error *= np.where(firing, *weights) / np.float32(firing.size)
    error = error.astype(np.float32)
    return [(error @ out).T @ x, error.T @ bottleneck, error.sum(axis=0)]


def _adam(value: Floats, slope: Floats, moment: tuple[Floats, Floats], rate: float, step: int) -> None:
    mean, square = moment
    mean *= np.float32(0.9)
    mean += np.float32(0.1) * slope
    square *= np.float32(0.99)
    square += np.float32(0.01) * np.square(slope)
    corrected: NDArray[np.float32] = np.sqrt(square / np.float32(1 - 0.99**step)) + np.float32(1e-12)
    value -= np.float32(rate / (1 - 0.9**step)) * mean / corrected
