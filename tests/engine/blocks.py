"""Random rows of every weight format: any bits where any are allowed, scales that are finite and small."""

from __future__ import annotations

import numpy as np

from engine.formats import FORMATS, Bytes, Floats, quantize

HALF_FLOATS = {"q4_0": (0,), "q4_1": (0, 2), "q5_0": (0,), "q8_0": (0,), "q4_k": (0, 2), "q5_k": (0, 2), "q6_k": (208,)}
"""Where the float16 scales stand in a block."""
TINY_SCALES = ("q2_1", "q3_1", "q4_64")
"""Formats whose block begins with a scale of eight bits."""


def random_floats(*shape: int, seed: int = 0) -> Floats:
    """Standard normal float32."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def random_rows(name: str, rows: int, columns: int, seed: int = 0) -> Bytes:
    """uint8 [rows, row_bytes] of a format."""
    entry = FORMATS[name]
    if not entry.group_columns:
        return quantize(name, random_floats(rows, columns, seed=seed))
    random = np.random.default_rng(seed)
    data = random.integers(0, 256, (rows, entry.row_bytes(columns)), dtype=np.uint8)
    blocks = data.reshape(-1, entry.block_bytes)  # a view
    if name in TINY_SCALES:
        blocks[:, 0] = random.integers(40, 90, len(blocks), dtype=np.uint8)
    for start in HALF_FLOATS.get(name, ()):
        blocks[:, start : start + 2] = random.normal(0, 0.02, (len(blocks), 1)).astype("<f2").view(np.uint8)
    return data


def some_columns(name: str) -> tuple[int, ...]:
    """Row lengths that reach the vector paths and their ends."""
    if FORMATS[name].block_columns == 256:
        return 256, 768
    if FORMATS[name].block_columns == 64:
        return 64, 192, 256, 576
    return (32, 96, 288, 576) if FORMATS[name].group_columns else (1, 15, 16, 33, 200)
