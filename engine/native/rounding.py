"""One step of rounding weights with their second moments in view: 64 columns of many rows, natively or in numpy."""

from __future__ import annotations

import numpy as np

from engine import lowbit
from engine.formats import Bytes, Floats
from engine.kernels import Kernels
from engine.native.library import Native, check_result


def round_block(kernels: Kernels, bits: int, values: Floats, factor: Floats, importance: Floats, out: Bytes) -> None:
    """Round values [64, rows] to blocks, written to `out` uint8 [rows, block_bytes], whose rows may lie apart.

    `factor` [64, 64] is upper triangular: what the error of a column, divided by its diagonal, takes from the columns behind it. `values`
    are then those divided errors. `importance` [64] weighs the columns in the choice of scales.
    """
    if not isinstance(kernels, Native):
        _round_block(bits, values, factor, importance, out)
        return
    if values.shape[0] != lowbit.BLOCK_COLUMNS or not values.flags.c_contiguous or values.dtype != np.float32:
        raise ValueError(f"values are contiguous float32 [64, rows], got {values.dtype} {list(values.shape)}")
    if out.shape != (values.shape[1], lowbit.block_bytes(bits)) or out.strides[1] != 1 or out.dtype != np.uint8:
        raise ValueError(f"blocks go to uint8 [{values.shape[1]}, {lowbit.block_bytes(bits)}], got {out.dtype} {list(out.shape)}")
    factor, importance = np.ascontiguousarray(factor, np.float32), np.ascontiguousarray(importance, np.float32)
    if factor.shape != (values.shape[0], values.shape[0]) or importance.shape != values.shape[:1]:
        raise ValueError(
            f"a factor [64, 64] and 64 importances belong to 64 columns, got {list(factor.shape)} and {list(importance.shape)}"
        )
    given = values.ctypes.data, values.shape[1], factor.ctypes.data, factor.shape[1], importance.ctypes.data
    check_result(kernels.library.fk_round_block(bits, *given, out.ctypes.data, out.strides[0]))


def _round_block(bits: int, values: Floats, factor: Floats, importance: Floats, out: Bytes) -> None:
    scale_codes, zeros = lowbit.fit(values, importance, bits)
    scales, points = lowbit.scales_of(scale_codes), zeros.astype(np.float32)
    quants = np.empty(values.shape, np.uint8)
    for column in range(len(values)):
        quants[column] = lowbit.quantized(values[column], scales, points, bits)
        kept = (quants[column] + points / lowbit.ZERO_STEPS) * scales
        values[column] = (values[column] - kept) / factor[column, column]
        values[column + 1 :] -= factor[column, column + 1 :, None] * values[column]
    out[:] = lowbit.pack_blocks(np.ascontiguousarray(quants.T), scale_codes, zeros, bits)
