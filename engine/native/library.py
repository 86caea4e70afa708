"""The kernels of the compiled library, through ctypes; the interpreter's lock is free while they run."""

from __future__ import annotations

import ctypes
import os
from ctypes import c_char_p, c_double, c_int, c_int64, c_void_p
from pathlib import Path

import numpy as np

from engine import formats
from engine.formats import Bytes, Floats, Halves
from engine.kernels import Activation, Integers, WeightFile
from engine.native.place import library_path
from engine.native.twin import check_pieces

NATIVE_FORMATS = {
    name: code
    for code, name in enumerate(("f32", "f16", "bf16", "q4_0", "q4_1", "q5_0", "q8_0", "q2_1", "q3_1", "q4_64", "q4_k", "q5_k", "q6_k"))
}
ACTIVATIONS: dict[Activation, int] = {"silu": 0, "gelu": 1, "gelu_tanh": 2, "relu": 3, "relu2": 4}
_NO_MEMORY, _END_OF_FILE = -1, -3
_SIGNATURES = {
    "fk_name": (c_char_p, ()),
    "fk_use": (c_int, (c_char_p,)),
    "fk_set_threads": (c_int, (c_int,)),
    "fk_matmul": (c_int, (c_int, c_void_p, c_int64, c_int64, c_int64, c_void_p, c_int64, c_int64, c_void_p, c_int64)),
    "fk_weighted_sum": (c_int, (c_int, c_void_p, c_int64, c_int64, c_int64, c_void_p, c_int64, c_int64, c_void_p, c_void_p, c_int64)),
    "fk_add_product": (c_int, (c_int, c_void_p, c_int64, c_int64, c_int64, c_void_p, c_int64, c_int64, c_void_p)),
    "fk_lane_floats": (c_int64, (c_int, c_int64, c_int64)),
    "fk_finish_product": (None, (c_int, c_void_p, c_int64, c_int64, c_void_p)),
    "fk_layers": (c_int, (c_void_p, c_void_p, c_int64, c_void_p, c_int64, c_void_p, c_int64, c_void_p, c_void_p, c_void_p)),
    "fk_stream_open": (c_void_p, (c_void_p, c_int64, c_int64, c_int64, c_int64, c_int)),
    "fk_stream_close": (None, (c_void_p,)),
    "fk_stream_restart": (None, (c_void_p,)),
    "fk_stream_failure": (c_int, (c_void_p, c_void_p, c_void_p, c_void_p)),
    "fk_stream_counts": (None, (c_void_p, c_void_p)),
    "fk_stream_pace": (None, (c_void_p, c_int, c_int64)),
    "fk_stream_drain": (c_int, (c_void_p, c_int64)),
    "fk_round_block": (c_int, (c_int, c_void_p, c_int64, c_void_p, c_int64, c_void_p, c_void_p, c_int64)),
    "fk_normalise": (c_int, (c_void_p, c_int64, c_int64, c_void_p, c_void_p, c_double, c_void_p)),
    "fk_attention": (c_int, (c_void_p, c_int64, c_int64, c_int64, c_int64, c_void_p, c_void_p, c_int64, c_int64, c_void_p)),
    "fk_activate": (c_int, (c_void_p, c_void_p, c_int64, c_int64, c_int64)),
    "fk_open": (c_int, (c_char_p, c_int, c_void_p, c_void_p, c_void_p)),
    "fk_close": (None, (c_void_p,)),
    "fk_read_batch": (c_int, (c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_int64, c_void_p, c_void_p)),
}


def default_threads() -> int:
    """Processors that this process may use; half of more than four, since two threads of one core share its arithmetic."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return usable if usable <= 4 else max(4, usable // 2)


class NativeFile:
    """A file opened by the library."""

    def __init__(self, library: ctypes.CDLL, path: Path) -> None:
        self.path = path
        self._library = library
        handle, size, direct = c_void_p(), c_int64(), c_int()
        name = os.fspath(path).encode("utf-8", "surrogateescape")
        error = library.fk_open(name, 1, ctypes.byref(handle), ctypes.byref(size), ctypes.byref(direct))
        if error:
            raise system_error(error, path)
        self.handle: c_void_p | None = handle
        self.size = size.value
        self.direct = bool(direct.value)

    def close(self) -> None:
        """No read may be under way; closing twice is harmless."""
        if self.handle is not None:
            self._library.fk_close(self.handle)
            self.handle = None

    def __enter__(self) -> NativeFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class NativeProduct:
    """See `engine.kernels.PartialProduct`."""

    def __init__(self, library: ctypes.CDLL, format: str, rows: int, n: int) -> None:
        self._library = library
        self._format = format
        self._shape = (n, rows)
        self._lanes = np.zeros(library.fk_lane_floats(NATIVE_FORMATS[format], rows, n), np.float32)

    def add(self, weights: Bytes, x: Floats) -> None:
        stride = row_stride(self._format, weights, x.shape[1])
        if (x.shape[0], weights.shape[0]) != self._shape:
            raise ValueError(
                f"{weights.shape[0]} rows and {x.shape[0]} tokens were given to a product of {self._shape[1]} and {self._shape[0]}"
            )
        x, lanes = np.ascontiguousarray(x, np.float32), self._lanes.ctypes.data
        given = weights.ctypes.data, weights.shape[0], stride, x.shape[1], x.ctypes.data, x.shape[0], x.shape[1]
        check_result(self._library.fk_add_product(NATIVE_FORMATS[self._format], *given, lanes))

    def finish(self) -> Floats:
        n, rows = self._shape
        out = np.empty((n, rows), np.float32)
        self._library.fk_finish_product(NATIVE_FORMATS[self._format], self._lanes.ctypes.data, rows, n, out.ctypes.data)
        return out


class Native:
    """See `engine.kernels.Kernels`. `path` chooses an instruction set by name ("scalar" everywhere), None the machine's best."""

    def __init__(self, file: Path | None = None, threads: int | None = None, path: str | None = None) -> None:
        self.library = ctypes.CDLL(os.fspath(file or library_path()))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(self.library, name)
            function.restype, function.argtypes = result, arguments
        if path is not None and self.library.fk_use(path.encode()) != 0:
            raise ValueError(f"this machine has no {path!r} kernels")
        self.threads = int(self.library.fk_set_threads(threads or default_threads()))
        self.name = f"native {self.library.fk_name().decode()}"

    def set_threads(self, threads: int) -> None:
        """So many threads work on each call from now on, the caller's included; results do not change."""
        self.threads = int(self.library.fk_set_threads(threads))

    def matmul(self, format: str, weights: Bytes, x: Floats) -> Floats:
        stride = row_stride(format, weights, x.shape[1])
        x = np.ascontiguousarray(x, np.float32)
        n, columns = x.shape
        rows = weights.shape[0]
        out = np.empty((n, rows), np.float32)
        check_result(
            self.library.fk_matmul(
                NATIVE_FORMATS[format], weights.ctypes.data, rows, stride, columns, x.ctypes.data, n, columns, out.ctypes.data, rows
            )
        )
        return out

    def begin_product(self, format: str, rows: int, n: int) -> NativeProduct:
        return NativeProduct(self.library, format, rows, n)

    def weighted_sum(
        self, format: str, weights: Bytes, coefficients: Floats, order: Integers | None = None, onto: Floats | None = None
    ) -> Floats:
        columns = formats.find(format).columns(weights.shape[1])
        stride = row_stride(format, weights, columns)
        coefficients = np.ascontiguousarray(coefficients, np.float32)
        n, rows = coefficients.shape
        if rows != weights.shape[0] or (order is not None and order.shape != (rows,)):
            raise ValueError(f"{rows} coefficients for {weights.shape[0]} rows in an order of {'all' if order is None else order.size}")
        out = np.zeros((n, columns), np.float32) if onto is None else onto
        if out.shape != (n, columns) or out.dtype != np.float32 or not out.flags.c_contiguous:
            raise ValueError(f"sums go onto contiguous float32 [{n}, {columns}], got {out.dtype} {list(out.shape)}")
        places = None if order is None else np.ascontiguousarray(order, np.int64)
        if places is not None and rows and (places.min() < 0 or places.max() >= rows):
            raise ValueError(f"the order names a place outside the {rows} rows")
        given = weights.ctypes.data, rows, stride, columns, coefficients.ctypes.data, n, rows
        turns = None if places is None else places.ctypes.data
        check_result(self.library.fk_weighted_sum(NATIVE_FORMATS[format], *given, turns, out.ctypes.data, columns))
        return out

    def normalise(self, x: Floats, weight: Floats, bias: Floats | None, epsilon: float) -> Floats:
        x, weight = np.ascontiguousarray(x, np.float32), np.ascontiguousarray(weight, np.float32)
        out = np.empty_like(x)
        shift = None if bias is None else np.ascontiguousarray(bias, np.float32)
        given = None if shift is None else shift.ctypes.data
        self.library.fk_normalise(x.ctypes.data, *x.shape, weight.ctypes.data, given, epsilon, out.ctypes.data)
        return out

    def activate(self, kind: Activation, up: Floats, gate: Floats | None) -> Floats:
        out = np.array(up, np.float32, order="C")
        held = None if gate is None else np.ascontiguousarray(gate, np.float32)
        given = None if held is None else held.ctypes.data
        check_result(self.library.fk_activate(out.ctypes.data, given, ACTIVATIONS[kind], *out.shape))
        return out

    def attention(self, query: Floats, keys: Halves, values: Halves) -> Floats:
        query = np.ascontiguousarray(query, np.float32)
        if keys.strides != values.strides or keys.strides[1:] != (2 * keys.shape[2], 2) or keys.dtype != np.float16:
            keys, values = np.ascontiguousarray(keys, np.float16), np.ascontiguousarray(values, np.float16)
        n, heads, dim = query.shape
        out = np.empty_like(query)
        capacity, first = keys.strides[0] // (2 * dim), keys.shape[1] - n
        seen = keys.ctypes.data, values.ctypes.data, capacity
        self.library.fk_attention(query.ctypes.data, n, heads, keys.shape[0], dim, *seen, first, out.ctypes.data)
        return out

    def open_direct(self, path: Path) -> WeightFile:
        return NativeFile(self.library, path)

    def read_batch(self, file: WeightFile, offsets: Integers, sizes: Integers, into: Bytes, places: Integers) -> None:
        if not isinstance(file, NativeFile) or file.handle is None:
            raise ValueError(f"{file.path} is not open in this library")
        check_pieces(offsets, sizes, into, places)
        offsets, sizes, places = (np.ascontiguousarray(piece, np.int64) for piece in (offsets, sizes, places))
        failed, error = c_int64(), c_int()
        result = self.library.fk_read_batch(
            file.handle,
            offsets.ctypes.data,
            sizes.ctypes.data,
            into.ctypes.data,
            places.ctypes.data,
            len(offsets),
            ctypes.byref(failed),
            ctypes.byref(error),
        )
        if result == _END_OF_FILE:
            wanted = f"{sizes[failed.value]} bytes were wanted from byte {offsets[failed.value]}"
            raise EOFError(f"{file.path} ends at byte {file.size}, but {wanted}")
        if result:
            raise MemoryError("no memory for reading threads") if result == _NO_MEMORY else system_error(error.value, file.path)


def row_stride(format: str, weights: Bytes, columns: int) -> int:
    """Bytes from row to row; ValueError unless `weights` is uint8 [rows, row_bytes] with contiguous rows of that many columns."""
    width = formats.find(format).row_bytes(columns)
    if weights.dtype != np.uint8 or weights.ndim != 2 or weights.shape[1] != width or (width > 1 and weights.strides[1] != 1):
        raise ValueError(f"{format} rows of {columns} columns are uint8 [rows, {width}], got {weights.dtype} {list(weights.shape)}")
    return weights.strides[0]


def check_result(result: int) -> None:
    if result:
        raise MemoryError("no memory for a matrix product") if result == _NO_MEMORY else ValueError(f"the native library refused: {result}")


def system_error(code: int, path: Path) -> OSError:
    """What the system says of an error number that the library brought back."""
    if os.name == "nt":
        return OSError(0, ctypes.FormatError(code), os.fspath(path), code)  # type: ignore[attr-defined,unused-ignore]
    return OSError(code, os.strerror(code), os.fspath(path))
