"""Which block format each tensor of a pack takes, and how the bundles of a layer are laid out."""

from __future__ import annotations

from typing import Literal

from engine.architecture import Config
from engine.formats import find
from engine.manifest import LayerLayout, Part
from engine.source import Described

SECTOR = 512
"""What direct I/O reads at the least; every tile, and each half of a ReLU model's bundle, begins at a multiple."""
TILE_NEURONS = 256
"""Neurons of a tile where all are read: a whole block of every format, so that down keeps the source's grid."""
FLOATS = ("f32", "f16", "bf16")
PROJECTION_FORMATS = {"q4": "q4_1", "q8": "q8_0", "f16": "f16"}
EMBEDDING_FORMATS = {"q4": "q8_0", "q8": "q8_0", "f16": "f16"}


def resident_format(source: Described, tensor: str, wanted: str) -> str:
    """Norms, biases and positions are float32; matrices keep the source's grid, or take `wanted` where the source holds floats."""
    if len(source.shapes[tensor]) == 1 or not tensor.endswith(".weight"):
        return "f32"
    if tensor == "positions.weight":
        return "f32"
    table = EMBEDDING_FORMATS if tensor in ("embedding.weight", "head.weight") else PROJECTION_FORMATS
    return _chosen(source.format(tensor), wanted, table, source.shapes[tensor][-1])


def layer_layout(source: Described, number: int, wanted: str) -> LayerLayout:
    """The tiles of a layer: single neurons where they fall silent one by one, 256 neurons elsewhere; see `LayerLayout`."""
    config = source.config

    def chosen(name: str, columns: int) -> str:
        return _chosen(source.format(f"layer.{number}.{name}.weight"), wanted, PROJECTION_FORMATS, columns)

    if not config.neuron_wise:
        tile = min(TILE_NEURONS, -(-config.ffn // 32) * 32)
        rows = {name: (chosen(name, config.hidden), tile, config.hidden) for name in (("up", "gate") if config.gated else ("up",))}
        pieces = {**rows, "down": (chosen("down", config.ffn), config.hidden, tile)}
        return _laid_out(config, tile, pieces, "output", alignment=1)
    stored = source.format(f"layer.{number}.down.weight")
    down = chosen("down", config.hidden) if stored in FLOATS else _that_fits("q8_0", config.hidden)
    pieces = {"up": (chosen("up", config.hidden), 1, config.hidden), "down": (down, 1, config.hidden)}
    return _laid_out(config, 1, pieces, "neuron", alignment=SECTOR)


def _laid_out(
    config: Config, tile: int, pieces: dict[str, tuple[str, int, int]], axis: Literal["neuron", "output"], alignment: int
) -> LayerLayout:
    """`pieces`: name -> (format, rows, columns)."""
    parts, offset = [], 0
    for name, (kind, rows, columns) in pieces.items():
        part = Part(name, kind, offset, rows, columns)
        parts.append(part)
        offset += -(-part.size // alignment) * alignment
    stride = -(-offset // SECTOR) * SECTOR
    group = find(pieces["down"][0]).group_columns
    return LayerLayout(config.ffn, tile, stride, tuple(parts), axis, group, activation=config.activation)


def _chosen(stored: str, wanted: str, table: dict[str, str], columns: int) -> str:
    """The source's own format where it is quantised or `wanted` is "source"; 16-bit floats stay as they are under "f16"."""
    if stored not in FLOATS or wanted == "source" or (wanted == "f16" and stored == "bf16"):
        return stored
    return _that_fits(table[wanted], columns)


def _that_fits(kind: str, columns: int) -> str:
    return kind if columns % find(kind).block_columns == 0 else "f16"
