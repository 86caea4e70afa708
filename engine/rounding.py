"""Rounding a matrix to few bits so that its products change least (GPTQ, arXiv:2210.17323).

Each column is rounded in turn, and the columns behind it take back what its error does to the products, as far as the inputs go together:
their second moments, over a calibration text, say how far.
"""

from __future__ import annotations

import numpy as np

from engine.formats import Bytes, Floats
from engine.kernels import Kernels
from engine.lowbit import BLOCK_COLUMNS, block_bytes
from engine.native.rounding import round_block

DAMPING = 0.5
"""Of the mean second moment, added to each: a short text shows less of how inputs go together than it seems to. On other text than the one
that was rounded with, 0.5 loses least of 0.01 to 1."""
_ROWS_AT_ONCE = 2048


def moments(inputs: Floats, weights: Floats) -> Floats:
    """Second moments of inputs [tokens, columns], each token with its weight [tokens] -> [columns, columns]."""
    scaled = inputs * np.sqrt(weights / weights.sum())[:, None]
    return np.asarray(scaled.T @ scaled)


def factor(seconds: Floats) -> Floats:
    """The upper Cholesky factor of the inverse of damped second moments [columns, columns]."""
    damped = seconds.astype(np.float64)
    damped[np.diag_indices_from(damped)] += DAMPING * float(np.diag(damped).mean()) + 1e-12
    inverse = np.linalg.inv(damped)
    return np.ascontiguousarray(np.linalg.cholesky((inverse + inverse.T) / 2).T, np.float32)


def round_rows(kernels: Kernels, bits: int, weights: Floats, upper: Floats) -> tuple[Bytes, float]:
    """weights [rows, columns] -> rows of blocks of so many bits, uint8 [rows, row_bytes]; `upper` is the inputs' `factor`.

    The second result is the mean energy, over the calibration text, of what the rounding changes in the products of all rows.
    """
    size = block_bytes(bits)
    out = np.empty((weights.shape[0], weights.shape[1] // BLOCK_COLUMNS * size), np.uint8)
    squares = np.square(np.diag(upper))
    importance = np.asarray(squares.min() / squares, np.float32)
    lost = 0.0
    for first in range(0, len(weights), _ROWS_AT_ONCE):
        values = np.ascontiguousarray(weights[first : first + _ROWS_AT_ONCE].T)  # [columns, rows]
        for start in range(0, len(values), BLOCK_COLUMNS):
            end = start + BLOCK_COLUMNS
            blocks = out[first : first + _ROWS_AT_ONCE, start // BLOCK_COLUMNS * size :][:, :size]
            round_block(kernels, bits, values[start:end], upper[start:end, start:end], importance[start:end], blocks)
            lost += float(np.vdot(values[start:end], values[start:end]))
            if end < len(values):
                values[end:] -= upper[start:end, end:].T @ values[start:end]
    return out, lost
