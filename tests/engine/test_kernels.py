"""The laws that both implementations of the kernels keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import kernels as kernel_library
from engine.formats import FORMATS, dequantize
from engine.kernels import DIRECT_ALIGNMENT, Kernels, aligned_buffer
from engine.native.place import library_path
from engine.native.twin import Twin, quantize_activations
from tests.engine.blocks import random_floats, random_rows, some_columns


@pytest.fixture(scope="module", params=["native", "twin"])
def kernels(request: pytest.FixtureRequest) -> Kernels:
    if request.param == "native" and not library_path().exists():
        pytest.skip("the native library is not built; run `python -m engine.native.build`")
    return kernel_library.load(request.param)


@pytest.mark.parametrize("name", FORMATS)
def test_products_are_those_of_the_weights_with_eight_bit_activations(kernels: Kernels, name: str) -> None:
    for columns in some_columns(name):
        weights, x = random_rows(name, 13, columns), random_floats(5, columns, seed=1)
        plain = dequantize(name, weights, columns).astype(np.float64)
        seen = x.astype(np.float64)
        if FORMATS[name].group_columns:
            quants, scales = quantize_activations(x)
            seen = quants.astype(np.float64) * np.repeat(scales, 32, axis=1)
        error = np.abs(kernels.matmul(name, weights, x) - seen @ plain.T)
        assert (error <= 1e-6 * (np.abs(seen) @ np.abs(plain).T)).all()


@pytest.mark.parametrize("name", FORMATS)
def test_a_token_has_the_same_bits_alone_and_among_others(kernels: Kernels, name: str) -> None:
    columns = some_columns(name)[-1]
    weights, x = random_rows(name, 11, columns), random_floats(19, columns, seed=2)
    together = kernels.matmul(name, weights, x)
    assert all(np.array_equal(kernels.matmul(name, weights, x[t : t + 1])[0], together[t]) for t in range(len(x)))
    assert np.array_equal(kernels.matmul(name, weights, x[6:9]), together[6:9])


@pytest.mark.parametrize("name", FORMATS)
def test_rows_a_stride_apart_give_what_contiguous_ones_give(kernels: Kernels, name: str) -> None:
    columns = some_columns(name)[-1]
    bundles = np.zeros((9, 64 + FORMATS[name].row_bytes(columns)), np.uint8)
    rows = bundles[:, 30 : 30 + FORMATS[name].row_bytes(columns)]
    rows[:] = random_rows(name, 9, columns)
    x, coefficients = random_floats(2, columns), random_floats(2, 9)
    assert np.array_equal(kernels.matmul(name, rows, x), kernels.matmul(name, rows.copy(), x))
    assert np.array_equal(kernels.weighted_sum(name, rows, coefficients), kernels.weighted_sum(name, rows.copy(), coefficients))


@pytest.mark.parametrize("name", FORMATS)
def test_a_weighted_sum_adds_rows_times_their_coefficients(kernels: Kernels, name: str) -> None:
    for columns in some_columns(name):
        weights, coefficients = random_rows(name, 21, columns), random_floats(3, 21)
        coefficients[:, 4:9] = 0
        plain = dequantize(name, weights, columns).astype(np.float64)
        found = kernels.weighted_sum(name, weights, coefficients)
        assert (np.abs(found - coefficients @ plain) <= 2e-6 * (np.abs(coefficients) @ np.abs(plain))).all()
        assert np.array_equal(kernels.weighted_sum(name, weights, coefficients[1:2])[0], found[1])


@pytest.mark.parametrize("name", FORMATS)
def test_columns_that_come_in_parts_give_the_bits_of_one_product(kernels: Kernels, name: str) -> None:
    weights, x = random_rows(name, 6, 1024), random_floats(11, 1024, seed=1)
    for n in (1, 2, 11):
        product = kernels.begin_product(name, 6, n)
        for first, last in ((0, 256), (256, 768), (768, 1024)):
            start, end = (FORMATS[name].row_bytes(columns) if columns else 0 for columns in (first, last))
            product.add(weights[:, start:end], x[:n, first:last])
        assert np.array_equal(product.finish(), kernels.matmul(name, weights, x[:n]))


@pytest.mark.parametrize("name", FORMATS)
def test_rows_that_come_in_parts_or_lie_in_another_order_give_the_bits_of_one_sum(kernels: Kernels, name: str) -> None:
    columns = some_columns(name)[-1]
    weights, coefficients = random_rows(name, 50, columns), random_floats(3, 50)
    coefficients[:, ::3] = 0
    whole = kernels.weighted_sum(name, weights, coefficients)
    parts = kernels.weighted_sum(name, weights[:20], coefficients[:, :20])
    assert kernels.weighted_sum(name, weights[20:], coefficients[:, 20:], onto=parts) is parts
    assert np.array_equal(parts, whole)
    shuffled = np.random.default_rng(0).permutation(50)
    assert np.array_equal(kernels.weighted_sum(name, weights[shuffled], coefficients[:, shuffled], np.argsort(shuffled)), whole)


def test_rows_with_no_coefficient_are_not_looked_at(kernels: Kernels) -> None:
    weights = random_rows("q8_0", 4, 64)
    weights[2] = 255  # a scale that is not a number
    coefficients = np.array([[1, 1, 0, 1]], np.float32)
    assert np.isfinite(kernels.weighted_sum("q8_0", weights, coefficients)).all()


def test_no_rows_and_no_tokens_give_empty_products(kernels: Kernels) -> None:
    weights = random_rows("q4_1", 5, 64)
    assert kernels.matmul("q4_1", weights[:0], random_floats(2, 64)).shape == (2, 0)
    assert kernels.matmul("q4_1", weights, random_floats(0, 64)).shape == (0, 5)
    assert np.array_equal(kernels.weighted_sum("q4_1", weights[:0], random_floats(2, 0)), np.zeros((2, 64), np.float32))


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_an_activation_that_is_no_number_is_not_hidden(kernels: Kernels, poison: float) -> None:
    x = random_floats(2, 64)
    x[1, 40] = poison
    found = kernels.matmul("q4_0", random_rows("q4_0", 6, 64), x)
    assert np.isfinite(found[0]).all() and np.isnan(found[1]).all()


def test_tiny_and_zero_activations_give_zero(kernels: Kernels) -> None:
    x = np.zeros((2, 32), np.float32)
    x[1] = 1e-38
    assert not kernels.matmul("q8_0", random_rows("q8_0", 3, 32), x).any()


def test_norms_are_rms_without_a_bias_and_layer_norms_with_one(kernels: Kernels) -> None:
    x, weight, bias = random_floats(5, 100), random_floats(100, seed=1), random_floats(100, seed=2)
    wide = x.astype(np.float64)
    rms = wide / np.sqrt((wide**2).mean(axis=1, keepdims=True) + 1e-5) * weight
    centred = wide - wide.mean(axis=1, keepdims=True)
    layer = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5) * weight + bias
    assert np.allclose(kernels.normalise(x, weight, None, 1e-5), rms, rtol=1e-5, atol=1e-6)
    assert np.allclose(kernels.normalise(x, weight, bias, 1e-5), layer, rtol=1e-5, atol=1e-6)


def test_silu_holds_far_from_zero_too(kernels: Kernels) -> None:
    gate = np.array([[-1e4, -90, -20, -1, -1e-6, 0, 1e-6, 1, 20, 90, 1e4, np.inf, 3]], np.float32)
    with np.errstate(over="ignore"):
        expected = 2.0 * gate.astype(np.float64) / (1.0 + np.exp(-gate.astype(np.float64)))
    assert np.allclose(kernels.activate("silu", np.full_like(gate, 2), gate), expected, rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize("kind", ["silu", "gelu", "gelu_tanh", "relu", "relu2"])
def test_activations_are_those_of_torch_with_and_without_a_gate(kernels: Kernels, kind: Any) -> None:
    import torch
    from transformers.activations import ACT2FN

    up, gate = random_floats(3, 1500), 4 * random_floats(3, 1500, seed=1)
    curve = ACT2FN["gelu_new" if kind == "gelu_tanh" else kind]
    expected = curve(torch.from_numpy(gate).double()).numpy()
    assert np.allclose(kernels.activate(kind, gate, None), expected, rtol=1e-5, atol=2e-7)
    assert np.allclose(kernels.activate(kind, up, gate), up * expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(("count", "length", "dim"), [(1, 1, 64), (1, 200, 64), (7, 70, 64), (5, 5, 12), (3, 130, 80)])
def test_attention_is_causal_softmax_over_a_view_of_the_cache(kernels: Kernels, count: int, length: int, dim: int) -> None:
    query, room = random_floats(count, 6, dim), random_floats(2, 2, 256, dim, seed=1).astype(np.float16)
    keys, values = room[0, :, :length], room[1, :, :length]
    expected = np.empty((count, 6, dim))
    for token in range(count):
        for head in range(6):
            seen = length - count + token + 1
            scores = keys[head // 3, :seen].astype(np.float64) @ query[token, head] / np.sqrt(dim)
            weights = np.exp(scores - scores.max())
            expected[token, head] = weights / weights.sum() @ values[head // 3, :seen].astype(np.float64)
    found = kernels.attention(query, keys, values)
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_scattered_reads_arrive_in_their_places(kernels: Kernels, tmp_path: Path) -> None:
    content = np.random.default_rng(0).integers(0, 256, 3_000_007, dtype=np.uint8)
    (tmp_path / "weights ä.bin").write_bytes(content.tobytes())
    offsets = np.array([0, 1, 4095, 8192, 511, 2_500_000, content.size - 1, 70_000, 12_288])
    sizes = np.array([1, 4096, 2, 4096, 700, 500_007, 1, 1_300_001, 0])
    places = np.concatenate([[0], np.cumsum(sizes)[:-1]]) + 3
    into = aligned_buffer(int(sizes.sum()) + 10)
    with kernels.open_direct(tmp_path / "weights ä.bin") as file:
        assert file.size == content.size
        kernels.read_batch(file, offsets, sizes, into, places)
    for offset, size, place in zip(offsets, sizes, places, strict=True):
        assert np.array_equal(into[place : place + size], content[offset : offset + size])
    assert not into[:3].any() and not into[-7:].any()


def test_a_read_past_the_end_says_where_the_file_ends(kernels: Kernels, tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(bytes(10_000))
    pieces = (np.array([0, 8192]), np.array([4096, 4096]), aligned_buffer(8192), np.array([0, 4096]))
    with (
        kernels.open_direct(tmp_path / "short") as file,
        pytest.raises(EOFError, match="ends at byte 10000, but 4096 bytes were wanted from byte 8192"),
    ):
        kernels.read_batch(file, *pieces)


def test_pieces_that_do_not_fit_the_buffer_are_refused(kernels: Kernels, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(100))
    one = np.array([0])
    with kernels.open_direct(tmp_path / "file") as file:
        with pytest.raises(ValueError, match="outside the buffer of 8 bytes"):
            kernels.read_batch(file, one, np.array([9]), np.zeros(8, np.uint8), one)
        with pytest.raises(ValueError, match="as many of each"):
            kernels.read_batch(file, one, np.array([1, 2]), np.zeros(8, np.uint8), one)
        kernels.read_batch(file, one[:0], one[:0], np.zeros(8, np.uint8), one[:0])


def test_a_file_that_is_not_there_is_an_oserror_with_its_name(kernels: Kernels, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        kernels.open_direct(tmp_path / "nowhere")


def test_buffers_are_aligned_for_direct_reads() -> None:
    buffer = aligned_buffer(5000)
    assert buffer.size == 5000 and buffer.ctypes.data % DIRECT_ALIGNMENT == 0 and not buffer.any()


def test_the_twin_serves_on_wish() -> None:
    assert isinstance(kernel_library.load("twin"), Twin)
