"""Blocks of 64 weights in two, three or four bits (q2_1, q3_1, q4_64): weight = scale * (quant + zero / 8).

A block is a byte of scale (the eight upper bits below the sign of a float16: five of exponent, three of mantissa), a signed byte `zero`,
for three bits eight bytes with the high bit of each quant, and sixteen bytes with the two low bits; four bits lie as in Q4_0. That is a
quarter of a bit more for each weight. Runs of 64, since rows of 576 or 896 columns are no whole number of GGML's blocks of 256.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
FORMAT_OF_BITS = {2: "q2_1", 3: "q3_1", 4: "q4_64"}
BLOCK_COLUMNS = 64
ZERO_STEPS = 8
"""Steps of the zero point in a step of the quants."""
_SHRINKS = np.array([0.55, 0.63, 0.7, 0.77, 0.83, 0.89, 0.95, 1.0], np.float32)
_SHIFTS = np.array([-0.13, 0.0, 0.13], np.float32)
LEAST_SCALE = np.float32(2.0**-14)
"""The smallest scale that is used: below it float16 has fewer bits than three of mantissa."""


def scale_codes(scales: Floats) -> Bytes:
    """The nearest codes of positive scales; too small and too large ones become the ends of the range."""
    limited = np.clip(scales, LEAST_SCALE, np.float32(61440.0)).astype(np.float32)
    bits = limited.view(np.uint32)
    return (((bits + (1 << 19)) >> 20) - np.uint32((127 - 15) << 3)).astype(np.uint8)


def scales_of(codes: Bytes) -> Floats:
    """What the codes stand for."""
    return (codes.astype(np.uint16) << 7).view(np.float16).astype(np.float32)


def unpack_blocks(blocks: Bytes, bits: int) -> tuple[NDArray[np.int8], Floats, Floats]:
    """uint8 [blocks, block_bytes] -> quants [blocks, 64], scales [blocks, 2] and offsets [blocks, 2], one for each 32 columns."""
    scales = scales_of(blocks[:, 0:1])
    offsets = scales * (blocks[:, 1:2].view(np.int8).astype(np.float32) * np.float32(1 / ZERO_STEPS))
    return _quants_of(blocks, bits).view(np.int8), np.repeat(scales, 2, axis=1), np.repeat(offsets, 2, axis=1)


def _quants_of(blocks: Bytes, bits: int) -> Bytes:
    if bits == 4:
        nibbles = blocks[:, 2:].reshape(-1, 2, 1, 16) >> np.array([0, 4], np.uint8).reshape(1, 1, 2, 1)  # [blocks, 2, 2, 16]
        return np.asarray((nibbles & 15).reshape(-1, BLOCK_COLUMNS))
    start = 10 if bits == 3 else 2
    quants = (blocks[:, None, start:] >> np.array([0, 2, 4, 6], np.uint8).reshape(1, 4, 1)) & 3  # [blocks, 4, 16]
    quants = quants.reshape(-1, BLOCK_COLUMNS)
    if bits == 3:
        high = blocks[:, 2:10].reshape(-1, 2, 1, 4) >> np.arange(8, dtype=np.uint8).reshape(1, 1, 8, 1)  # [blocks, 2, 8, 4]
        quants = quants | ((high & 1) << 2).reshape(-1, BLOCK_COLUMNS)
    return np.asarray(quants)


def pack_blocks(quants: Bytes, scales: Bytes, zeros: NDArray[np.int8], bits: int) -> Bytes:
    """quants [blocks, 64] with the codes of their scales [blocks] and zero points [blocks] -> uint8 [blocks, block_bytes]."""
    parts = [scales[:, None], zeros.view(np.uint8)[:, None]]
    if bits == 4:
        pairs = quants.reshape(-1, 2, 2, 16)
        return np.concatenate([*parts, (pairs[:, :, 0] | pairs[:, :, 1] << 4).reshape(-1, 32)], axis=1)
    low = (quants & 3).reshape(-1, 4, 16) << np.array([0, 2, 4, 6], np.uint8).reshape(1, 4, 1)
    if bits == 3:
        high = (quants >> 2).reshape(-1, 2, 8, 4) << np.arange(8, dtype=np.uint8).reshape(1, 1, 8, 1)
        parts.append(np.bitwise_or.reduce(high, axis=2).reshape(-1, 8))
    return np.concatenate([*parts, np.bitwise_or.reduce(low, axis=1)], axis=1)


def fit(values: Floats, importance: Floats, bits: int) -> tuple[Bytes, NDArray[np.int8]]:
    """The scale and zero point that round columns best: values [64, rows], importance [64] -> two codes for each row.

    Tried are shrunken and shifted ranges; the one with the least squared error, weighted by `importance`, wins.
    """
    top = np.float32((1 << bits) - 1)
    low, high = values.min(axis=0), values.max(axis=0)
    middle, radius = (low + high) / 2, (high - low) / 2
    least = np.full(values.shape[1], np.inf, np.float32)
    scales, zeros = np.zeros(values.shape[1], np.uint8), np.zeros(values.shape[1], np.int8)
    for shrink in _SHRINKS:
        codes = scale_codes(radius * (2 * shrink / top))
        scale = scales_of(codes)
        for shift in _SHIFTS:
            zero = np.clip(np.rint(((middle + radius * shift) / scale - top / 2) * ZERO_STEPS), -128, 127).astype(np.float32)
            error = importance @ np.square(rounded(values, scale, zero, bits) - values)
            better = error < least
            least, scales, zeros = (np.where(better, new, old) for new, old in ((error, least), (codes, scales), (zero, zeros)))
    return scales.astype(np.uint8), zeros.astype(np.int8)


def quantized(values: Floats, scale: Floats, zero: Floats, bits: int) -> Floats:
    """The quants of values [..., rows], as floats."""
    quants = np.rint(values * (1 / scale) - zero * np.float32(1 / ZERO_STEPS))
    return np.asarray(np.clip(quants, 0, (1 << bits) - 1, out=quants))


def rounded(values: Floats, scale: Floats, zero: Floats, bits: int) -> Floats:
    """Values as they are after rounding."""
    return np.asarray((quantized(values, scale, zero, bits) + zero * np.float32(1 / ZERO_STEPS)) * scale)


def quantize_blocks(values: Floats, bits: int) -> Bytes:
    """float32 [blocks, 64] -> uint8 [blocks, block_bytes], each weight rounded for itself."""
    columns = np.ascontiguousarray(values.T)  # [64, blocks]
    scales, zeros = fit(columns, np.ones(BLOCK_COLUMNS, np.float32), bits)
    quants = quantized(columns, scales_of(scales), zeros.astype(np.float32), bits).astype(np.uint8)
    return pack_blocks(np.ascontiguousarray(quants.T), scales, zeros, bits)


def block_bytes(bits: int) -> int:
    """Bytes of a block of 64 weights."""
    return 2 + BLOCK_COLUMNS * bits // 8
