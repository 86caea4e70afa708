"""The kernels in numpy: the reference in tests, and what serves where no compiler was found at set-up."""

from __future__ import annotations

import math
import os
import threading
from pathlib import Path

import numpy as np

from engine import formats
from engine.formats import Bytes, Floats, Halves
from engine.kernels import Activation, Integers, WeightFile

_TILE_BYTES = 16_000_000
"""Float32 weights that are unpacked at a time, so that the twin stays within a memory budget too."""
_TINY = np.float32(1e-30)
ACTIVATION_GROUP = 32
PART_COLUMNS = 256


def quantize_activations(x: Floats) -> tuple[Floats, Floats]:
    """int8 activations (as float32, exact) [n, columns] and their scales [n, columns / 32].

    Groups whose largest magnitude is below 1e-30 become zero; a group with a NaN or an infinity gets the scale NaN.
    """
    groups = x.reshape(x.shape[0], x.shape[1] // ACTIVATION_GROUP, ACTIVATION_GROUP)
    with np.errstate(invalid="ignore", over="ignore"):
        largest = np.abs(groups).max(axis=2)  # [n, groups]
        usable = np.isfinite(largest) & (largest >= _TINY)
        inverse = np.where(usable, np.float32(127) / np.where(usable, largest, np.float32(1)), np.float32(0))
        quants = np.rint(np.where(usable[:, :, None], groups, np.float32(0)) * inverse[:, :, None])
    scales = np.where(usable, largest / np.float32(127), np.where(np.isfinite(largest), np.float32(0), np.float32(np.nan)))
    return quants.reshape(x.shape), scales.astype(np.float32)


class _PlainFile:
    """A file read through the page cache, positionally where the system can, under a lock elsewhere."""

    direct = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by close()
        self._lock = threading.Lock()
        self.size = os.fstat(self._file.fileno()).st_size

    def read_into(self, view: memoryview, offset: int) -> int:
        """How many bytes came; fewer than asked only at the end of the file or when the system returns early."""
        if hasattr(os, "preadv"):
            return os.preadv(self._file.fileno(), [view], offset)
        with self._lock:
            self._file.seek(offset)
            return self._file.readinto(view) or 0

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> _PlainFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Twin:
    """See `engine.kernels.Kernels`."""

    name = "numpy twin"

    def matmul(self, format: str, weights: Bytes, x: Floats) -> Floats:
        product = self.begin_product(format, weights.shape[0], x.shape[0])
        product.add(weights, x)
        return product.finish()

    def begin_product(self, format: str, rows: int, n: int) -> TwinProduct:
        return TwinProduct(format, rows, n)

    def weighted_sum(
        self, format: str, weights: Bytes, coefficients: Floats, order: Integers | None = None, onto: Floats | None = None
    ) -> Floats:
        columns = formats.find(format).columns(weights.shape[1])
        out = np.zeros((coefficients.shape[0], columns), np.float32) if onto is None else onto
        used = np.flatnonzero(np.any(coefficients != 0, axis=0)) if order is None else order[np.any(coefficients[:, order] != 0, axis=0)]
        tile = max(1, _TILE_BYTES // (4 * columns))
        for first in range(0, len(used), tile):
            places = used[first : first + tile]
            rows = formats.dequantize(format, weights[places], columns)
            for token in range(coefficients.shape[0]):
                parts = np.concatenate([out[token : token + 1], coefficients[token, places, None] * rows])
                out[token] = np.add.reduce(parts, axis=0)  # along the first axis numpy adds row by row, in order
        return out

    def normalise(self, x: Floats, weight: Floats, bias: Floats | None, epsilon: float) -> Floats:
        centred = x if bias is None else x - x.mean(axis=1, keepdims=True)
        variance = np.square(centred).mean(axis=1, keepdims=True) + np.float32(epsilon)
        normed = np.asarray(centred / np.sqrt(variance) * weight, np.float32)
        return normed if bias is None else normed + bias

    def activate(self, kind: Activation, up: Floats, gate: Floats | None) -> Floats:
        activated = _ACTIVATIONS[kind](up if gate is None else gate)
        return np.asarray(activated if gate is None else up * activated, np.float32)

    def attention(self, query: Floats, keys: Halves, values: Halves) -> Floats:
        count, heads, dim = query.shape
        groups, length = keys.shape[:2]
        grouped = query.reshape(count, groups, heads // groups, dim).transpose(1, 2, 0, 3).reshape(groups, -1, dim)  # [kv, share * n, dim]
        scores = grouped @ keys.swapaxes(1, 2).astype(np.float32) * np.float32(1 / math.sqrt(dim))  # [kv, share * n, length]
        if count > 1:
            future = np.arange(length) > np.arange(length - count, length)[:, None]  # [n, length]
            scores.reshape(groups, -1, count, length)[:, :, future] = -np.inf
        scores -= scores.max(axis=2, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=2, keepdims=True)
        mixed = (scores @ values.astype(np.float32)).reshape(groups, heads // groups, count, dim)
        return np.asarray(mixed.transpose(2, 0, 1, 3).reshape(count, heads, dim), np.float32)

    def open_direct(self, path: Path) -> WeightFile:
        return _PlainFile(path)

    def read_batch(self, file: WeightFile, offsets: Integers, sizes: Integers, into: Bytes, places: Integers) -> None:
        assert isinstance(file, _PlainFile)
        check_pieces(offsets, sizes, into, places)
        view = into.data
        for offset, size, place in zip(offsets.tolist(), sizes.tolist(), places.tolist(), strict=True):
            done = 0
            while done < size:
                got = file.read_into(view[place + done : place + size], offset + done)
                if got == 0:
                    raise EOFError(f"{file.path} ends at byte {file.size}, but {size} bytes were wanted from byte {offset}")
                done += got


def _silu(x: Floats) -> Floats:
    with np.errstate(over="ignore"):  # exp overflows to infinity where silu is 0
        return np.asarray(x / (np.float32(1) + np.exp(-x)))


def _gelu(x: Floats) -> Floats:
    share = np.frompyfunc(math.erf, 1, 1)(x * np.float32(math.sqrt(0.5))).astype(np.float32)
    return np.asarray(np.float32(0.5) * x * (np.float32(1) + share))


def _gelu_tanh(x: Floats) -> Floats:
    inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * (x * x * x))
    return np.asarray(np.float32(0.5) * x * (np.float32(1) + np.tanh(inner)))


def _relu(x: Floats) -> Floats:
    return np.maximum(x, np.float32(0))


def _relu2(x: Floats) -> Floats:
    return np.square(_relu(x))


_ACTIVATIONS = {"silu": _silu, "gelu": _gelu, "gelu_tanh": _gelu_tanh, "relu": _relu, "relu2": _relu2}


class TwinProduct:
    """See `engine.kernels.PartialProduct`."""

    def __init__(self, format: str, rows: int, n: int) -> None:
        self._format = format
        self._sums = np.zeros((n, rows), np.float32)

    def add(self, weights: Bytes, x: Floats) -> None:
        x = np.ascontiguousarray(x, np.float32)
        quantized = quantize_activations(x) if formats.find(self._format).group_columns else None
        tile = max(1, _TILE_BYTES // (4 * x.shape[1] * max(1, x.shape[0] // 8)))
        for first in range(0, weights.shape[0], tile):
            rows, sums = weights[first : first + tile], self._sums[:, first : first + tile]
            if quantized is None:
                _add_plain_product(formats.dequantize(self._format, rows, x.shape[1]), x, sums)
            else:
                sums[:] = _grouped_product(formats.unpack(self._format, rows), *quantized, sums)

    def finish(self) -> Floats:
        return self._sums


def _add_plain_product(plain: Floats, x: Floats, sums: Floats) -> None:
    """Token by token and 256 columns at a time: the same bits whatever comes with them."""
    for token in range(x.shape[0]):
        for first in range(0, x.shape[1], PART_COLUMNS):
            part = slice(first, first + PART_COLUMNS)
            sums[token] += np.ascontiguousarray(plain[:, part]) @ x[token, part]


def _grouped_product(grid: formats.Grid, quants: Floats, scales: Floats, sums: Floats) -> Floats:
    """[n, rows] of a tile behind `sums`; the sums within groups are integers and exact, groups are added in order in float32."""
    rows, columns = grid.quants.shape
    groups = grid.scales.shape[1]
    width = columns // groups
    activations = quants.reshape(quants.shape[0], groups, width).transpose(1, 2, 0)  # [groups, width, n]
    products = np.empty((groups + 1, rows, quants.shape[0]), np.float32)
    products[0] = sums.T
    integers = products[1:]  # [groups, rows, n]
    np.matmul(grid.quants.reshape(rows, groups, width).transpose(1, 0, 2).astype(np.float32), activations, out=integers)
    integers *= grid.scales.T[:, :, None]
    if grid.offsets is not None:
        integers += grid.offsets.T[:, :, None] * activations.sum(axis=1)[:, None, :]
    integers *= np.repeat(scales, ACTIVATION_GROUP // width, axis=1).T[:, None, :]
    product: Floats = np.add.reduce(products, axis=0).T  # along the first axis numpy adds in order
    return product


def check_pieces(offsets: Integers, sizes: Integers, into: Bytes, places: Integers) -> None:
    """ValueError unless the four describe reads that lie within `into`."""
    if not len(offsets) == len(sizes) == len(places):
        raise ValueError(f"{len(offsets)} offsets, {len(sizes)} sizes and {len(places)} places: expected as many of each")
    if into.dtype != np.uint8 or into.ndim != 1 or not into.flags.c_contiguous or not into.flags.writeable:
        raise ValueError("pieces are read into a writable contiguous uint8 array of one dimension")
    if len(offsets) == 0:
        return
    if min(int(offsets.min()), int(sizes.min()), int(places.min())) < 0 or int((places + sizes).max()) > into.size:
        raise ValueError(f"a piece lies outside the buffer of {into.size} bytes or before the file's start")
