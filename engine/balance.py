"""Making the balanced form of a pack whose tiles are streamed: its feed-forward in three or four bits, rounded with a text in view.

The text goes through the model twice side by side, layer by layer: as packed, and with the layers before already rounded. Each tile is
rounded against the inputs that it will really get, and what that costs is measured on a part of the text that was not used for rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from engine.decoder import Decoder
from engine.errors import Stopped
from engine.ffn import biases_of_tiles
from engine.flash import BundleFile, Run
from engine.formats import Bytes, Floats, dequantize
from engine.kernels import Kernels, aligned_buffer
from engine.kv import KVCache
from engine.layout import SECTOR
from engine.lowbit import BLOCK_COLUMNS, FORMAT_OF_BITS
from engine.manifest import LayerLayout, Part
from engine.rounding import factor, moments, round_rows

ShouldStop = Callable[[], bool]
Bits = dict[str, int]
"""Part name -> bits; parts that are not named keep their format."""
_SCORED_ROWS = 64
_TOKENS_AT_ONCE = 512


@dataclass(frozen=True)
class Texts:
    """Token windows of equal length [windows, tokens]; the last `measured` of them are kept from the rounding."""

    windows: list[list[int]]
    measured: int

    @property
    def rounding(self) -> int:
        """Windows that the rounding sees."""
        return len(self.windows) - self.measured


@dataclass
class Costs:
    """Energy that rounding took from the products, as a share of the hidden state's: (layer, "inner" or "down") -> share."""

    shares: dict[tuple[int, str], float] = field(default_factory=dict)


def rounded_layout(layout: LayerLayout, bits: Bits) -> LayerLayout:
    """The tile of a layer when some of its parts are rounded to `bits`."""
    parts, offset = [], 0
    for part in layout.parts:
        kind = FORMAT_OF_BITS[bits[part.name]] if part.name in bits else part.format
        parts.append(Part(part.name, kind, offset, part.rows, part.columns))
        offset += parts[-1].size
    stride = -(-offset // SECTOR) * SECTOR
    return LayerLayout(**{**vars(layout), "parts": tuple(parts), "stride": stride, "group": 32})


def can_be_rounded(layout: LayerLayout) -> bool:
    """Whether the rows of every part are whole blocks."""
    return layout.axis == "output" and all(part.columns % BLOCK_COLUMNS == 0 for part in layout.parts)


class Walk:
    """The two states of a text on its way through the layers: `exact` and `rounded` [tokens, hidden]."""

    def __init__(self, decoder: Decoder, kernels: Kernels, file: BundleFile, texts: Texts, should_stop: ShouldStop) -> None:
        self._decoder = decoder
        self._kernels = kernels
        self._file = file
        self._texts = texts
        self._should_stop = should_stop
        self._cache = KVCache(decoder.config, len(texts.windows[0]))
        self.exact = self._embedded()
        self.rounded = self.exact.copy()
        self.costs = Costs()

    def _embedded(self) -> Floats:
        return np.concatenate([self._decoder.embed(window) for window in self._texts.windows])

    def again(self) -> None:
        """Back to the first layer for the rounded state; the exact one stays where it is, at the end."""
        self.rounded = self._embedded()
        self.costs = Costs()

    def _spans(self) -> Iterator[slice]:
        length = len(self._texts.windows[0])
        return (slice(start, start + length) for start in range(0, len(self.rounded), length))

    def _attend(self, layer: int, state: Floats) -> Floats:
        """Adds the attention to `state` in place; returns the feed-forward's inputs [tokens, hidden]."""
        inputs = np.empty_like(state)
        for span in self._spans():
            state[span], inputs[span] = self._decoder.attend(layer, state[span], self._cache)
            self._look()
        return inputs

    def _look(self) -> None:
        if self._should_stop():
            raise Stopped("calibration was stopped; the pack is as it was")

    def layer(self, number: int, bits: Bits, bias: Floats | None, with_exact: bool) -> Bytes:
        """Take both states through a layer, rounding its tiles on the way -> uint8 [tiles, stride of the rounded layout]."""
        layout, target = self._file.layers[number], rounded_layout(self._file.layers[number], bits)
        exact_inputs = self._attend(number, self.exact) if with_exact else None
        inputs = self._attend(number, self.rounded)
        seen = self._texts.rounding * len(self._texts.windows[0])
        # the layers behind see the hidden state normed, so an error counts as a share of it: the first tokens' is a thousand times larger
        weights = 1 / np.maximum(np.square(self.rounded[:seen]).mean(axis=1), np.float32(1e-20))
        rounding = _TileRounding(self._kernels, layout, target, bits, inputs, weights)
        exact_down, rounded_down = np.zeros_like(self.exact), np.zeros_like(self.rounded)
        tiles = np.zeros((layout.tiles, target.stride), np.uint8)
        buffer = aligned_buffer(layout.stride)
        for tile in range(layout.tiles):
            self._file.read_run(Run(number, tile, 1), buffer)
            up_bias = biases_of_tiles(layout, tile, 1, bias)
            rounding.tile(buffer, tiles[tile], up_bias, rounded_down)
            if exact_inputs is not None:
                active = _activated(self._kernels, layout, buffer, exact_inputs, up_bias)
                exact_down += _product(self._kernels, layout.part("down"), buffer, active)
            self._look()
        self.rounded += self._decoder.add_down_bias(number, rounded_down)
        if with_exact:
            self.exact += self._decoder.add_down_bias(number, exact_down)
        after = np.square(self.rounded[:seen]).sum(axis=1)
        self.costs.shares |= {(number, name): share for name, share in rounding.lost(rounded_down, after).items()}
        return tiles

    def losses(self, state: Floats) -> Floats:
        """Negative log likelihood of each token of the measured windows but their first ones."""
        length, found = len(self._texts.windows[0]), []
        for number in range(self._texts.rounding, len(self._texts.windows)):
            tokens = np.array(self._texts.windows[number])
            for first in range(0, length - 1, _SCORED_ROWS):
                rows = np.arange(first, min(first + _SCORED_ROWS, length - 1))
                logits = self._decoder.logits(self._decoder.normed(state[number * length + rows]))
                highest = logits.max(axis=1)
                total = np.log(np.exp(logits - highest[:, None]).sum(axis=1)) + highest
                found.append(total - logits[np.arange(len(rows)), tokens[rows + 1]])
                self._look()
        return np.concatenate(found)


class _TileRounding:
    """Rounds the tiles of one layer, one after the other."""

    def __init__(self, kernels: Kernels, layout: LayerLayout, target: LayerLayout, bits: Bits, inputs: Floats, weights: Floats) -> None:
        self._kernels, self._layout, self._target, self._bits = kernels, layout, target, bits
        self._inputs, self._weights, self._seen = inputs, weights, len(weights)
        inner = any(name in bits for name in ("up", "gate"))
        self._upper = factor(moments(inputs[: self._seen], weights)) if inner else None
        self._inner: dict[str, tuple[float, float]] = {}
        """Part -> energy lost and energy there, summed over tiles."""
        self._down = 0.0

    def tile(self, exact: Bytes, out: Bytes, up_bias: Floats | None, down: Floats) -> None:
        """Round the tile `exact` into `out` and add what it then gives to `down` [tokens, hidden]."""
        for part in self._target.parts:
            if part.name != "down":
                self._round(part, exact, out, self._upper)
        active = _activated(self._kernels, self._target, out, self._inputs, up_bias)  # [tokens, tile_neurons]
        part = self._target.part("down")
        upper = factor(moments(active[: self._seen], self._weights)) if part.name in self._bits else None
        self._round(part, exact, out, upper)
        down += _product(self._kernels, part, out, active)

    def _round(self, part: Part, exact: Bytes, out: Bytes, upper: Floats | None) -> None:
        source = self._layout.part(part.name)
        rows = exact[source.offset : source.offset + source.size]
        if upper is None or part.name not in self._bits:
            out[part.offset : part.offset + part.size] = rows
            return
        weights = dequantize(source.format, rows.reshape(source.rows, -1), source.columns)
        rounded, lost = round_rows(self._kernels, self._bits[part.name], weights, upper)
        out[part.offset : part.offset + part.size] = rounded.reshape(-1)
        if part.name == "down":
            self._down += lost
            return
        products = self._kernels.matmul(part.format, rounded, self._inputs[: self._seen : 8])
        there = float(self._weights[::8] @ np.square(products).sum(axis=1)) / float(self._weights[::8].sum())
        before = self._inner.get(part.name, (0.0, 0.0))
        self._inner[part.name] = (before[0] + lost, before[1] + there)

    def lost(self, down: Floats, after: Floats) -> dict[str, float]:
        """What rounding took from the hidden state, as a share of its energy: by way of up and gate ("inner"), and of down.

        down [tokens, hidden] is the layer's output, after [tokens] the energy of the hidden state behind the layer.
        """
        energy = np.square(down[: self._seen]).sum(axis=1)
        there = float(self._weights @ energy) / float(self._weights.sum())
        inner = sum(lost / max(each, 1e-30) for lost, each in self._inner.values())
        part = float(np.mean(energy / np.maximum(after, 1e-30)))
        return {"inner": inner * part, "down": self._down / max(there, 1e-30) * part}


def _activated(kernels: Kernels, layout: LayerLayout, tile: Bytes, inputs: Floats, up_bias: Floats | None) -> Floats:
    """What a tile's neurons give: inputs [tokens, hidden] -> [tokens, tile_neurons]."""
    up = _product(kernels, layout.part("up"), tile, inputs)
    if up_bias is not None:
        up += up_bias
    gate = _product(kernels, layout.part("gate"), tile, inputs) if layout.gated else None
    return kernels.activate(layout.activation, up, gate)


def _product(kernels: Kernels, part: Part, tile: Bytes, x: Floats) -> Floats:
    """x [tokens, columns] times a part's rows -> [tokens, rows]."""
    rows = tile[part.offset : part.offset + part.size].reshape(part.rows, -1)
    pieces = [kernels.matmul(part.format, rows, x[first : first + _TOKENS_AT_ONCE]) for first in range(0, len(x), _TOKENS_AT_ONCE)]
    return np.concatenate(pieces)
