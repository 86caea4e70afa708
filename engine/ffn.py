"""The feed-forward layers over bundles: all in memory, or a pinned part in memory and the rest streamed for every pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engine.flash import BundleFile, BundleStream, Run, cold_runs
from engine.formats import Bytes, Floats
from engine.kernels import Kernels, aligned_buffer
from engine.manifest import LayerLayout, Part
from engine.native.library import Native
from engine.native.stream import NativeStream
from engine.reads import ReadCounts
from engine.weights import ResidentWeights


class FeedForward(Protocol):
    """What the decoder asks of the FFN, wherever its neurons are."""

    def __call__(self, layer: int, x: Floats) -> Floats:
        """x [n, hidden] -> [n, hidden], the down bias not yet added. Layers come in order, from the first to the last."""
        ...

    def take_counts(self) -> ReadCounts:
        """What was read since the last call."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Neurons:
    """Some neurons of a layer in memory: rows of up and gate, and of down a row for each or, with `axis` "output", their columns."""

    layout: LayerLayout
    up: Bytes
    gate: Bytes | None
    down: Bytes
    up_bias: Floats | None

    def activate(self, kernels: Kernels, x: Floats) -> Floats:
        """x [n, hidden] -> what each neuron gives, [n, neurons]."""
        up = kernels.matmul(self.layout.part("up").format, self.up, x)
        if self.up_bias is not None:
            up += self.up_bias
        gate = None if self.gate is None else kernels.matmul(self.layout.part("gate").format, self.gate, x)
        return kernels.activate(self.layout.activation, up, gate)


class DownSum:
    """The down projection over neurons that come part by part, in order: the same bits however they are parted."""

    def __init__(self, layout: LayerLayout, kernels: Kernels, x: Floats) -> None:
        self._kernels = kernels
        self._x = x  # [n, hidden]
        self._format = layout.part("down").format
        self._product = kernels.begin_product(self._format, x.shape[1], x.shape[0]) if layout.axis == "output" else None
        self._sums = np.zeros(x.shape, np.float32)

    def add(self, neurons: Neurons) -> None:
        """The next neurons of the layer."""
        active = neurons.activate(self._kernels, self._x)
        if self._product is None:
            self._kernels.weighted_sum(self._format, neurons.down, active, onto=self._sums)
        else:
            self._product.add(neurons.down, active)

    def finish(self) -> Floats:
        """[n, hidden]"""
        return self._sums if self._product is None else self._product.finish()


def neurons_of_run(layout: LayerLayout, run: Run, tiles: Bytes, up_bias: Floats | None) -> list[Neurons]:
    """The neurons of `tiles` [tiles, stride] without a copy: one group where a tile is a neuron, a group for each tile otherwise."""
    if layout.tile_neurons == 1:
        bias = None if up_bias is None else up_bias[run.first : run.first + run.tiles]
        return [Neurons(layout, _rows(tiles, layout.part("up")), None, _rows(tiles, layout.part("down")), bias)]
    return [_tile(layout, tile, biases_of_tiles(layout, run.first + number, 1, up_bias)) for number, tile in enumerate(tiles)]


def biases_of_tiles(layout: LayerLayout, first: int, tiles: int, up_bias: Floats | None) -> Floats | None:
    """The biases of some tiles' neurons, 0 for those that fill the last tile up."""
    if up_bias is None:
        return None
    start, count = first * layout.tile_neurons, tiles * layout.tile_neurons
    found = np.zeros(count, np.float32)
    there = up_bias[start : start + count]
    found[: there.size] = there
    return found


def _rows(tiles: Bytes, part: Part) -> Bytes:
    return tiles[:, part.offset : part.offset + part.size]


def _pieces(layout: LayerLayout, tile: Bytes) -> dict[str, Bytes]:
    return {part.name: tile[part.offset : part.offset + part.size].reshape(part.rows, -1) for part in layout.parts}


def _tile(layout: LayerLayout, tile: Bytes, up_bias: Floats | None) -> Neurons:
    pieces = _pieces(layout, tile)
    return Neurons(layout, pieces["up"], pieces.get("gate"), pieces["down"], up_bias)


def load_neurons(file: BundleFile, layer: int, tiles: int, up_bias: Floats | None) -> Neurons | None:
    """The first `tiles` tiles of a layer in memory of their own; None for no tiles."""
    layout = file.layers[layer]
    if tiles == 0:
        return None
    if layout.tile_neurons == 1:
        buffer = aligned_buffer(tiles * layout.stride)
        run = Run(layer, 0, tiles)
        file.read_run(run, buffer)
        return neurons_of_run(layout, run, buffer.reshape(tiles, -1), up_bias)[0]
    return _merged(file, layer, tiles, biases_of_tiles(layout, 0, tiles, up_bias))


def _merged(file: BundleFile, layer: int, tiles: int, up_bias: Floats | None) -> Neurons:
    """Tiles of many neurons as whole matrices, read one tile after the other."""
    layout = file.layers[layer]
    down = layout.part("down")
    rows = {part.name: aligned_buffer(tiles * part.size).reshape(tiles * part.rows, -1) for part in layout.parts if part.name != "down"}
    downs = aligned_buffer(tiles * down.size).reshape(down.rows, -1)
    buffer = aligned_buffer(layout.stride)
    for number in range(tiles):
        file.read_run(Run(layer, number, 1), buffer)
        tile = _pieces(layout, buffer)
        for name, held in rows.items():
            held[number * layout.tile_neurons : (number + 1) * layout.tile_neurons] = tile[name]
        downs[:, number * down.row_bytes : (number + 1) * down.row_bytes] = tile["down"]
    return Neurons(layout, rows["up"], rows.get("gate"), downs, up_bias)


class StreamedFeedForward:
    """The first `pinned[layer]` tiles of each layer stay in memory; the others are streamed for every pass over the layers.

    With every tile pinned nothing is ever read again. The native library streams `runs` by itself (`engine.native.stream`); called layer
    by layer, as where the numpy twin serves, a thread of Python reads them ahead.
    """

    def __init__(
        self, file: BundleFile, weights: ResidentWeights, kernels: Kernels, pinned: tuple[int, ...], run_bytes: int, depth: int
    ) -> None:
        self.file = file
        self._kernels = kernels
        self.up_biases = [weights.vector(f"layer.{number}.up.bias") for number in range(len(file.layers))]
        self.pinned = [load_neurons(file, number, tiles, self.up_biases[number]) for number, tiles in enumerate(pinned)]
        self.runs = cold_runs(file.layers, pinned, run_bytes)
        self.depth = depth
        self._stream: BundleStream | NativeStream | None = None
        file.counts = ReadCounts()

    def native_stream(self, kernels: Native) -> NativeStream | None:
        """The stream of this object's runs for calls of many layers; None where nothing is streamed. Instead of calls layer by layer."""
        if not self.runs:
            return None
        self._stream = NativeStream(kernels, self.file, self.runs, self.depth)
        return self._stream

    def __call__(self, layer: int, x: Floats) -> Floats:
        """See `FeedForward`."""
        total = DownSum(self.file.layers[layer], self._kernels, x)
        if (pinned := self.pinned[layer]) is not None:
            total.add(pinned)
        if self.runs:
            if self._stream is None:
                self._stream = BundleStream(self.file, self.runs, self.depth)
            assert isinstance(self._stream, BundleStream)
            for run, tiles in self._stream.layer(layer):
                for neurons in neurons_of_run(self.file.layers[layer], run, tiles, self.up_biases[layer]):
                    total.add(neurons)
        return total.finish()

    def set_reading(self, readers: int, piece_bytes: int) -> None:
        """See `NativeStream.set_reading`; without a native stream nothing changes."""
        if isinstance(self._stream, NativeStream):
            self._stream.set_reading(readers, piece_bytes)

    def take_counts(self) -> ReadCounts:
        """See `FeedForward`."""
        counts, self.file.counts = self.file.counts, ReadCounts()
        return counts

    def close(self) -> None:
        """Stop the reader and let go of the file."""
        if self._stream is not None:
            self._stream.close()
        self.file.close()
