"""The window of a ReLU model (section 3 of LLM in a flash): down columns of the neurons that fired lately, in one contiguous block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.flash import BundleFile, ReadCounts, Run
from engine.formats import Bytes, Floats
from engine.kernels import Kernels, aligned_buffer
from engine.manifest import LayerLayout
from engine.weights import ResidentWeights


class NeuronWindow:
    """Room for the down columns of `slots` neurons of one layer. Slots 0 .. used are filled; loading appends, forgetting swaps."""

    def __init__(self, layout: LayerLayout, slots: int) -> None:
        self.slot_bytes = layout.stride - layout.part("down").offset
        self.slots = slots
        self.used = 0
        self.columns: Bytes = aligned_buffer(slots * self.slot_bytes).reshape(slots, self.slot_bytes)
        self.neurons: NDArray[np.int64] = np.full(slots, -1, np.int64)  # slot -> neuron
        self._slot: NDArray[np.int64] = np.full(layout.neurons, -1, np.int64)  # neuron -> slot, -1: not here
        self._last_active: NDArray[np.int64] = np.zeros(layout.neurons, np.int64)  # neuron -> number of the pass in which it last fired

    def missing(self, firing: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of the neurons `firing` that are not in the window."""
        return firing[self._slot[firing] < 0]

    def touch(self, firing: NDArray[np.int64], now: int) -> None:
        """Note that these neurons fired in pass `now`."""
        self._last_active[firing] = now

    def append(self, neurons: NDArray[np.int64]) -> Bytes:
        """Take the slots behind the used ones for `neurons`, forgetting the neurons longest silent for room; returns the slots to fill.

        More than `slots` neurons do not fit: ValueError. Neurons that were touched last are forgotten last.
        """
        if len(neurons) > self.slots:
            raise ValueError(f"{len(neurons)} neurons do not fit a window of {self.slots}")
        self._forget(self.used + len(neurons) - self.slots)
        first, self.used = self.used, self.used + len(neurons)
        self.neurons[first : self.used] = neurons
        self._slot[neurons] = np.arange(first, self.used)
        return self.columns[first : self.used]

    def _forget(self, count: int) -> None:
        """Move the last rows into the holes that the `count` longest silent neurons leave."""
        if count <= 0:
            return
        silent = np.argpartition(self._last_active[self.neurons[: self.used]], count - 1)[:count]
        self._slot[self.neurons[silent]] = -1
        kept = self.used - count
        holes = silent[silent < kept]
        movers = np.setdiff1d(np.arange(kept, self.used), silent)  # rows of the cut-off end that stay, as many as holes
        self.columns[holes] = self.columns[movers]
        self.neurons[holes] = self.neurons[movers]
        self._slot[self.neurons[holes]] = holes
        self.used = kept


class WindowedFeedForward:
    """Every up row in memory, down columns read when their neuron fires: exact, since a silent neuron of a ReLU layer adds nothing."""

    def __init__(self, file: BundleFile, weights: ResidentWeights, kernels: Kernels, slots: int, transfer_bytes: int) -> None:
        self._file = file
        self._kernels = kernels
        self._pass = 0
        self._up_biases = [weights.vector(f"layer.{number}.up.bias") for number in range(len(file.layers))]
        transfer = max(transfer_bytes, *(layer.stride for layer in file.layers))
        self._transfer = aligned_buffer(transfer)
        self._ups = [self._load_up(number) for number in range(len(file.layers))]
        self.windows = [NeuronWindow(layer, min(slots, layer.neurons)) for layer in file.layers]
        file.counts = ReadCounts()

    def __call__(self, layer: int, x: Floats) -> Floats:
        """See `FeedForward`."""
        self._pass += layer == 0
        layout, window, bias = self._file.layers[layer], self.windows[layer], self._up_biases[layer]
        active = self._kernels.matmul(layout.part("up").format, self._ups[layer], x)  # [n, neurons]
        if bias is not None:
            active += bias
        np.maximum(active, 0.0, out=active)
        firing = np.flatnonzero(active.any(axis=0))
        missing = window.missing(firing)
        window.touch(firing, self._pass)
        if len(firing) <= window.slots:
            if len(missing):
                self._read_columns(layer, missing, window.append(missing))
            neurons = window.neurons[: window.used]
            # in the order of the neurons, so that the sum has the bits of a layer that is all in memory
            return self._sum(layout, window.columns[: window.used], active[:, neurons], np.argsort(neurons))
        total = self._sum(layout, window.columns[: window.used], active[:, window.neurons[: window.used]])
        return total + self._pass_through(layer, missing, active)

    def take_counts(self) -> ReadCounts:
        """See `FeedForward`."""
        counts, self._file.counts = self._file.counts, ReadCounts()
        return counts

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _sum(self, layout: LayerLayout, columns: Bytes, active: Floats, order: NDArray[np.int64] | None = None) -> Floats:
        down = layout.part("down")
        return self._kernels.weighted_sum(down.format, columns[:, : down.size], np.ascontiguousarray(active), order)

    def _load_up(self, layer: int) -> Bytes:
        """The up rows of a layer, from whole bundles, whose checksums are checked on the way."""
        layout = self._file.layers[layer]
        part = layout.part("up")
        rows = np.empty((layout.neurons, part.size), np.uint8)
        step = self._transfer.size // layout.stride
        for first in range(0, layout.tiles, step):
            run = Run(layer, first, min(step, layout.tiles - first))
            self._file.read_run(run, self._transfer)
            tiles = self._transfer[: run.tiles * layout.stride].reshape(run.tiles, layout.stride)
            rows[first : first + run.tiles] = tiles[:, part.offset : part.offset + part.size]
        return rows

    def _read_columns(self, layer: int, neurons: NDArray[np.int64], slots: Bytes) -> None:
        """Read the down columns of `neurons` to consecutive slots."""
        layout, width = self._file.layers[layer], slots.shape[1]
        offsets = self._file.offset(layer) + neurons * layout.stride + layout.part("down").offset
        self._file.read(offsets, np.full(len(neurons), width, np.int64), slots.reshape(-1), np.arange(len(neurons), dtype=np.int64) * width)

    def _pass_through(self, layer: int, neurons: NDArray[np.int64], active: Floats) -> Floats:
        """What neurons add that do not fit the window (a prompt fires nearly all), read piece by piece and not kept."""
        layout, width = self._file.layers[layer], self.windows[layer].slot_bytes
        total = np.zeros((len(active), layout.part("down").columns), np.float32)
        step = self._transfer.size // width
        for first in range(0, len(neurons), step):
            piece = neurons[first : first + step]
            slots = self._transfer[: len(piece) * width].reshape(len(piece), width)
            self._read_columns(layer, piece, slots)
            total += self._sum(layout, slots, active[:, piece])
        return total
