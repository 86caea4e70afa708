"""The window of a ReLU layer (section 3 of LLM in a flash): the neurons that were wanted lately, in one contiguous block."""

from __future__ import annotations

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

    Neighbours are read at once, with the unwanted ones between them where those are at most `gap`. With `bundles` a slot holds a whole
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
    """Slot -> neuron, -1 for a row of nobody."""
    rows: Bytes
    """[slots, slot bytes]"""

    @property
    def used(self) -> int:
        """Slots 0 .. used are filled."""
        ...

    @property
    def moved(self) -> int:
        """Rows that were copied to keep the block contiguous, in all."""
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
        self.moved = 0
        self._first_new = self.used
        self._transfer = aligned_buffer(max(MOST_READ_BYTES, self._layout.stride))

    def fetch(self, wanted: Integers, now: int) -> bool:
        """See `Window`."""
        memory, shape = self._memory, self._shape
        held = memory.slot[wanted]
        room = shape.slots - shape.pinned - int((held >= shape.pinned).sum())
        missing = wanted[held < 0]
        loads = _with_gaps(missing, shape.gap)
        loads = loads if len(loads) <= room else missing
        if len(loads) > room:
            return False
        memory.last[wanted] = now
        self._forget(self.used + len(loads) - shape.slots, now)
        self._first_new, self.used = self.used, self.used + len(loads)
        places = np.arange(self._first_new, self.used)
        is_new = memory.slot[loads] < 0
        memory.neurons[places] = np.where(is_new, loads, -1)
        memory.slot[loads[is_new]] = places[is_new]
        self._read(loads)
        return True

    def wait(self) -> None:
        """See `Window`; checksums are compared here."""
        if not self._shape.bundles:
            return
        for place in range(self._first_new, self.used):
            neuron = int(self.neurons[place])
            if neuron < 0 or self._file.checked[self._layer][neuron]:
                continue
            self._check(neuron, self.rows[place])
        self._first_new = self.used

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
        self._first_new = self._shape.pinned
        self._drop_new()

    def close(self) -> None:
        """See `Window`."""

    def _forget(self, count: int, now: int) -> None:
        """Move the last rows into the holes that the `count` neurons longest unwanted leave."""
        if count <= 0:
            return
        memory, pinned = self._memory, self._shape.pinned
        held = memory.neurons[pinned : self.used]
        ages = np.where(held < 0, OLDEST, np.minimum(now - memory.last[held], OLDEST))
        victims = np.sort(np.argsort(-ages, kind="stable")[:count]) + pinned
        gone = memory.neurons[victims]
        memory.slot[gone[gone >= 0]] = -1
        kept = self.used - count
        holes = victims[victims < kept]
        movers = np.setdiff1d(np.arange(kept, self.used), victims)  # rows of the cut-off end that stay, as many as holes
        self.rows[holes] = self.rows[movers]
        moved = memory.neurons[holes] = memory.neurons[movers]
        memory.slot[moved[moved >= 0]] = holes[moved >= 0]
        self.moved += len(holes)
        self.used = kept

    def _read(self, loads: Integers) -> None:
        """Bring the neurons to the slots from `_first_new` on."""
        layout, place = self._layout, self._first_new
        base = self._file.offset(self._layer) + (0 if self._shape.bundles else layout.part("down").offset)
        try:
            longest = MOST_READ_BYTES // layout.stride if self._shape.reads == "runs" else 1
            for run in _runs(loads, longest):
                self._read_run(base + int(run[0]) * layout.stride, place, len(run))
                place += len(run)
        except Exception:
            self._drop_new()
            raise

    def _read_run(self, offset: int, place: int, count: int) -> None:
        width, stride = self.rows.shape[1], self._layout.stride
        span = (count - 1) * stride + width
        if self._shape.reads == "halves":
            half = self._layout.part("down").offset
            pieces = np.array([0, half]) + np.arange(count)[:, None] * stride
            sizes = np.tile([half, stride - half], count)
            self._file.read(offset + pieces.reshape(-1), sizes, self.rows.reshape(-1), place * width + pieces.reshape(-1))
            return
        one = np.array([span])
        self._file.read(np.array([offset]), one, self._transfer, np.zeros(1, np.int64))
        pieces = np.lib.stride_tricks.as_strided(self._transfer, (count, width), (stride, 1))
        self.rows[place : place + count] = pieces

    def _check(self, neuron: int, row: Bytes) -> None:
        import zlib

        if zlib.crc32(np.ascontiguousarray(row).data) != self._file.checksums[self._layer][neuron]:
            self._drop_new()
            raise self._file.altered(self._layer, neuron)
        self._file.checked[self._layer][neuron] = True

    def _drop_new(self) -> None:
        dropped = self.neurons[self._first_new : self.used]
        self._memory.slot[dropped[dropped >= 0]] = -1
        self.used = self._first_new


def _with_gaps(missing: Integers, gap: int) -> Integers:
    """The neurons with those between them where at most `gap` lie there."""
    if gap == 0 or len(missing) < 2:
        return missing
    steps = np.diff(missing)
    lengths = np.concatenate([[1], np.where(steps <= gap + 1, steps, 1)])
    ends = np.cumsum(lengths)
    found: Integers = np.arange(ends[-1]) + np.repeat(missing + 1 - ends, lengths)
    return found


def _runs(neurons: Integers, longest: int) -> list[Integers]:
    """Neighbours together, at most `longest` of them."""
    if len(neurons) == 0:
        return []
    groups = np.split(neurons, np.flatnonzero(np.diff(neurons) != 1) + 1)
    step = max(longest, 1)
    return [group[first : first + step] for group in groups for first in range(0, len(group), step)]


def make_window(file: BundleFile, layer: int, shape: WindowShape, up_bias: Floats | None, kernels: Kernels) -> Window:
    """The native window where the library runs, otherwise numpy's."""
    from engine.native.library import Native
    from engine.native.window import NativeWindow

    if isinstance(kernels, Native):
        return NativeWindow(file, layer, shape, up_bias, kernels)
    return NeuronWindow(file, layer, shape, up_bias, kernels)
