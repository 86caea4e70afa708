from __future__ import annotations

import numpy as np
import pytest

from engine import rounding
from engine.formats import Floats, dequantize, quantize
from engine.kernels import Kernels, load
from engine.lowbit import FORMAT_OF_BITS
from tests.engine.blocks import random_floats


@pytest.fixture
def seconds() -> Floats:
    """Second moments of inputs that go together and differ in size."""
    mixing = random_floats(192, 192, seed=1) * np.float32(0.1) + np.eye(192, dtype=np.float32)
    inputs = random_floats(600, 192, seed=2) * np.exp(random_floats(192, seed=3)) @ mixing
    return rounding.moments(np.asarray(inputs, np.float32), np.ones(600, np.float32))


@pytest.fixture(params=["native", "twin"])
def kernels(request: pytest.FixtureRequest) -> Kernels:
    return load(request.param)


def relative_error(weights: Floats, kept: Floats, seconds: Floats) -> float:
    """The energy of the products' error as a share of the products' energy."""
    off = weights - kept
    return float(np.einsum("ij,ij->", off @ seconds, off) / np.einsum("ij,ij->", weights @ seconds, weights))


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_rounding_with_the_inputs_in_view_changes_products_less_than_half_as_much(kernels: Kernels, bits: int, seconds: Floats) -> None:
    weights = random_floats(100, 192) * np.float32(0.03)
    rows, _ = rounding.round_rows(kernels, bits, weights, rounding.factor(seconds))
    aware = relative_error(weights, dequantize(FORMAT_OF_BITS[bits], rows, 192), seconds)
    plain = relative_error(weights, dequantize(FORMAT_OF_BITS[bits], quantize(FORMAT_OF_BITS[bits], weights), 192), seconds)
    assert aware < plain / 2


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_the_library_and_the_twin_round_to_the_same_bytes_but_for_ties(bits: int, seconds: Floats) -> None:
    weights, upper = random_floats(50, 192, seed=5) * np.float32(0.03), rounding.factor(seconds)
    native, twin = (rounding.round_rows(load(which), bits, weights, upper)[0] for which in ("native", "twin"))
    assert (native == twin).mean() > 0.99


def test_what_is_said_to_be_lost_is_what_the_products_lose(kernels: Kernels, seconds: Floats) -> None:
    weights = random_floats(40, 192, seed=6)
    rows, lost = rounding.round_rows(kernels, 3, weights, rounding.factor(seconds))
    off = weights - dequantize("q3_1", rows, 192)
    damped = seconds + np.eye(192, dtype=np.float32) * np.float32(rounding.DAMPING * np.diag(seconds).mean())
    assert lost == pytest.approx(float(np.einsum("ij,ij->", off @ damped, off)), rel=1e-2)


def test_tokens_weigh_as_they_are_told() -> None:
    inputs, weights = random_floats(3, 64), np.array([2, 0, 1], np.float32)
    expected = (2 * np.outer(inputs[0], inputs[0]) + np.outer(inputs[2], inputs[2])) / 3
    assert np.allclose(rounding.moments(inputs, weights), expected, atol=1e-5)
