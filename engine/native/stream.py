"""Tiles that the native library streams: runs of them as it sees them, and the ring of buffers that its threads fill ahead."""

from __future__ import annotations

import ctypes
import errno
import weakref
from collections.abc import Sequence
from ctypes import Structure, c_int, c_int64, c_void_p

from engine.errors import EngineError
from engine.flash import BundleFile, Run
from engine.manifest import LayerLayout
from engine.native.library import NATIVE_FORMATS, Native, NativeFile, system_error
from engine.reads import ReadCounts

READERS = 4
"""Threads that read at once: enough for the full speed of a disk with reads of this size."""
PIECE_BYTES = 1 << 20
_END_OF_FILE, _CORRUPT = -3, -5


class _Part(Structure):
    """`part_t` of stream.h."""

    _fields_ = [(name, c_int64) for name in ("format", "offset", "row_bytes", "columns")]


class _Form(Structure):
    """`form_t` of stream.h."""

    _fields_ = [*((name, _Part) for name in ("up", "gate", "down")), *((name, c_int64) for name in ("neurons", "stride", "neuron_major"))]


class _Run(Structure):
    """`run_t` of stream.h."""

    _fields_ = [
        ("file", c_void_p),
        *((name, c_int64) for name in ("offset", "layer", "first", "tiles")),
        ("form", ctypes.POINTER(_Form)),
        ("checksums", c_void_p),
        ("checked", c_void_p),
    ]


class NativeStream:
    """The runs of a pass over the layers, in order, round and round."""

    def __init__(self, kernels: Native, file: BundleFile, runs: Sequence[Run], depth: int) -> None:
        self._library = kernels.library
        self._file = file
        self._runs = runs
        self._forms = [_form(layout) for layout in file.layers]  # the runs point to them
        native = (_Run * len(runs))(*[self._native(run) for run in runs])
        most = max(run.tiles * file.layers[run.layer].stride for run in runs)
        self.handle: int | None = self._library.fk_stream_open(native, len(runs), most, depth, PIECE_BYTES, READERS)
        if not self.handle:
            raise MemoryError(f"no memory for {depth} buffers of {most} bytes, or no threads to fill them")
        self._failed = False
        # threads of the library read what this object points to: they end before it does
        self._end = weakref.finalize(self, self._library.fk_stream_close, self.handle)

    def _native(self, run: Run) -> _Run:
        file = self._file.file
        if not isinstance(file, NativeFile) or file.handle is None:
            raise ValueError(f"{file.path} is not open in this library")
        layout, checksums, checked = self._file.layers[run.layer], self._file.checksums[run.layer], self._file.checked[run.layer]
        offset = self._file.offset(run.layer) + run.first * layout.stride
        form = ctypes.pointer(self._forms[run.layer])
        return _Run(file.handle.value, offset, run.layer, run.first, run.tiles, form, checksums.ctypes.data, checked.ctypes.data)

    def take_counts(self) -> ReadCounts:
        """What was read since the last call, ahead of the arithmetic as well."""
        found = (c_int64 * 3)()
        self._library.fk_stream_counts(self.handle, found)
        return ReadCounts(found[0], found[1], found[2] / 1e9)

    def set_reading(self, readers: int, piece_bytes: int) -> None:
        """Threads that read from now on (16 at most) and the pieces in which they do; what is read does not change."""
        self._library.fk_stream_pace(self.handle, readers, piece_bytes)

    def drain(self, rounds: int) -> None:
        """Read every run so many times without any arithmetic; for measuring. Raises EngineError."""
        if self._library.fk_stream_drain(self.ready(), rounds * len(self._runs)):
            raise self.failure() or EngineError("the stream failed for no reason that it names")

    def ready(self) -> int:
        """`handle`, with the stream at its first run again if the last pass failed: what stood in its way may be mended by now."""
        if self._failed:
            self._library.fk_stream_restart(self.handle)
            self._failed = False
        assert self.handle
        return self.handle

    def failure(self) -> EngineError | None:
        """What made the last pass fail, if it was reading. Nothing is read any more before `ready`."""
        run, tile, code = c_int64(), c_int64(), c_int()
        failure = self._library.fk_stream_failure(self.handle, ctypes.byref(run), ctypes.byref(tile), ctypes.byref(code))
        self._failed = True
        if failure == _CORRUPT:
            failed = self._runs[run.value]
            return self._file.altered(failed.layer, failed.first + tile.value)
        if failure == _END_OF_FILE:
            return self._file.cut_short()
        return self._file.unreadable(system_error(code.value or errno.EIO, self._file.file.path)) if failure else None

    def close(self) -> None:
        """Stop reading ahead; before the file is closed. Closing twice is harmless."""
        self._end()
        self.handle = None


def _form(layout: LayerLayout) -> _Form:
    form = _Form(neurons=layout.tile_neurons, stride=layout.stride, neuron_major=layout.axis == "neuron")
    form.gate = _Part(-1, 0, 0, 0)
    for part in layout.parts:
        setattr(form, part.name, _Part(NATIVE_FORMATS[part.format], part.offset, part.row_bytes, part.columns))
    return form
