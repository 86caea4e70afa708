"""Reading a GGUF file: its metadata and where its tensors lie, checked against the file's length."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from engine.errors import UnknownArchitecture, UnusableSource
from engine.formats import BY_GGML_TYPE, Bytes, Format

MAGIC = b"GGUF"
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_MOST_ENTRIES = 1 << 28
"""A count beyond this is damage, not a model."""


@dataclass(frozen=True)
class TensorPlace:
    """`shape` is (rows, columns), (columns,) for a vector; `offset` counts from the file's start."""

    format: Format
    shape: tuple[int, ...]
    offset: int

    @property
    def rows(self) -> int:
        """1 for a vector."""
        return self.shape[0] if len(self.shape) == 2 else 1

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self.rows * self.format.row_bytes(self.shape[-1])


class GgufFile:
    """An open GGUF file: `metadata` and `tensors` are in memory, tensor data is read when asked for."""

    def __init__(self, path: Path) -> None:
        """Raises UnusableSource when the file is no GGUF file or is cut short."""
        self.path = path
        self.size = path.stat().st_size
        with path.open("rb") as file:
            try:
                self.metadata, self.tensors = _read_header(file, self.size)
            except (struct.error, UnicodeDecodeError, MemoryError) as error:
                raise UnusableSource(f"{path.name} is damaged or cut short ({error or 'impossible size'}); fetch the file again") from error
        self._check_length()

    def _check_length(self) -> None:
        end = max((place.offset + place.size for place in self.tensors.values()), default=0)
        if end > self.size:
            raise UnusableSource(f"{self.path.name} is cut short: it has {self.size} bytes, expected {end}; fetch the file again")

    def read(self, name: str) -> Bytes:
        """The tensor's bytes, uint8 [rows, row_bytes]."""
        place = self.tensors[name]
        return self.read_bytes(name, 0, place.size).reshape(place.rows, -1)

    def read_bytes(self, name: str, start: int, size: int) -> Bytes:
        """`size` of the tensor's bytes from `start` on, uint8 [size]."""
        with self.path.open("rb") as file:
            file.seek(self.tensors[name].offset + start)
            data = np.fromfile(file, np.uint8, size)
        if data.size != size:
            raise UnusableSource(f"{self.path.name} ends within the tensor {name}; fetch the file again")
        return data


def _read_header(file: BinaryIO, size: int) -> tuple[dict[str, Any], dict[str, TensorPlace]]:
    if file.read(4) != MAGIC:
        raise UnusableSource(f"{Path(file.name).name} is not a GGUF file (it does not begin with 'GGUF')")
    version, tensor_count, entry_count = _scalars(file, "<IQQ")
    if version not in (2, 3):
        raise UnusableSource(f"{Path(file.name).name} is GGUF version {version}; the engine reads versions 2 and 3")
    metadata: dict[str, Any] = {}
    for _ in range(_checked(entry_count, size)):
        key = _string(file, size)
        metadata[key] = _value(file, _scalars(file, "<I")[0], size)
    infos = [_tensor_info(file, size) for _ in range(_checked(tensor_count, size))]
    alignment = int(metadata.get("general.alignment", 32))
    start = -(-file.tell() // alignment) * alignment
    return metadata, {name: TensorPlace(kind, shape, start + offset) for name, kind, shape, offset in infos}


def _tensor_info(file: BinaryIO, size: int) -> tuple[str, Format, tuple[int, ...], int]:
    name = _string(file, size)
    (dimensions,) = _scalars(file, "<I")
    if not 1 <= dimensions <= 2:
        raise UnknownArchitecture(f"the tensor {name!r} has {dimensions} dimensions; the engine runs models of matrices and vectors")
    columns_first = _scalars(file, f"<{dimensions}Q")
    ggml_type, offset = _scalars(file, "<IQ")
    if ggml_type not in BY_GGML_TYPE:
        known = ", ".join(entry.name.upper() for entry in BY_GGML_TYPE.values())
        raise UnknownArchitecture(f"the tensor {name!r} has GGML type {ggml_type}, which the engine cannot read; it reads {known}")
    return name, BY_GGML_TYPE[ggml_type], tuple(reversed(columns_first)), offset


def _checked(count: int, size: int) -> int:
    if count > min(size, _MOST_ENTRIES):
        raise UnusableSource(f"the GGUF file claims {count} entries in {size} bytes; it is damaged, fetch it again")
    return count


def _scalars(file: BinaryIO, form: str) -> tuple[Any, ...]:
    return struct.unpack(form, file.read(struct.calcsize(form)))


def _string(file: BinaryIO, size: int) -> str:
    (length,) = _scalars(file, "<Q")
    data = file.read(_checked(length, size))
    if len(data) != length:
        raise UnusableSource(f"{Path(file.name).name} ends within a text; fetch the file again")
    return data.decode("utf-8")


def _value(file: BinaryIO, kind: int, size: int) -> Any:
    if kind == _STRING:
        return _string(file, size)
    if kind in _SCALARS:
        return _scalars(file, "<" + _SCALARS[kind])[0]
    if kind != _ARRAY:
        raise UnusableSource(f"{Path(file.name).name} has a metadata value of unknown type {kind}; it is damaged or newer than the engine")
    item, count = _scalars(file, "<IQ")
    _checked(count, size)
    if item in _SCALARS:
        return list(_scalars(file, f"<{count}{_SCALARS[item]}"))
    return [_value(file, item, size) for _ in range(count)]
