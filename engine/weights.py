"""The resident tensors of a pack in memory, read past the page cache and checked."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine import tensors
from engine.errors import CorruptPack, UnusableSource
from engine.formats import Bytes, Floats, dequantize
from engine.kernels import Kernels, aligned_buffer
from engine.manifest import RESIDENT, Manifest
from engine.source import Matrix

READ_BYTES = 1 << 20
"""A large file is read in pieces of this size, many at a time."""


def read_span(kernels: Kernels, path: Path, offset: int, into: Bytes) -> None:
    """Fill `into` from the file, in pieces that are read at the same time."""
    starts = np.arange(0, into.size, READ_BYTES, dtype=np.int64)
    sizes = np.minimum(READ_BYTES, into.size - starts)
    with kernels.open_direct(path) as file:
        kernels.read_batch(file, starts + offset, sizes, into, starts)


class ResidentWeights:
    """Attention, norms, embeddings and head. `matrix` gives rows in their block format, `vector` float32."""

    def __init__(self, pack: Path, manifest: Manifest, kernels: Kernels) -> None:
        """Raises CorruptPack when a tensor is missing or its checksum is wrong."""
        path = pack / RESIDENT
        try:
            self._entries = tensors.read_header(path)
            buffer = aligned_buffer(path.stat().st_size)
            read_span(kernels, path, 0, buffer)
        except (OSError, EOFError, UnusableSource) as error:
            raise CorruptPack(f"{RESIDENT} of the pack {pack.name} cannot be read ({error}); pack the model again") from error
        self._stored = manifest.tensors
        self._bytes = {name: buffer[entry.offset : entry.offset + entry.size] for name, entry in self._entries.items()}
        for name, stored in manifest.tensors.items():
            if name not in self._bytes or zlib.crc32(self._bytes[name].data) != stored.crc32:
                raise CorruptPack(f"the tensor {name} of the pack {pack.name} was altered; pack the model again")
        self._vectors: dict[str, Floats] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._stored

    def matrix(self, name: str) -> Matrix:
        """Rows in the stored format."""
        stored = self._stored[name]
        return Matrix(stored.format, self._bytes[name].reshape(stored.rows, -1), stored.columns)

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
        """Some rows of a matrix as float32 [len(numbers), columns]."""
        matrix = self.matrix(name)
        return dequantize(matrix.format, matrix.data[numbers], matrix.columns)

    def checksums(self, layer: int) -> NDArray[np.uint32]:
        """CRC-32 of each tile of a layer, [tiles]."""
        return np.asarray(self._bytes[f"layer.{layer}.tile_crc"].view("<u4"))
