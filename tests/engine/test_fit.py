from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.fit import FitSettings, Sample, fit, rates, threshold


def sample(tokens: int, seed: int, rank: int = 12) -> Sample:
    """A layer whose up matrix has that rank and whose neurons fire for one token in twelve or so."""
    weights = np.random.default_rng(0)
    inner, out = weights.standard_normal((rank, 96)).astype(np.float32), weights.standard_normal((300, rank)).astype(np.float32)
    x = np.random.default_rng(seed).standard_normal((tokens, 96)).astype(np.float32)
    up = (x @ inner.T) @ out.T / np.float32(np.sqrt(96 * rank)) - np.float32(1.4)
    return Sample(x, up)


def test_a_layer_of_low_rank_is_foreseen_within_both_shares() -> None:
    found = fit(sample(1500, 1), sample(400, 2), FitSettings())
    assert len(found.inner) == 32
    assert found.false_negatives <= 0.05 and found.false_positives <= 0.1 and found.active_share < 0.12
    fresh = sample(400, 3)
    wanted = (fresh.x @ found.inner.T) @ found.out.T + found.bias >= 0
    misses, excess = rates(wanted, fresh.up > 0)
    assert misses <= 0.08 and excess <= 0.1


def test_the_rank_grows_while_too_much_is_wanted_in_vain() -> None:
    found = fit(sample(800, 1, rank=96), sample(200, 2, rank=96), FitSettings(false_positives=0.001, steps=5))
    assert len(found.inner) == 32  # a third of the width is the most here, since ranks are multiples of 32
    wide = Sample(np.tile(sample(800, 1).x, 2), sample(800, 1, rank=96).up)
    assert len(fit(wide, wide, FitSettings(false_positives=1e-6, steps=2)).inner) == 96


@given(st.floats(0.01, 0.5), st.integers(0, 1000))
def test_the_threshold_misses_no_more_than_it_may(share: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    scores, firing = random.standard_normal((30, 20)).astype(np.float32), random.random((30, 20)) < 0.2
    wanted = scores >= threshold(scores, firing, share)
    assert rates(wanted, firing)[0] <= share


@pytest.mark.parametrize("values", [{"false_negatives": 0.0}, {"false_positives": 1.0}, {"least_rank": 20}])
def test_settings_that_cannot_be_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        FitSettings(**values)  # type: ignore[arg-type]
