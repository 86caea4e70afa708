from dataclasses import replace

import numpy as np
import pytest

from surrogates.confidence import BUILT_IN, NAMES, Features, Head, fit

GOOD = Features(0.95, 0.93, 0.3, 0.9, 0.9, 1.0, 0.9, 1.0, 0.7, 0.2, 0.0)
POOR = Features(0.4, 0.4, 0.01, 0.2, 0.2, 0.4, 0.2, 0.0, 0.2, -0.2, 0.6)


def test_the_built_in_head_tells_a_paraphrase_from_something_else() -> None:
    assert BUILT_IN.confidence(GOOD) > 0.9
    assert BUILT_IN.confidence(POOR) < 0.1


def test_every_feature_that_speaks_for_an_answer_raises_the_confidence() -> None:
    middle = Features(*(0.5,) * len(NAMES))
    for name in ("score", "margin", "shared_words", "evidence_rank"):
        assert BUILT_IN.confidence(replace(middle, **{name: 0.9})) > BUILT_IN.confidence(middle)
    assert BUILT_IN.confidence(replace(middle, novelty=1.0)) < BUILT_IN.confidence(middle)


def test_a_fit_follows_many_rows_and_stays_at_the_prior_with_few() -> None:
    chance = np.random.default_rng(0)
    rows = [Features(*chance.random(len(NAMES))) for _ in range(800)]
    right = [row.margin > 0.5 for row in rows]
    weights = dict(zip(NAMES, fit(rows, right).weights, strict=True))
    assert weights["margin"] == max(weights.values())
    near = fit(rows[:4], [True, False, True, False], strength=1_000)
    assert np.allclose(near.weights, BUILT_IN.weights, atol=0.05)


def test_a_fit_needs_right_and_wrong() -> None:
    with pytest.raises(ValueError, match="right and wrong"):
        fit([GOOD, POOR], [True, True])


def test_a_head_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="2 weights, expected 11"):
        Head((1.0, 2.0), 0.0)
    with pytest.raises(ValueError, match="finite"):
        Head((float("nan"),) * len(NAMES), 0.0)
