"""The window of a ReLU layer (section 3 of LLM in a flash): the neurons that were wanted lately, in one contiguous block."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.flash import BundleFile, Run
from engine.formats import Bytes, Floats
from engine.kernels import Integers, Kernels, aligned_buffer
from engine.manifest import LayerLayout

OLDEST = 63
"""Neurons that were not wanted for this many passes count as equally old."""
MOST_READ_BYTES = 1 << 18


@dataclass(frozen=True)
class WindowShape:
    """`slots` neurons have room, of which the first `pinned` of the layer stay for good; the rest is the window.

    Neighbours are read at once, over the unwanted ones between them where those are at most `gap`. With `bundles` a slot holds a whole
    bundle (balanced), otherwise its column of down (exact, where every up row is in memory). For the ladder of the benchmark `reads` can
    also be "bundles", each neuron by itself, or "halves", up and down apart as if they were not bundled.
    """

    slots: int
    pinned: int = 0
    gap: int = 0
    bundles: bool = True
    reads: Literal["runs", "bundles", "halves"] = "runs"

    def __post_init__(self) -> None:
        if not 0 <= self.pinned <= self.slots or self.slots < 1 or self.gap < 0:
            raise ValueError(f"{self.pinned} pinned neurons of {self.slots} slots with gaps of {self.gap} make no window")
        if not self.bundles and (self.pinned or self.reads == "halves"):
            raise ValueError("only whole bundles are pinned or read in halves")


class Window(Protocol):
    """What a feed-forward asks of a layer's window, native or not. Wanted neurons are ascending and without repeats."""

    neurons: NDArray[np.int64]
    """Slot -> neuron, -1 for nobody: what a failed read left."""
    rows: Bytes
    """[slots, slot bytes]"""

    @property
    def used(self) -> int:
        """Slots 0 .. used are filled."""
        ...

    def fetch(self, wanted: Integers, now: int) -> bool:
        """Begin to read those that are not held, forgetting the ones longest unwanted; False, with nothing done, if they do not fit.

        `now` is the number of the pass, from 1 on. Until `wait` returns neither `apply` nor `sum` may be called.
        """
        ...

    def wait(self) -> None:
        """Until they are there. Raises CorruptPack or EngineError, and then holds none of the new ones."""
        ...

    def apply(self, wanted: Integers, x: Floats, out: Floats) -> None:
        """Add to out [hidden] what the wanted neurons, all held, make of x [hidden]."""
        ...

    def sum(self, wanted: Integers, active: Floats, out: Floats) -> None:
        """As `apply` where it is known what each neuron gives: active [wanted]."""
        ...

    def clear(self) -> None:
        """Forget all but the pinned ones."""
        ...

    def close(self) -> None:
        """Nothing may be under way any more when the file is closed."""
        ...


def slot_bytes(layout: LayerLayout, bundles: bool) -> int:
    """Bytes of a neuron in a window."""
    return layout.stride if bundles else layout.stride - layout.part("down").offset


class WindowMemory:
    """The arrays of a window, which the numpy and the native one share."""

    def __init__(self, file: BundleFile, layer: int, shape: WindowShape) -> None:
        layout = file.layers[layer]
        width = slot_bytes(layout, shape.bundles)
        self.rows: Bytes = aligned_buffer(shape.slots * width).reshape(shape.slots, width)
        self.neurons: NDArray[np.int64] = np.full(shape.slots, -1, np.int64)  # slot -> neuron
        self.slot: NDArray[np.int64] = np.full(layout.neurons, -1, np.int64)  # neuron -> slot, -1: not here
        self.last: NDArray[np.int64] = np.zeros(layout.neurons, np.int64)  # neuron -> the last pass that wanted it
        if shape.pinned:
            file.read_run(Run(layer, 0, shape.pinned), self.rows.reshape(-1))
            self.neurons[: shape.pinned] = self.slot[: shape.pinned] = np.arange(shape.pinned)

    def place_of_down(self, layout: LayerLayout, bundles: bool) -> int:
        """Where the down column begins in a slot."""
        return layout.part("down").offset if bundles else 0


class NeuronWindow:
    """A `Window` in numpy: the reference in tests, and what serves without the native library. Reads are done when `fetch` returns."""

    def __init__(self, file: BundleFile, layer: int, shape: WindowShape, up_bias: Floats | None, kernels: Kernels) -> None:
        self._file = file
        self._layer = layer
        self._layout = file.layers[layer]
        self._shape = shape
        self._bias = up_bias
        self._kernels = kernels
        self._memory = WindowMemory(file, layer, shape)
        self.rows, self.neurons = self._memory.rows, self._memory.neurons
        self.used = shape.pinned
        self._fresh = self._places = np.zeros(0, np.int64)
        self._transfer = aligned_buffer(max(MOST_READ_BYTES, self._layout.stride))

    def fetch(self, wanted: Integers, now: int) -> bool:
        """See `Window`."""
        memory, shape = self._memory, self._shape
        held = memory.slot[wanted]
        missing = wanted[held < 0]
        if len(missing) + int((held >= shape.pinned).sum()) > shape.slots - shape.pinned:
            return False
        memory.last[wanted] = now
        holes = self._forget(self.used + len(missing) - shape.slots, now)
        more = len(missing) - len(holes)
        self._places = np.concatenate([holes, np.arange(self.used, self.used + more)])
        self._fresh, self.used = missing, self.used + more
        memory.neurons[self._places], memory.slot[missing] = missing, self._places
        try:
            self._read()
        except Exception:
            self._drop_fresh()
            raise
        return True

    def wait(self) -> None:
        """See `Window`; checksums are compared here."""
        known = self._file.checked[self._layer]
        for neuron, place in zip(self._fresh.tolist(), self._places.tolist(), strict=True):
            if not self._shape.bundles or known[neuron]:
                continue
            if zlib.crc32(np.ascontiguousarray(self.rows[place]).data) != self._file.checksums[self._layer][neuron]:
                self._drop_fresh()
                raise self._file.altered(self._layer, neuron)
            known[neuron] = True
        self._fresh = self._fresh[:0]
        self._places = self._places[:0]

    def apply(self, wanted: Integers, x: Floats, out: Floats) -> None:
        """See `Window`."""
        part, places = self._layout.part("up"), self._memory.slot[wanted]
        places = np.resize(places, max(len(places), 2))  # numpy adds up a product with a single row in another order
        rows = self.rows[places, part.offset : part.offset + part.size]
        active = self._kernels.matmul(part.format, rows, x[None])[:, : len(wanted)]
        if self._bias is not None:
            active += self._bias[wanted]
        self.sum(wanted, self._kernels.activate(self._layout.activation, active, None)[0], out)

    def sum(self, wanted: Integers, active: Floats, out: Floats) -> None:
        """See `Window`."""
        part, places = self._layout.part("down"), self._memory.slot[wanted]
        first = self._memory.place_of_down(self._layout, self._shape.bundles)
        columns = self.rows[places, first : first + part.size]
        self._kernels.weighted_sum(part.format, columns, active[None], onto=out[None])

    def clear(self) -> None:
        """See `Window`."""
        dropped = self.neurons[self._shape.pinned : self.used]
        self._memory.slot[dropped[dropped >= 0]] = -1
        self.used = self._shape.pinned

    def close(self) -> None:
        """See `Window`."""

    def _forget(self, count: int, now: int) -> Integers:
        """The places, ascending, of the `count` neurons longest unwanted, which are forgotten."""
        if count <= 0:
            return np.zeros(0, np.int64)
        memory, pinned = self._memory, self._shape.pinned
        held = memory.neurons[pinned : self.used]
        ages = np.where(held < 0, OLDEST, np.minimum(now - memory.last[held], OLDEST))
        places: Integers = np.sort(np.argsort(-ages, kind="stable")[:count]) + pinned
        gone = memory.neurons[places]
        memory.slot[gone[gone >= 0]] = -1
        return places

    def _read(self) -> None:
        """Bring the fresh neurons to their places."""
        layout, done = self._layout, 0
        base = self._file.offset(self._layer) + (0 if self._shape.bundles else layout.part("down").offset)
        together = self._shape.reads == "runs"
        for run in _runs(self._fresh, self._shape.gap if together else 0, MOST_READ_BYTES // layout.stride if together else 1):
            self._read_run(base, run, self._places[done : done + len(run)])
            done += len(run)

    def _read_run(self, base: int, run: Integers, places: Integers) -> None:
        width, stride = self.rows.shape[1], self._layout.stride
        offset = base + int(run[0]) * stride
        if self._shape.reads == "halves":
            pieces = np.array([0, self._layout.part("down").offset])
            sizes = np.diff(np.append(pieces, stride))
            self._file.read(offset + pieces, sizes, self.rows.reshape(-1), places[0] * width + pieces)
            return
        span = np.array([int(run[-1] - run[0]) * stride + width])
        self._file.read(np.array([offset]), span, self._transfer, np.zeros(1, np.int64))
        rows = np.lib.stride_tricks.as_strided(self._transfer, (int(run[-1] - run[0]) + 1, width), (stride, 1))
        self.rows[places] = rows[run - run[0]]

    def _drop_fresh(self) -> None:
        self._memory.neurons[self._places] = -1
        self._memory.slot[self._fresh] = -1
        self._fresh, self._places = self._fresh[:0], self._places[:0]


def _runs(neurons: Integers, gap: int, longest: int) -> list[Integers]:
    """Neighbours with at most `gap` others between them together, as far as `longest` rows reach."""
    runs, first = [], 0
    for last in range(len(neurons)):
        behind = (
            last + 1 == len(neurons) or neurons[last + 1] - neurons[last] > gap + 1 or neurons[last + 1] - neurons[first] >= max(longest, 1)
        )
        if behind:
            runs.append(neurons[first : last + 1])
            first = last + 1
    return runs


def make_window(file: BundleFile, layer: int, shape: WindowShape, up_bias: Floats | None, kernels: Kernels) -> Window:
    """The native window where the library runs, otherwise numpy's."""
    from engine.native.library import Native
    from engine.native.window import NativeWindow

    if isinstance(kernels, Native):
        return NativeWindow(file, layer, shape, up_bias, kernels)
    return NeuronWindow(file, layer, shape, up_bias, kernels)
