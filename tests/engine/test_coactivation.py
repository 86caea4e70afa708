from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.coactivation import chain, order
from engine.reuse import expected_loads, loads, run_length

START = np.zeros(1, np.int64)


def clustered(passes: int, clusters: int, size: int, seed: int = 0) -> np.ndarray:
    """Neurons that fire in clusters, scattered over the layer."""
    random = np.random.default_rng(seed)
    together = random.random((passes, clusters)) < 0.1
    return np.repeat(together, size, axis=1)[:, random.permutation(clusters * size)]


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 60), st.integers(0, 9))
def test_an_order_is_a_permutation_with_the_hot_neurons_in_front(passes: int, neurons: int, hot: int, seed: int) -> None:
    firing = np.random.default_rng(seed).random((passes, neurons)) < 0.3
    hot = min(hot, neurons)
    found = order(firing, firing, hot)
    assert np.array_equal(np.sort(found), np.arange(neurons))
    counts = firing.sum(axis=0)
    assert hot == 0 or counts[found[:hot]].min() >= counts[found[hot:]].max(initial=0)


def test_neurons_that_are_loaded_together_come_to_lie_together() -> None:
    learned, unseen = clustered(600, 40, 5), clustered(600, 40, 5)
    found = chain(learned)
    assert run_length(unseen, found) >= 4.5 > 2 > run_length(unseen, np.arange(200))


def test_a_window_loads_only_what_it_does_not_hold() -> None:
    firing = np.array([[1, 0], [1, 1], [0, 0], [0, 1], [1, 0]], bool)
    assert loads(firing, 1, START).tolist() == [[True, False], [False, True], [False, False], [False, True], [True, False]]
    assert loads(firing, 5, START).tolist() == [[True, False], [False, True], [False, False], [False, False], [False, False]]


def test_another_text_begins_with_an_empty_window() -> None:
    firing = np.ones((4, 1), bool)
    assert loads(firing, 3, np.array([0, 2])).ravel().tolist() == [True, False, True, False]


def test_larger_windows_are_expected_to_load_less() -> None:
    random = np.random.default_rng(0)
    often = random.beta(0.3, 2.7, 500)
    table = expected_loads([random.random((120, 500)) < often])
    shares = [share for _, _, share in table]
    assert shares == sorted(shares, reverse=True) and shares[0] > shares[-1]
    assert all(0 <= pinned <= slots / 2 for slots, pinned, _ in table)
