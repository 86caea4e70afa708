from __future__ import annotations

import numpy as np
import pytest

from engine import formats
from engine.formats import FORMATS, QUANTIZABLE, dequantize, find, quantize, unpack
from tests.engine.blocks import random_floats, random_rows, some_columns

gguf = pytest.importorskip("gguf", reason="the gguf package is the oracle; install requirements-dev.txt")
QUANTIZED = [name for name, entry in FORMATS.items() if entry.group_columns]
OF_GGML = [name for name, entry in FORMATS.items() if entry.ggml_type is not None]


@pytest.mark.parametrize("name", OF_GGML)
def test_numbers_and_block_sizes_are_those_of_ggml(name: str) -> None:
    kind = gguf.GGMLQuantizationType[name.upper()]
    assert FORMATS[name].ggml_type == kind.value
    assert gguf.GGML_QUANT_SIZES[kind] == (FORMATS[name].block_columns, FORMATS[name].block_bytes)
    assert formats.BY_GGML_TYPE[kind.value] is FORMATS[name]


@pytest.mark.parametrize("name", OF_GGML)
def test_weights_have_the_bits_that_the_reference_gives(name: str) -> None:
    data = random_rows(name, 7, 512)
    found = dequantize(name, data, 512)
    assert found.dtype == np.float32
    assert np.array_equal(found, gguf.dequantize(data, gguf.GGMLQuantizationType[name.upper()]))


@pytest.mark.parametrize("name", sorted({*QUANTIZED} & {*OF_GGML}))
def test_weights_of_any_bits_at_all_agree_with_the_reference(name: str) -> None:
    data = np.random.default_rng(5).integers(0, 256, (40, FORMATS[name].row_bytes(256)), dtype=np.uint8)
    with np.errstate(all="ignore"):
        expected = gguf.dequantize(data, gguf.GGMLQuantizationType[name.upper()])
        assert np.array_equal(dequantize(name, data, 256), expected, equal_nan=True)


@pytest.mark.parametrize("name", sorted({*QUANTIZABLE} & {*OF_GGML}))
def test_quantised_rows_have_the_bytes_that_the_reference_gives(name: str) -> None:
    values = random_floats(9, 256)
    values[1] = 0
    values[2, ::3] = -4.0
    expected = gguf.quantize(values, gguf.GGMLQuantizationType[name.upper()])
    assert np.array_equal(quantize(name, values), expected.view(np.uint8).reshape(9, -1))


@pytest.mark.parametrize("name", QUANTIZABLE)
def test_quantising_what_was_read_changes_it_by_no_more_than_half_a_step_again(name: str) -> None:
    values = random_floats(4, 64)
    once = dequantize(name, quantize(name, values), 64)
    steps = {
        "q4_0": 1 / 8,
        "q4_1": 1 / 15,
        "q8_0": 1 / 254,
        "f16": 1 / 2048,
        "bf16": 1 / 256,
        "f32": 0.0,
        "q2_1": 1 / 3,
        "q3_1": 1 / 7,
        "q4_64": 1 / 15,
    }
    width = np.abs(values).max() * 2 * steps[name]
    assert np.abs(once - values).max() <= width
    assert np.abs(dequantize(name, quantize(name, once), 64) - once).max() <= width


@pytest.mark.parametrize("name", QUANTIZED)
def test_a_grid_put_together_again_is_the_weights(name: str) -> None:
    columns = some_columns(name)[-1]
    data = random_rows(name, 3, columns)
    grid = unpack(name, data)
    width = FORMATS[name].group_columns
    weights = np.repeat(grid.scales, width, axis=1) * grid.quants
    if grid.offsets is not None:
        weights = weights + np.repeat(grid.offsets, width, axis=1)
    assert np.array_equal(weights, dequantize(name, data, columns))


def test_bf16_rounds_to_nearest_even_and_keeps_nan_and_infinity() -> None:
    bits = np.array([[0x3F808000, 0x3F818000, 0x7F800001, 0x7F800000]], np.uint32)
    back = dequantize("bf16", quantize("bf16", bits.view(np.float32)), 4).view(np.uint32)[0]
    assert back[0] == 0x3F800000 and back[1] == 0x3F820000 and back[3] == 0x7F800000
    assert np.isnan(back[2:3].view(np.float32)[0])


def test_a_row_length_that_blocks_do_not_fill_is_refused_with_what_would_be_right() -> None:
    with pytest.raises(ValueError, match="576 columns cannot be stored as q4_k, expected a multiple of 256"):
        find("q4_k").row_bytes(576)
    with pytest.raises(ValueError, match="multiple of 34"):
        find("q8_0").columns(35)


def test_an_unknown_format_and_wrong_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown weight format 'q9'"):
        find("q9")
    with pytest.raises(ValueError, match=r"uint8 \[rows, 34\]"):
        dequantize("q8_0", np.zeros((2, 33), np.uint8), 32)
    with pytest.raises(ValueError, match="cannot quantise to 'q6_k'"):
        quantize("q6_k", np.zeros((1, 256), np.float32))
    with pytest.raises(ValueError, match="no quantisation grid"):
        unpack("f16", np.zeros((1, 2), np.uint8))
