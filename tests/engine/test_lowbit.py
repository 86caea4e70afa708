from __future__ import annotations

import numpy as np
import pytest

from engine import lowbit
from engine.formats import dequantize, find, quantize
from tests.engine.blocks import random_floats, random_rows


@pytest.mark.parametrize("name", lowbit.FORMAT_OF_BITS.values())
def test_a_block_taken_apart_and_put_together_is_the_same_bytes(name: str) -> None:
    blocks = random_rows(name, 5, 256).reshape(-1, find(name).block_bytes)
    quants = lowbit.unpack_blocks(blocks, int(name[1]))[0].view(np.uint8)
    again = lowbit.pack_blocks(quants, blocks[:, 0].copy(), blocks[:, 1].copy().view(np.int8), int(name[1]))
    assert np.array_equal(again, blocks)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_a_weight_is_scale_times_quant_plus_an_eighth_of_zero(bits: int) -> None:
    quants = np.arange(64, dtype=np.uint8).reshape(1, 64) % (1 << bits)
    block = lowbit.pack_blocks(quants, lowbit.scale_codes(np.array([0.25], np.float32)), np.array([-12], np.int8), bits)
    assert block.shape == (1, find(lowbit.FORMAT_OF_BITS[bits]).block_bytes)
    assert np.array_equal(dequantize(lowbit.FORMAT_OF_BITS[bits], block, 64), 0.25 * (quants - 1.5).astype(np.float32))


def test_every_scale_in_the_range_that_is_used_has_a_code_of_its_own() -> None:
    codes = np.arange(8, 248, dtype=np.uint8)
    assert np.array_equal(lowbit.scale_codes(lowbit.scales_of(codes)), codes)
    assert lowbit.scales_of(lowbit.scale_codes(np.array([0.0, 1e9], np.float32))).tolist() == [2.0**-14, 61440.0]


@pytest.mark.parametrize(("name", "share"), [("q2_1", 0.12), ("q3_1", 0.035), ("q4_64", 0.012)])
def test_rounding_normal_weights_loses_no_more_than_the_bits_explain(name: str, share: float) -> None:
    """A uniform grid that fits one normal distribution loses 11.9 % of the energy with two bits, 3.7 % with three, 1.2 % with four."""
    values = random_floats(50, 576, seed=2) * np.float32(0.03)
    error = np.square(dequantize(name, quantize(name, values), 576) - values).sum()
    assert error <= share * np.square(values).sum()


def test_important_columns_are_rounded_better() -> None:
    values = random_floats(64, 200)
    importance = np.ones(64, np.float32)
    importance[::8] = 100

    def error(weights: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> float:
        scales, zeros = lowbit.fit(values, weights, 3)
        found = lowbit.rounded(values, lowbit.scales_of(scales), zeros.astype(np.float32), 3)
        return float(np.square(found - values)[::8].sum())

    assert error(importance) < error(np.ones(64, np.float32))
