"""The resident tensors of a pack in memory, read past the page cache and checked."""

from __future__ import annotations

import time
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine import tensors
from engine.errors import CorruptPack, EngineError, UnusableSource
from engine.formats import Bytes, Floats, dequantize
from engine.kernels import Kernels, WeightFile, aligned_buffer
from engine.manifest import RESIDENT, Manifest
from engine.reads import READ_BYTES, ReadCounts
from engine.source import Matrix

_CHECKED_BYTES = 4 << 20


def read_span(kernels: Kernels, path: Path, offset: int, into: Bytes) -> None:
    """Fill `into` from the file, in pieces that are read at the same time."""
    starts = np.arange(0, into.size, READ_BYTES, dtype=np.int64)
    with kernels.open_direct(path) as file:
        kernels.read_batch(file, starts + offset, np.minimum(READ_BYTES, into.size - starts), into, starts)


class ResidentWeights:
    """Attention, norms, embeddings and head. `matrix` gives rows in their block format, `vector` float32."""

    def __init__(self, pack: Path, manifest: Manifest, kernels: Kernels, on_flash: frozenset[str] = frozenset()) -> None:
        """The matrices named in `on_flash` stay in the file; `rows` reads what it needs of them.

        Raises CorruptPack when a tensor is missing or its checksum is wrong.
        """
        self._pack_name = pack.name
        self._kernels = kernels
        self._stored = manifest.tensors
        self._vectors: dict[str, Floats] = {}
        self._counts = ReadCounts()
        try:
            self._entries = tensors.read_header(pack / RESIDENT)
            self._file: WeightFile = kernels.open_direct(pack / RESIDENT)
            self._bytes = self._load(on_flash)
            if not on_flash:
                self._file.close()
        except (OSError, EOFError, KeyError, UnusableSource) as error:
            raise CorruptPack(f"{RESIDENT} of the pack {pack.name} cannot be read ({error}); pack the model again") from error

    def _load(self, on_flash: frozenset[str]) -> dict[str, Bytes]:
        """Every other tensor in one buffer; a tensor that stays on flash is read once, piece by piece, to be checked."""
        held = [name for name in self._stored if name not in on_flash]
        ends = np.cumsum([_aligned(self._entries[name].size) for name in held])
        buffer = aligned_buffer(int(ends[-1]))
        places = dict(zip(held, [0, *ends[:-1].tolist()], strict=True))
        self._read([(self._entries[name], places[name]) for name in held], buffer)
        found = {name: buffer[places[name] : places[name] + self._entries[name].size] for name in held}
        for name in held:
            self._require(name, zlib.crc32(found[name].data))
        for name in on_flash:
            self._require(name, self._checksum_on_flash(self._entries[name]))
        return found

    def _read(self, wanted: list[tuple[tensors.Entry, int]], into: Bytes) -> None:
        """Parts of the file to places of `into`, in pieces that are read at the same time."""
        pieces = [
            (entry.offset + at, min(READ_BYTES, entry.size - at), place + at)
            for entry, place in wanted
            for at in range(0, entry.size, READ_BYTES)
        ]
        offsets, sizes, places = np.array(pieces, np.int64).T
        self._kernels.read_batch(self._file, offsets, sizes, into, places)

    def _checksum_on_flash(self, entry: tensors.Entry) -> int:
        buffer, checksum = aligned_buffer(_CHECKED_BYTES), 0
        for start in range(0, entry.size, buffer.size):
            piece = replace(entry, offset=entry.offset + start, size=min(buffer.size, entry.size - start))
            self._read([(piece, 0)], buffer)
            checksum = zlib.crc32(buffer[: piece.size].data, checksum)
        return checksum

    def _require(self, name: str, checksum: int) -> None:
        if checksum != self._stored[name].crc32:
            raise CorruptPack(f"the tensor {name} of the pack {self._pack_name} was altered; pack the model again")

    def close(self) -> None:
        """Let go of the file, which is open while a matrix stays in it."""
        self._file.close()

    def __contains__(self, name: str) -> bool:
        return name in self._stored

    def matrix(self, name: str) -> Matrix:
        """Rows in the stored format."""
        stored = self._stored[name]
        return Matrix(stored.format, self._bytes[name].reshape(stored.rows, -1), stored.columns)

    def raw(self, name: str) -> Bytes:
        """The bytes of a tensor as they are stored."""
        return self._bytes[name]

    def vector(self, name: str) -> Floats | None:
        """A norm, a bias or another float32 tensor of one row; None where the model has none of that name."""
        if name not in self._stored:
            return None
        if name not in self._vectors:
            self._vectors[name] = self._bytes[name].view("<f4").copy()
        return self._vectors[name]

    def required(self, name: str) -> Floats:
        """As `vector`, for a tensor that every pack of the kind has."""
        found = self.vector(name)
        if found is None:
            raise CorruptPack(f"the pack has no tensor {name}; pack the model again")
        return found

    def rows(self, name: str, numbers: list[int]) -> Floats:
        """Some rows of a matrix, which may be on flash, as float32 [len(numbers), columns]."""
        if name not in self._bytes:
            return self._rows_on_flash(name, numbers)
        matrix = self.matrix(name)
        return dequantize(matrix.format, matrix.data[numbers], matrix.columns)

    def _rows_on_flash(self, name: str, numbers: list[int]) -> Floats:
        stored, wanted = self._stored[name], np.unique(np.array(numbers, np.int64))
        width = self._entries[name].size // stored.rows
        buffer = aligned_buffer(wanted.size * width)
        places, began = np.arange(wanted.size, dtype=np.int64) * width, time.perf_counter()
        try:
            self._kernels.read_batch(self._file, wanted * width + self._entries[name].offset, np.full(wanted.size, width), buffer, places)
        except (OSError, EOFError) as error:
            raise EngineError(f"the disk could not read {RESIDENT} of the pack {self._pack_name}: {error}; check the disk") from error
        self._counts += ReadCounts(buffer.size, wanted.size, time.perf_counter() - began)
        rows = dequantize(stored.format, buffer.reshape(wanted.size, width), stored.columns)
        return np.asarray(rows[np.searchsorted(wanted, numbers)])

    def take_counts(self) -> ReadCounts:
        """What was read of matrices on flash since the last call; all of it was waited for."""
        counts, self._counts = self._counts, ReadCounts()
        return counts

    def checksums(self, layer: int) -> NDArray[np.uint32]:
        """CRC-32 of each tile of a layer, [tiles]."""
        return np.asarray(self._bytes[f"layer.{layer}.tile_crc"].view("<u4"))


def _aligned(size: int) -> int:
    """The room of a tensor, so that the next one begins where a cache line does."""
    return -(-size // 64) * 64
