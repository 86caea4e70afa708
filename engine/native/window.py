"""A ReLU layer's window in the native library: bookkeeping, reads that run meanwhile, checks and arithmetic without the interpreter."""

from __future__ import annotations

import ctypes
import errno
from ctypes import Structure, c_int, c_int64, c_void_p

import numpy as np

from engine.flash import BundleFile
from engine.formats import Floats
from engine.kernels import Integers
from engine.manifest import LayerLayout
from engine.native.library import NATIVE_FORMATS, Native, NativeFile, check_result, system_error
from engine.window import MOST_READ_BYTES, WindowMemory, WindowShape

_END_OF_FILE, _CORRUPT, _FULL = -3, -5, -6
_SIGNATURES = {
    "fk_window_open": (c_void_p, (c_void_p,)),
    "fk_window_close": (None, (c_void_p,)),
    "fk_window_clear": (None, (c_void_p,)),
    "fk_window_state": (None, (c_void_p, c_void_p)),
    "fk_window_fetch": (c_int, (c_void_p, c_void_p, c_int64, c_int64)),
    "fk_window_wait": (c_int, (c_void_p, c_void_p)),
    "fk_window_apply": (c_int, (c_void_p, c_void_p, c_int64, c_void_p, c_void_p)),
    "fk_window_sum": (c_int, (c_void_p, c_void_p, c_int64, c_void_p, c_void_p)),
}


class _Matrix(Structure):
    """`matrix_t` of flashkb.h; here `row_stride` is the offset within a slot."""

    _fields_ = [(name, c_int64) for name in ("format", "rows", "row_stride", "columns")] + [("data", c_void_p), ("bias", c_void_p)]


class _Spec(Structure):
    """`spec_t` of window.c."""

    _fields_ = [
        ("file", c_void_p),
        *(
            (name, c_int64)
            for name in ("offset", "file_stride", "slot_bytes", "neurons", "slots", "pinned", "gap", "longest", "half", "squared")
        ),
        *((name, _Matrix) for name in ("up", "down")),
        *((name, c_void_p) for name in ("rows", "held", "slot", "last", "checksums", "checked")),
    ]


class NativeWindow:
    """See `engine.window.Window`; reads run while other layers are computed."""

    def __init__(self, file: BundleFile, layer: int, shape: WindowShape, up_bias: Floats | None, kernels: Native) -> None:
        if not isinstance(file.file, NativeFile) or file.file.handle is None:
            raise ValueError("a native window reads from a file that the native library has opened")
        self._library = kernels.library
        for name, (returned, arguments) in _SIGNATURES.items():
            function = getattr(self._library, name)
            function.restype, function.argtypes = returned, arguments
        self._file = file
        self._layer = layer
        self._memory = WindowMemory(file, layer, shape)
        self._bias = None if up_bias is None else np.ascontiguousarray(up_bias, np.float32)
        self._hidden = file.layers[layer].part("down").columns
        self._state = np.zeros(4, np.int64)
        self._seen = (0, 0)
        self.rows, self.neurons = self._memory.rows, self._memory.neurons
        spec = self._spec(file.layers[layer], shape, file.file.handle)
        self._handle: int | None = self._library.fk_window_open(ctypes.byref(spec))
        if not self._handle:
            raise MemoryError(f"no memory for the bookkeeping of a window of {shape.slots} neurons")

    def _spec(self, layout: LayerLayout, shape: WindowShape, handle: c_void_p) -> _Spec:
        memory, up, down = self._memory, layout.part("up"), layout.part("down")
        start = memory.place_of_down(layout, shape.bundles)
        bias = None if self._bias is None else self._bias.ctypes.data
        return _Spec(
            file=handle,
            offset=self._file.offset(self._layer) + (0 if shape.bundles else down.offset),
            file_stride=layout.stride,
            slot_bytes=memory.rows.shape[1],
            neurons=layout.neurons,
            slots=shape.slots,
            pinned=shape.pinned,
            gap=shape.gap if shape.reads == "runs" else 0,
            longest=max(MOST_READ_BYTES // layout.stride, 1) if shape.reads == "runs" else 1,
            half=down.offset if shape.reads == "halves" else 0,
            squared=layout.activation == "relu2",
            up=_Matrix(NATIVE_FORMATS[up.format], 1, up.offset, up.columns, None, bias),
            down=_Matrix(NATIVE_FORMATS[down.format], 1, start, down.columns, None, None),
            rows=memory.rows.ctypes.data,
            held=memory.neurons.ctypes.data,
            slot=memory.slot.ctypes.data,
            last=memory.last.ctypes.data,
            checksums=self._file.checksums[self._layer].ctypes.data if shape.bundles else None,
            checked=self._file.checked[self._layer].ctypes.data,
        )

    @property
    def used(self) -> int:
        """See `Window`."""
        return int(self._look()[0])

    def fetch(self, wanted: Integers, now: int) -> bool:
        """See `Window`."""
        wanted = np.ascontiguousarray(wanted, np.int64)
        result = self._library.fk_window_fetch(self._handle, wanted.ctypes.data, wanted.size, now)
        if result == _FULL:
            return False
        if result:
            raise MemoryError("no memory for reading threads")
        return True

    def wait(self) -> None:
        """See `Window`."""
        error = c_int()
        result = self._library.fk_window_wait(self._handle, ctypes.byref(error))
        _, read, reads, corrupt = (int(value) for value in self._look())
        self._file.counts.bytes += read - self._seen[0]
        self._file.counts.reads += reads - self._seen[1]
        self._seen = read, reads
        if result == _CORRUPT:
            raise self._file.altered(self._layer, corrupt)
        if result == _END_OF_FILE:
            raise self._file.cut_short()
        if result:
            raise self._file.unreadable(system_error(error.value or errno.EIO, self._file.file.path))

    def apply(self, wanted: Integers, x: Floats, out: Floats) -> None:
        """See `Window`."""
        wanted, x = np.ascontiguousarray(wanted, np.int64), np.ascontiguousarray(x, np.float32)
        self._check_sums(x, out)
        check_result(self._library.fk_window_apply(self._handle, wanted.ctypes.data, wanted.size, x.ctypes.data, out.ctypes.data))

    def sum(self, wanted: Integers, active: Floats, out: Floats) -> None:
        """See `Window`."""
        wanted, active = np.ascontiguousarray(wanted, np.int64), np.ascontiguousarray(active, np.float32)
        self._check_sums(out, out)
        if active.size != wanted.size:
            raise ValueError(f"{active.size} activations for {wanted.size} neurons")
        check_result(self._library.fk_window_sum(self._handle, wanted.ctypes.data, wanted.size, active.ctypes.data, out.ctypes.data))

    def clear(self) -> None:
        """See `Window`."""
        self._library.fk_window_clear(self._handle)

    def close(self) -> None:
        """See `Window`."""
        if self._handle:
            self._library.fk_window_close(self._handle)
            self._handle = None

    def _check_sums(self, x: Floats, out: Floats) -> None:
        if x.shape != (self._hidden,) or out.shape != (self._hidden,) or out.dtype != np.float32 or not out.flags.c_contiguous:
            raise ValueError(f"a window of {self._hidden} columns got {x.shape} and sums onto {out.dtype} {out.shape}")

    def _look(self) -> Integers:
        self._library.fk_window_state(self._handle, self._state.ctypes.data)
        return self._state
