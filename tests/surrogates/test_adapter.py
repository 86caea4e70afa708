import numpy as np
import pytest

from surrogates.adapter import Adapter, AdapterSettings, fit


def clusters(seed: int = 0) -> tuple[np.ndarray, list[int], np.ndarray, list[int]]:
    """Questions of 12 answers, three each: the answer's direction is faint beside one that all of them share and noise."""
    chance = np.random.default_rng(seed)
    answers = chance.standard_normal((12, 32))
    labels = [number for number in range(12) for _ in range(3)]
    vectors = answers[labels] * 0.6 + chance.standard_normal((36, 32)) * 0.8 + 2.0
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    lures = np.roll(unit, 3, axis=0)
    return unit, labels, lures, list(range(36))


def nearest_is_own(vectors: np.ndarray, labels: list[int]) -> float:
    scores = vectors @ vectors.T - 2 * np.eye(len(vectors))
    return float(np.mean(np.asarray(labels)[scores.argmax(axis=1)] == labels))


def test_the_identity_changes_nothing() -> None:
    vectors = clusters()[0]
    assert np.allclose(Adapter.identity(32).apply(vectors), vectors, atol=1e-6)


def test_training_brings_questions_of_one_answer_together() -> None:
    vectors, labels, lures, negative_of = clusters()
    adapter = fit(vectors, labels, lures, negative_of, AdapterSettings(epochs=60, pull=0.0))
    adapted = adapter.apply(vectors)
    assert np.allclose(np.linalg.norm(adapted, axis=1), 1.0, atol=1e-5)
    assert nearest_is_own(adapted, labels) > nearest_is_own(vectors, labels)


def test_one_seed_gives_one_adapter() -> None:
    one, two = (fit(*clusters(), AdapterSettings(epochs=2)) for _ in range(2))
    assert np.array_equal(one.weight, two.weight)


def test_questions_without_partners_train_nothing() -> None:
    vectors = clusters()[0]
    assert not fit(vectors, list(range(36)), np.zeros((0, 32), np.float32), []).weight.any()


def test_a_stopped_training_gives_the_identity() -> None:
    assert not fit(*clusters(), AdapterSettings(epochs=2), should_stop=lambda: True).weight.any()


@pytest.mark.parametrize("weight", [np.zeros((2, 3), np.float32), np.full((2, 2), np.nan, np.float32)])
def test_a_matrix_that_cannot_adapt_is_refused(weight: np.ndarray) -> None:
    with pytest.raises(ValueError, match="adapter"):
        Adapter(weight)


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="batch is 1"):
        AdapterSettings(batch=1)
    with pytest.raises(ValueError, match="temperature is 0"):
        AdapterSettings(temperature=0)
