from __future__ import annotations

import numpy as np

from engine.sample import Sampler

LOGITS = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))


def drawn(temperature: float, top_p: float, seed: int, count: int) -> list[int]:
    sampler = Sampler(temperature, top_p, seed)
    return [sampler(LOGITS) for _ in range(count)]


def test_temperature_zero_takes_the_likeliest_token() -> None:
    assert set(drawn(0.0, 1.0, 1, 20)) == {0}


def test_the_same_seed_draws_the_same_tokens() -> None:
    assert drawn(1.0, 0.9, 5, 50) == drawn(1.0, 0.9, 5, 50)
    assert drawn(1.0, 0.9, 5, 50) != drawn(1.0, 0.9, 6, 50)


def test_draws_follow_the_probabilities() -> None:
    shares = np.bincount(drawn(1.0, 1.0, 3, 4000), minlength=4) / 4000
    assert np.abs(shares - np.exp(LOGITS)).max() < 0.03


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    assert set(drawn(1.0, 0.5, 2, 300)) == {0}
    assert set(drawn(1.0, 0.79, 2, 300)) == {0, 1}
    assert set(drawn(1.0, 0.81, 2, 300)) == {0, 1, 2}


def test_a_low_temperature_sharpens() -> None:
    assert drawn(0.2, 1.0, 4, 300).count(0) > 250


def test_an_infinite_logit_never_breaks_a_draw() -> None:
    assert Sampler(1.0, 0.9, 0)(np.array([-np.inf, 0.0, -np.inf], np.float32)) == 1
