"""The feed-forward of ReLU models, most of whose neurons are silent: only what fires is read (section 3 of LLM in a flash)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.flash import BundleFile, BundleStream, Run, cold_runs
from engine.formats import Bytes, Floats
from engine.kernels import Kernels, aligned_buffer
from engine.manifest import LayerLayout
from engine.reads import ReadCounts
from engine.weights import ResidentWeights
from engine.window import Window, WindowShape, make_window

FEW_TOKENS = 8
"""So many go through the windows one by one; more (a prompt) want nearly every neuron, and the whole layer is streamed."""
Mask = NDArray[np.bool_]


class Foresight(Protocol):
    """Says which neurons will fire before their weights are in memory: a trained predictor, or a recorded trace in a benchmark."""

    ahead: bool
    """Whether layer l is foreseen from what layer l - 1's feed-forward sees (layer 0 from its own), so that reads run meanwhile."""

    def __call__(self, layer: int, x: Floats) -> Mask:
        """x [n, hidden], the normed input of a feed-forward -> which neurons of `layer` are wanted for each token, [n, neurons]."""
        ...


@dataclass
class Spent:
    """Seconds of a feed-forward since they were last taken, by what they went to."""

    predicting_s: float = 0.0
    keeping_s: float = 0.0
    waiting_s: float = 0.0
    computing_s: float = 0.0


class Bundles:
    """What both ways of running a ReLU layer share: the file, the biases, and a pass over a layer that is streamed as a whole."""

    def __init__(self, file: BundleFile, weights: ResidentWeights, kernels: Kernels, transfer_bytes: int) -> None:
        self.file = file
        self.kernels = kernels
        self.up_biases = [weights.vector(f"layer.{number}.up.bias") for number in range(len(file.layers))]
        self.transfer = aligned_buffer(max(transfer_bytes, *(layer.stride for layer in file.layers)))

    def tiles(self, layer: int) -> Iterator[tuple[Run, Bytes]]:
        """The whole layer in pieces that fit the transfer buffer: [neurons of the run, stride], good until the next is asked for."""
        layout, stride = self.file.layers[layer], self.file.layers[layer].stride
        step = self.transfer.size // stride
        for run in (Run(layer, first, min(step, layout.tiles - first)) for first in range(0, layout.tiles, step)):
            began = time.perf_counter()
            self.file.read_run(run, self.transfer)
            self.file.counts.stall_s += time.perf_counter() - began
            yield run, self.transfer[: run.tiles * stride].reshape(run.tiles, stride)

    def add_down(self, layout: LayerLayout, tiles: Bytes, active: Floats, total: Floats) -> None:
        """total [n, hidden] += active [n, neurons] times the tiles' down columns, in their order."""
        part = layout.part("down")
        self.kernels.weighted_sum(part.format, tiles[:, part.offset : part.offset + part.size], np.ascontiguousarray(active), onto=total)

    def activate(self, layout: LayerLayout, rows: Bytes, x: Floats, bias: Floats | None) -> Floats:
        """What the neurons with these up rows give, [n, rows]."""
        up = self.kernels.matmul(layout.part("up").format, rows, x)
        return self.kernels.activate(layout.activation, up if bias is None else up + bias, None)


class WindowedFeedForward:
    """Every up row in memory, down columns read when their neuron fires: exact, since a silent neuron of a ReLU layer adds nothing."""

    def __init__(
        self, file: BundleFile, weights: ResidentWeights, kernels: Kernels, slots: int, transfer_bytes: int, gap_bytes: int = 0
    ) -> None:
        self._bundles = Bundles(file, weights, kernels, transfer_bytes)
        self._pass = 0
        self._ups = [self._load_up(number) for number in range(len(file.layers))]
        self.windows: list[Window] = [
            make_window(file, number, WindowShape(min(slots, layer.neurons), gap=gap_bytes // layer.stride, bundles=False), None, kernels)
            for number, layer in enumerate(file.layers)
        ]
        file.counts = ReadCounts()

    def __call__(self, layer: int, x: Floats) -> Floats:
        """See `FeedForward`."""
        self._pass += layer == 0
        layout, window = self._bundles.file.layers[layer], self.windows[layer]
        active = self._bundles.activate(layout, self._ups[layer], x, self._bundles.up_biases[layer])  # [n, neurons]
        firing = np.flatnonzero(active.any(axis=0))
        if not window.fetch(firing, self._pass):
            return self._whole_layer(layer, active)
        began = time.perf_counter()
        window.wait()
        self._bundles.file.counts.stall_s += time.perf_counter() - began
        total = np.zeros((len(x), layout.part("down").columns), np.float32)
        for token in range(len(x)):
            window.sum(firing, active[token, firing], total[token])
        return total

    def take_counts(self) -> ReadCounts:
        """See `FeedForward`."""
        counts, self._bundles.file.counts = self._bundles.file.counts, ReadCounts()
        return counts

    def close(self) -> None:
        """Let go of the file."""
        for window in self.windows:
            window.close()
        self._bundles.file.close()

    def _load_up(self, layer: int) -> Bytes:
        """The up rows of a layer, from whole bundles, whose checksums are checked on the way."""
        layout = self._bundles.file.layers[layer]
        part = layout.part("up")
        rows = np.empty((layout.neurons, part.size), np.uint8)
        for run, tiles in self._bundles.tiles(layer):
            rows[run.first : run.first + run.tiles] = tiles[:, part.offset : part.offset + part.size]
        return rows

    def _whole_layer(self, layer: int, active: Floats) -> Floats:
        """A prompt fires more than the window holds: every bundle in the order of the neurons, so that the sum has the same bits."""
        layout = self._bundles.file.layers[layer]
        total = np.zeros((len(active), layout.part("down").columns), np.float32)
        for run, tiles in self._bundles.tiles(layer):
            self._bundles.add_down(layout, tiles, active[:, run.first : run.first + run.tiles], total)
        return total


class PredictedFeedForward:
    """Only the neurons that a predictor names are read, whole bundles at a time, and computed; the windows keep those of the last passes.

    A token's result does not depend on what the windows hold, nor on whether it came alone or in a prompt.
    """

    def __init__(
        self,
        file: BundleFile,
        weights: ResidentWeights,
        kernels: Kernels,
        foresight: Foresight,
        shapes: Sequence[WindowShape],
        transfer_bytes: int,
        keep: bool = True,
    ) -> None:
        """Without `keep` every token reads all that it wants again, for the ladder of the benchmark."""
        self._bundles = Bundles(file, weights, kernels, transfer_bytes)
        self._foresight = foresight
        self._keep = keep
        self._pass = 0
        self._next: tuple[Mask, bool] | None = None
        """What is wanted of the coming layer, and whether it was fetched."""
        self.windows = [make_window(file, number, shape, self._bundles.up_biases[number], kernels) for number, shape in enumerate(shapes)]
        self._stream: BundleStream | None = None
        """The layers one after the other, read ahead, while a prompt goes through them."""
        self.spent = Spent()
        file.counts = ReadCounts()

    def __call__(self, layer: int, x: Floats) -> Floats:
        """See `FeedForward`."""
        if layer == 0:
            self._begin_pass(len(x))
        mask, fetched = self._next or self._foresee(layer, x)
        self._next = None
        ahead = self._foresight.ahead and layer + 1 < len(self.windows)
        try:
            if ahead:
                self._next = self._foresee(layer + 1, x)
            return self._compute(layer, x, mask) if fetched else self._whole_layer(layer, x, mask)
        except BaseException:
            self._end_stream()
            for window in self.windows[layer : layer + 2]:
                window.wait()  # nothing may be under way when the next token begins
            raise

    def _begin_pass(self, tokens: int) -> None:
        self._pass += 1
        self._next = None
        if tokens <= FEW_TOKENS:
            self._end_stream()
        elif self._stream is None:
            layers, half = self._bundles.file.layers, self._bundles.transfer.size // 2
            self._stream = BundleStream(self._bundles.file, cold_runs(layers, (0,) * len(layers), half), 2)

    def _end_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def take_counts(self) -> ReadCounts:
        """See `FeedForward`."""
        counts, self._bundles.file.counts = self._bundles.file.counts, ReadCounts()
        return counts

    def take_spent(self) -> Spent:
        """Seconds since the last call."""
        spent, self.spent = self.spent, Spent()
        return spent

    def close(self) -> None:
        """Let go of the file."""
        self._end_stream()
        for window in self.windows:
            window.close()
        self._bundles.file.close()

    def _foresee(self, layer: int, x: Floats) -> tuple[Mask, bool]:
        """What each token wants of the layer; reading it begins, unless the tokens are many or want more than there is room for."""
        began = time.perf_counter()
        mask = self._foresight(layer, x)  # [n, neurons]
        foreseen = time.perf_counter()
        self.spent.predicting_s += foreseen - began
        if not self._keep:
            self.windows[layer].clear()
        fetched = len(x) <= FEW_TOKENS and self.windows[layer].fetch(np.flatnonzero(mask.any(axis=0)), self._pass)
        self.spent.keeping_s += time.perf_counter() - foreseen
        return mask, fetched

    def _compute(self, layer: int, x: Floats, mask: Mask) -> Floats:
        began, window = time.perf_counter(), self.windows[layer]
        window.wait()
        waited = time.perf_counter()
        total = np.zeros(x.shape, np.float32)
        for token in range(len(x)):
            window.apply(np.flatnonzero(mask[token]), x[token], total[token])
        self.spent.waiting_s += waited - began
        self.spent.computing_s += time.perf_counter() - waited
        self._bundles.file.counts.stall_s += waited - began
        return total

    def _whole_layer(self, layer: int, x: Floats, mask: Mask) -> Floats:
        """Every bundle of the layer once for all tokens; what the predictor calls silent for a token adds nothing to it."""
        layout, bias = self._bundles.file.layers[layer], self._bundles.up_biases[layer]
        up, total = layout.part("up"), np.zeros(x.shape, np.float32)
        for run, tiles in self._bundles.tiles(layer) if self._stream is None else self._stream.layer(layer):
            here = slice(run.first, run.first + run.tiles)
            rows = tiles[:, up.offset : up.offset + up.size]
            active = self._bundles.activate(layout, rows, x, None if bias is None else bias[here])
            self._bundles.add_down(layout, tiles, active * mask[:, here], total)
        return total
