"""Tiles of bundles streamed from flash layer after layer, read ahead while the layers before them are computed."""

from __future__ import annotations

import queue
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine import tensors
from engine.errors import CorruptPack, EngineError, UnusableSource
from engine.formats import Bytes
from engine.kernels import Integers, Kernels, WeightFile, aligned_buffer
from engine.manifest import FFN, Balanced, LayerLayout, Manifest
from engine.reads import READ_BYTES, ReadCounts

MOST_TILES_OF_A_RUN = 64
"""The native library works on no more at once."""


@dataclass(frozen=True)
class Run:
    """Neighbouring tiles of a layer."""

    layer: int
    first: int
    tiles: int


class BundleFile:
    """The feed-forward's file of a pack, open for direct reads of runs of tiles; each tile is checked when it is first read."""

    def __init__(
        self, pack: Path, manifest: Manifest, checksums: list[NDArray[np.uint32]], kernels: Kernels, form: Balanced | None = None
    ) -> None:
        """ffn.safetensors with the `checksums` of its tiles, or the pack's second `form`, which brings its own."""
        self._kernels = kernels
        self._name = FFN if form is None else form.file
        if form is not None:
            checksums = [np.array(crcs, np.uint32) for crcs in form.tile_crc32]
        self.checksums = checksums
        self.checked = [np.zeros(crcs.size, bool) for crcs in checksums]
        self.layers: tuple[LayerLayout, ...] = manifest.layers if form is None else form.layers
        self._pack_name = pack.name
        try:
            entries = tensors.read_header(pack / self._name)
            self._offsets = [entries[f"layer.{number}.ffn"].offset for number in range(len(manifest.layers))]
            self.file: WeightFile = kernels.open_direct(pack / self._name)
        except (OSError, KeyError, UnusableSource) as error:
            raise CorruptPack(f"{self._name} of the pack {pack.name} cannot be read ({error}); pack the model again") from error
        self.counts = ReadCounts()

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()

    def read_run(self, run: Run, into: Bytes) -> None:
        """The tiles of `run` to the beginning of `into`.

        Raises CorruptPack when a tile read for the first time does not match its checksum, or the file ends early.
        """
        stride = self.layers[run.layer].stride
        size = run.tiles * stride
        starts = np.arange(0, size, READ_BYTES, dtype=np.int64)
        offsets = starts + self._offsets[run.layer] + run.first * stride
        self.read(offsets, np.minimum(READ_BYTES, size - starts), into, starts)
        self._check(run, into[:size].reshape(run.tiles, stride))

    def offset(self, layer: int) -> int:
        """Where the layer's tiles begin in the file."""
        return self._offsets[layer]

    def read(self, offsets: Integers, sizes: Integers, into: Bytes, places: Integers) -> None:
        """Scattered pieces, unchecked; see `Kernels.read_batch`."""
        try:
            self._kernels.read_batch(self.file, offsets, sizes, into, places)
        except EOFError as error:
            raise self.cut_short() from error
        except OSError as error:
            raise self.unreadable(error) from error
        self.counts.bytes += int(sizes.sum())
        self.counts.reads += len(sizes)

    def altered(self, layer: int, tile: int) -> CorruptPack:
        """The error for a tile that does not match its checksum."""
        return CorruptPack(f"tile {tile} of layer {layer} of the pack {self._pack_name} was altered; pack the model again")

    def cut_short(self) -> CorruptPack:
        """The error for a file that ends too early."""
        return CorruptPack(f"{self._name} of the pack {self._pack_name} is cut short; pack the model again")

    def unreadable(self, error: OSError) -> EngineError:
        """The error for a disk that fails."""
        return EngineError(f"the disk could not read {self._name} of the pack {self._pack_name}: {error}; check the disk")

    def _check(self, run: Run, tiles: Bytes) -> None:
        checked = self.checked[run.layer][run.first : run.first + run.tiles]  # a view
        for place in np.flatnonzero(~checked):
            if zlib.crc32(tiles[place].data) != self.checksums[run.layer][run.first + place]:
                raise self.altered(run.layer, run.first + int(place))
            checked[place] = True


def cold_runs(layers: tuple[LayerLayout, ...], pinned: tuple[int, ...], most_bytes: int) -> list[Run]:
    """The tiles of every layer behind its pinned ones, in runs of at most `most_bytes` (one tile at the least)."""
    runs = []
    for number, layer in enumerate(layers):
        step = max(most_bytes // layer.stride, 1)
        if layer.tile_neurons > 1:
            step = min(step, MOST_TILES_OF_A_RUN)
        runs += [Run(number, first, min(step, layer.tiles - first)) for first in range(pinned[number], layer.tiles, step)]
    return runs


class BundleStream:
    """Brings the runs round and round, in order, through a ring of buffers that a thread of its own fills ahead.

    The reader goes on past the last layer to the first, so that the next token finds its first runs in memory.
    """

    def __init__(self, file: BundleFile, runs: list[Run], depth: int) -> None:
        self._file = file
        self._runs = runs
        size = max(run.tiles * file.layers[run.layer].stride for run in runs)
        self._free: queue.Queue[Bytes | None] = queue.Queue()
        for _ in range(depth):
            self._free.put(aligned_buffer(size))
        self._ready: queue.Queue[tuple[Run, Bytes] | BaseException] = queue.Queue()
        self._failure: BaseException | None = None
        self._next = 0
        self._thread = threading.Thread(target=self._fill, name="bundle-reader", daemon=True)
        self._thread.start()

    def layer(self, number: int) -> Iterator[tuple[Run, Bytes]]:
        """The runs of a layer with their tiles, uint8 [tiles, stride]; a buffer is good until the next is asked for.

        Layers must be asked for in order, each to its end.
        """
        while self._runs[self._next].layer == number:
            run, buffer = self._take()
            stride = self._file.layers[number].stride
            yield run, buffer[: run.tiles * stride].reshape(run.tiles, stride)
            self._free.put(buffer)
            self._next = (self._next + 1) % len(self._runs)
            if self._next == 0:
                return

    def close(self) -> None:
        """Stop reading ahead."""
        self._free.put(None)
        self._thread.join()

    def _take(self) -> tuple[Run, Bytes]:
        if self._failure is not None:
            raise self._failure
        began = time.perf_counter()
        item = self._ready.get()
        self._file.counts.stall_s += time.perf_counter() - began
        if isinstance(item, BaseException):
            self._failure = item
            raise item
        assert item[0] == self._runs[self._next]
        return item

    def _fill(self) -> None:
        try:
            while True:
                for run in self._runs:
                    buffer = self._free.get()
                    if buffer is None:
                        return
                    self._file.read_run(run, buffer)
                    self._ready.put((run, buffer))
        except BaseException as error:  # whatever happened belongs to the thread that waits for the tiles
            self._ready.put(error)
