"""The safetensors file layout: reading headers, and writing files tensor by tensor with data that begins on a 4 KiB boundary."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import UnusableSource
from engine.formats import Bytes

DATA_ALIGNMENT = 4096
ITEM_BYTES = {"F64": 8, "I64": 8, "F32": 4, "U32": 4, "I32": 4, "F16": 2, "BF16": 2, "U8": 1, "I8": 1, "BOOL": 1}
_LONGEST_HEADER = 100_000_000
Layout = dict[str, tuple[str, tuple[int, ...]]]
"""Name -> (dtype as safetensors names it, shape), in the order of the file."""


@dataclass(frozen=True)
class Entry:
    """A tensor of the file; `offset` counts from the file's start."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int


def read_header(path: Path) -> dict[str, Entry]:
    """The tensors of a safetensors file by name, without their data.

    Raises UnusableSource when the file is no safetensors file, or shorter than its header says.
    """
    length = path.stat().st_size
    with path.open("rb") as file:
        header_size = int.from_bytes(file.read(8), "little")
        if not 2 <= header_size <= min(_LONGEST_HEADER, length - 8):
            raise UnusableSource(f"{path.name} is not a safetensors file or is cut short; fetch it again")
        try:
            header = json.loads(file.read(header_size))
            entries = {name: _entry(value, 8 + header_size) for name, value in header.items() if name != "__metadata__"}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnusableSource(f"the header of {path.name} is damaged ({error}); fetch the file again") from error
    end = max((entry.offset + entry.size for entry in entries.values()), default=0)
    if end > length:
        raise UnusableSource(f"{path.name} is cut short: it has {length} bytes and should have {end}; fetch it again")
    return entries


def _entry(value: dict[str, Any], data_start: int) -> Entry:
    begin, end = value["data_offsets"]
    entry = Entry(value["dtype"], tuple(value["shape"]), data_start + begin, end - begin)
    if entry.dtype in ITEM_BYTES and entry.size != math.prod(entry.shape) * ITEM_BYTES[entry.dtype]:
        raise ValueError(f"a tensor of shape {entry.shape} in {entry.size} bytes")
    return entry


def read_bytes(path: Path, entry: Entry, start: int = 0, size: int | None = None) -> Bytes:
    """The tensor's bytes, or `size` of them from `start` on: uint8 [size]."""
    wanted = entry.size - start if size is None else size
    with path.open("rb") as file:
        file.seek(entry.offset + start)
        data = np.fromfile(file, np.uint8, wanted)
    if data.size != wanted:
        raise UnusableSource(f"{path.name} ends within a tensor; fetch it again")
    return data


class Writer:
    """Writes a safetensors file whose tensors were announced beforehand, in that order. Use as a context manager.

    The file is synchronised with the disk on a normal exit; on an exception it stays half-made, for its folder's owner to remove.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self._sizes = {name: math.prod(shape) * ITEM_BYTES[dtype] for name, (dtype, shape) in layout.items()}
        self._waiting = list(layout)
        self._file = path.open("wb")
        self._file.write(_header_bytes(layout, self._sizes))

    def write(self, name: str, *parts: NDArray[Any]) -> None:
        """Append the tensor that is next in the layout, whole or in parts that lie one behind the other."""
        with self.tensor(name) as append:
            for part in parts:
                append(part)

    @contextmanager
    def tensor(self, name: str) -> Iterator[Callable[[NDArray[Any]], None]]:
        """Append the tensor that is next in the layout, part by part with the function that this gives."""
        if not self._waiting or self._waiting[0] != name:
            raise ValueError(f"{name} is not what the layout has next ({self._waiting[:1]})")
        written = 0

        def append(data: NDArray[Any]) -> None:
            nonlocal written
            written += data.nbytes
            self._file.write(np.ascontiguousarray(data).view(np.uint8).reshape(-1).data)

        yield append
        if written != self._sizes[name]:
            raise ValueError(f"{name} has {written} bytes, and {self._sizes[name]} were announced")
        self._waiting.pop(0)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                if self._waiting:
                    raise ValueError(f"{len(self._waiting)} announced tensors were not written, first {self._waiting[0]}")
                self._file.flush()
                os.fsync(self._file.fileno())
        finally:
            self._file.close()


def _header_bytes(layout: Layout, sizes: dict[str, int]) -> bytes:
    header: dict[str, Any] = {}
    position = 0
    for name, (dtype, shape) in layout.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, position + sizes[name]]}
        position += sizes[name]
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % DATA_ALIGNMENT)
    return len(text).to_bytes(8, "little") + text
