"""The block formats of GGML in which weights stand in files and in memory.

A row of a matrix is a run of blocks. A block holds a few dozen weights as small integers with their scale, so that
weight = scale * quant + offset within a group of 32 columns (16 for Q6_K). `unpack` gives those three parts, `dequantize` the weights.
Three formats, q2_1, q3_1 and q4_64, are the engine's own (`engine.lowbit`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine import lowbit

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Halves = NDArray[np.float16]


@dataclass(frozen=True)
class Format:
    """`block_columns` weights stand in `block_bytes` bytes; `group_columns` of them share a scale (0: plain floats, no scale).

    `ggml_type` is None for formats that GGML does not have.
    """

    name: str
    ggml_type: int | None
    block_columns: int
    block_bytes: int
    group_columns: int

    def row_bytes(self, columns: int) -> int:
        """Bytes of a row of `columns` weights; ValueError when blocks do not fill the row exactly."""
        if columns <= 0 or columns % self.block_columns:
            raise ValueError(f"{columns} columns cannot be stored as {self.name}, expected a multiple of {self.block_columns}")
        return columns // self.block_columns * self.block_bytes

    def columns(self, row_bytes: int) -> int:
        """How many weights a row of `row_bytes` bytes holds."""
        if row_bytes <= 0 or row_bytes % self.block_bytes:
            raise ValueError(f"a row of {row_bytes} bytes is no {self.name} row, expected a multiple of {self.block_bytes}")
        return row_bytes // self.block_bytes * self.block_columns


FORMATS: dict[str, Format] = {
    entry.name: entry
    for entry in (
        Format("f32", 0, 1, 4, 0),
        Format("f16", 1, 1, 2, 0),
        Format("bf16", 30, 1, 2, 0),
        Format("q4_0", 2, 32, 18, 32),
        Format("q4_1", 3, 32, 20, 32),
        Format("q5_0", 6, 32, 22, 32),
        Format("q8_0", 8, 32, 34, 32),
        Format("q2_1", None, 64, 18, 32),
        Format("q3_1", None, 64, 26, 32),
        Format("q4_64", None, 64, 34, 32),
        Format("q4_k", 12, 256, 144, 32),
        Format("q5_k", 13, 256, 176, 32),
        Format("q6_k", 14, 256, 210, 16),
    )
}
BY_GGML_TYPE: dict[int, Format] = {entry.ggml_type: entry for entry in FORMATS.values() if entry.ggml_type is not None}
QUANTIZABLE = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q2_1", "q3_1", "q4_64")


def find(name: str) -> Format:
    """The format of that name; ValueError names the known ones."""
    if name not in FORMATS:
        raise ValueError(f"unknown weight format {name!r}, expected one of {', '.join(FORMATS)}")
    return FORMATS[name]


@dataclass(frozen=True)
class Grid:
    """Quantised rows taken apart: weight[r, c] = scales[r, g] * quants[r, c] + offsets[r, g] with g = c // group_columns."""

    quants: NDArray[np.int8]  # [rows, columns]
    scales: Floats  # [rows, columns / group_columns]
    offsets: Floats | None  # [rows, columns / group_columns], None where the format has none


def unpack(name: str, data: Bytes) -> Grid:
    """Integers, scales and offsets of quantised rows `data` [rows, row_bytes]; exact, nothing is rounded but scale products (float32)."""
    entry = find(name)
    if entry.group_columns == 0:
        raise ValueError(f"{name} holds plain floats, which have no quantisation grid")
    rows = data.shape[0]
    columns = entry.columns(data.shape[1])
    blocks = np.ascontiguousarray(data).reshape(-1, entry.block_bytes)  # [rows * blocks, block_bytes]
    quants, scales, offsets = _UNPACKERS[name](blocks)
    return Grid(quants.reshape(rows, columns), scales.reshape(rows, -1), None if offsets is None else offsets.reshape(rows, -1))


def dequantize(name: str, data: Bytes, columns: int) -> Floats:
    """Rows `data` [rows, row_bytes] as float32 [rows, columns]; the same values as GGML's reference gives, to the bit."""
    entry = find(name)
    width = entry.row_bytes(columns)
    if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != width:
        raise ValueError(f"{name} rows of {columns} columns are uint8 [rows, {width}], got {data.dtype} {list(data.shape)}")
    if entry.group_columns == 0:
        return _plain_floats(name, np.ascontiguousarray(data)).reshape(data.shape[0], columns)
    grid = unpack(name, data)
    shape = (data.shape[0], -1, entry.group_columns)
    values = grid.quants.reshape(shape).astype(np.float32)  # [rows, groups, group_columns]
    values *= grid.scales[:, :, None]
    if grid.offsets is not None:
        values += grid.offsets[:, :, None]
    return values.reshape(data.shape[0], columns)


def quantize(name: str, values: Floats) -> Bytes:
    """float32 [rows, columns] as rows of a format in `QUANTIZABLE`: uint8 [rows, row_bytes].

    Rounds as GGML's reference does. Values that do not fit the format's float16 scale become infinite, as they do there: check for
    NaN and overflow before.
    """
    if name not in QUANTIZABLE:
        raise ValueError(f"cannot quantise to {name!r}, expected one of {', '.join(QUANTIZABLE)}")
    entry = find(name)
    rows, columns = values.shape
    width = entry.row_bytes(columns)
    values = np.ascontiguousarray(values, dtype=np.float32)
    if entry.group_columns == 0:
        return _plain_bytes(name, values).reshape(rows, width)
    quantized = _QUANTIZERS[name](values.reshape(-1, entry.block_columns))  # [rows * blocks, block_bytes]
    return quantized.reshape(rows, width)


def _plain_floats(name: str, data: Bytes) -> Floats:
    if name == "f32":
        return data.view("<f4").astype(np.float32)
    if name == "f16":
        return data.view("<f2").astype(np.float32)
    return (data.view("<u2").astype(np.uint32) << 16).view(np.float32)


def _plain_bytes(name: str, values: Floats) -> Bytes:
    if name == "f32":
        return values.astype("<f4").view(np.uint8)
    if name == "f16":
        with np.errstate(over="ignore"):
            return values.astype("<f2").view(np.uint8)
    bits = values.view(np.uint32)
    rounded = (bits.astype(np.uint64) + 0x7FFF + ((bits >> 16) & 1)) >> 16  # to nearest even
    quiet = np.where(np.isnan(values), (bits >> 16) | 0x40, rounded)  # rounding must not turn a NaN into infinity
    return quiet.astype("<u2").view(np.uint8)


Parts = tuple[NDArray[np.int8], Floats, Floats | None]


def _half(blocks: Bytes, start: int) -> Floats:
    """The float16 at byte `start` of every block, as float32 [blocks, 1]."""
    return np.ascontiguousarray(blocks[:, start : start + 2]).view("<f2").astype(np.float32)


def _nibbles(packed: Bytes) -> Bytes:
    """[blocks, m] -> [blocks, 2 m]: all low nibbles, then all high ones."""
    return np.concatenate([packed & 15, packed >> 4], axis=1)


def _unpack_q4_0(blocks: Bytes) -> Parts:
    return _nibbles(blocks[:, 2:]).view(np.int8) - np.int8(8), _half(blocks, 0), None


def _unpack_q4_1(blocks: Bytes) -> Parts:
    return _nibbles(blocks[:, 4:]).view(np.int8), _half(blocks, 0), _half(blocks, 2)


def _unpack_q5_0(blocks: Bytes) -> Parts:
    high = np.unpackbits(blocks[:, 2:6], axis=1, bitorder="little") << 4  # [blocks, 32]
    return (_nibbles(blocks[:, 6:]) | high).view(np.int8) - np.int8(16), _half(blocks, 0), None


def _unpack_q8_0(blocks: Bytes) -> Parts:
    return np.ascontiguousarray(blocks[:, 2:]).view(np.int8), _half(blocks, 0), None


def _six_bit_scales(packed: Bytes) -> tuple[Floats, Floats]:
    """The twelve bytes of a K block hold eight scales and eight minima of six bits each: two float32 [blocks, 8]."""
    low, middle, high = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scales = np.concatenate([low & 63, (high & 15) | ((low >> 6) << 4)], axis=1)
    minima = np.concatenate([middle & 63, (high >> 4) | ((middle >> 6) << 4)], axis=1)
    return scales.astype(np.float32), minima.astype(np.float32)


def _k_nibbles(packed: Bytes) -> Bytes:
    """128 bytes -> 256 nibbles: each run of 32 bytes holds 32 columns in its low nibbles and the next 32 in its high ones."""
    runs = packed.reshape(-1, 4, 1, 32) >> np.array([0, 4], np.uint8).reshape(1, 1, 2, 1)
    nibbles: Bytes = np.bitwise_and(runs, 15)  # [blocks, 4, 2, 32]
    return nibbles.reshape(-1, 256)


def _unpack_q4_k(blocks: Bytes) -> Parts:
    scales, minima = _six_bit_scales(blocks[:, 4:16])
    return _k_nibbles(blocks[:, 16:]).view(np.int8), _half(blocks, 0) * scales, -(_half(blocks, 2) * minima)


def _unpack_q5_k(blocks: Bytes) -> Parts:
    scales, minima = _six_bit_scales(blocks[:, 4:16])
    high = blocks[:, 16:48].reshape(-1, 1, 32) >> np.arange(8, dtype=np.uint8).reshape(1, 8, 1)  # bit b belongs to columns 32 b ..
    quants = _k_nibbles(blocks[:, 48:]) | ((high & 1) << 4).reshape(-1, 256)
    return quants.view(np.int8), _half(blocks, 0) * scales, -(_half(blocks, 2) * minima)


def _unpack_q6_k(blocks: Bytes) -> Parts:
    low = blocks[:, :128].reshape(-1, 2, 1, 64) >> np.array([0, 4], np.uint8).reshape(1, 1, 2, 1)
    high = blocks[:, 128:192].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1)
    quants = (low & 15).reshape(-1, 256) | ((high & 3) << 4).reshape(-1, 256)
    scales = np.ascontiguousarray(blocks[:, 192:208]).view(np.int8).astype(np.float32)
    return quants.view(np.int8) - np.int8(32), _half(blocks, 208) * scales, None


def _unpack_q2_1(blocks: Bytes) -> Parts:
    return lowbit.unpack_blocks(blocks, 2)


def _unpack_q3_1(blocks: Bytes) -> Parts:
    return lowbit.unpack_blocks(blocks, 3)


def _unpack_q4_64(blocks: Bytes) -> Parts:
    return lowbit.unpack_blocks(blocks, 4)


_UNPACKERS = {
    "q2_1": _unpack_q2_1,
    "q3_1": _unpack_q3_1,
    "q4_64": _unpack_q4_64,
    "q4_0": _unpack_q4_0,
    "q4_1": _unpack_q4_1,
    "q5_0": _unpack_q5_0,
    "q8_0": _unpack_q8_0,
    "q4_k": _unpack_q4_k,
    "q5_k": _unpack_q5_k,
    "q6_k": _unpack_q6_k,
}


def _inverse(scales: Floats) -> Floats:
    """1 / scale, and 0 for a block of zeros."""
    with np.errstate(divide="ignore"):
        return np.where(scales == 0, np.float32(0), np.float32(1) / scales)


def _half_bytes(values: Floats) -> Bytes:
    with np.errstate(over="ignore"):
        return values.astype("<f2").view(np.uint8)


def _pack_nibbles(quants: Bytes) -> Bytes:
    packed: Bytes = np.bitwise_or(quants[:, :16], quants[:, 16:] << 4)
    return packed


def _quantize_q8_0(values: Floats) -> Bytes:
    scales = np.abs(values).max(axis=1, keepdims=True) / np.float32(127)
    scaled = values * _inverse(scales)
    away_from_zero = np.trunc(scaled) + np.trunc(2 * (scaled - np.trunc(scaled)))  # halves away from zero, as C's roundf
    return np.concatenate([_half_bytes(scales), away_from_zero.astype(np.int8).view(np.uint8)], axis=1)


def _quantize_q4_0(values: Floats) -> Bytes:
    largest = np.take_along_axis(values, np.abs(values).argmax(axis=1, keepdims=True), axis=1)
    scales = largest / np.float32(-8)
    quants = np.clip(np.trunc(values * _inverse(scales) + np.float32(8.5)), 0, 15).astype(np.uint8)
    return np.concatenate([_half_bytes(scales), _pack_nibbles(quants)], axis=1)


def _quantize_q4_1(values: Floats) -> Bytes:
    least = values.min(axis=1, keepdims=True)
    scales = (values.max(axis=1, keepdims=True) - least) / np.float32(15)
    quants = np.clip(np.trunc((values - least) * _inverse(scales) + np.float32(0.5)), 0, 15).astype(np.uint8)
    return np.concatenate([_half_bytes(scales), _half_bytes(least), _pack_nibbles(quants)], axis=1)


def _quantize_q2_1(values: Floats) -> Bytes:
    return lowbit.quantize_blocks(values, 2)


def _quantize_q3_1(values: Floats) -> Bytes:
    return lowbit.quantize_blocks(values, 3)


def _quantize_q4_64(values: Floats) -> Bytes:
    return lowbit.quantize_blocks(values, 4)


_QUANTIZERS = {
    "q8_0": _quantize_q8_0,
    "q4_0": _quantize_q4_0,
    "q4_1": _quantize_q4_1,
    "q2_1": _quantize_q2_1,
    "q3_1": _quantize_q3_1,
    "q4_64": _quantize_q4_64,
}
