"""What a pack holds of each tensor, made a few rows at a time: checked, in the wanted format, and of FFN layers as tiles."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.errors import UnusableSource
from engine.formats import Bytes, Floats, dequantize, find, quantize
from engine.manifest import LayerLayout, Part
from engine.source import Matrix, Source

PIECE_WEIGHTS = 1 << 17
"""Weights that are unpacked at a time: an embedding of a large vocabulary is many times a layer."""
_HALVES_OF_SCALES = {"q4_0": (0,), "q4_1": (0, 2), "q5_0": (0,), "q8_0": (0,), "q4_k": (0, 2), "q5_k": (0, 2), "q6_k": (208,)}


def pieces(source: Source, name: str, multiple: int = 1) -> Iterator[Matrix]:
    """A tensor's rows in order, `multiple` or a multiple of it at a time.

    Raises UnusableSource for NaN and infinity; quantised rows are judged by their scales.
    """
    shape = source.shapes[name]
    rows = shape[0] if len(shape) == 2 else 1
    step = max(PIECE_WEIGHTS // (shape[-1] * multiple), 1) * multiple
    for first in range(0, rows, step):
        piece = source.read(name, first, min(step, rows - first))
        if not _is_sound(piece):
            raise UnusableSource(f"the tensor {name!r} of {source.name} has weights that are NaN or infinite; fetch the checkpoint again")
        yield piece


def converted(matrix: Matrix, kind: str) -> Bytes:
    """The rows in another format; as they are when they have that format already."""
    if matrix.format == kind:
        return np.ascontiguousarray(matrix.data)
    return quantize(kind, dequantize(matrix.format, matrix.data, matrix.columns))


def bundle_layer(source: Source, number: int, layer: LayerLayout) -> Bytes:
    """The tiles of a layer, uint8 [tiles, stride]: rows of up and gate and columns of down side by side."""
    tiles = np.zeros((layer.tiles, layer.stride), np.uint8)
    for part in layer.parts:
        name = f"layer.{number}.{part.name}.weight"
        if part.name != "down":
            _put_rows(tiles, layer, part, source, name)
        elif layer.axis == "neuron":
            _put_turned(tiles, part, source, name)
        else:
            _put_columns(tiles, part, source, name)
    return tiles


def _is_sound(matrix: Matrix) -> bool:
    if matrix.format not in _HALVES_OF_SCALES:
        return bool(np.isfinite(dequantize(matrix.format, matrix.data, matrix.columns)).all())
    blocks = matrix.data.reshape(-1, find(matrix.format).block_bytes)
    scales = (np.ascontiguousarray(blocks[:, at : at + 2]).view("<f2") for at in _HALVES_OF_SCALES[matrix.format])
    return all(bool(np.isfinite(scale).all()) for scale in scales)


def _put_rows(tiles: Bytes, layer: LayerLayout, part: Part, source: Source, name: str) -> None:
    """Row by row: the last tile stays filled up with zeros."""
    row = 0
    for piece in pieces(source, name, layer.tile_neurons):
        data = converted(piece, part.format)
        for start in range(0, len(data), layer.tile_neurons):
            held = data[start : start + layer.tile_neurons].reshape(-1)
            tiles[(row + start) // layer.tile_neurons, part.offset : part.offset + held.size] = held
        row += len(data)


def _put_turned(tiles: Bytes, part: Part, source: Source, name: str) -> None:
    """Columns of down as rows: each has one weight of every row."""
    turned: Floats = np.empty((len(tiles), part.columns), np.float32)
    row = 0
    for piece in pieces(source, name):
        turned[:, row : row + len(piece.data)] = dequantize(piece.format, piece.data, piece.columns).T
        row += len(piece.data)
    step = max(PIECE_WEIGHTS // part.columns, 1)
    for first in range(0, len(tiles), step):
        tiles[first : first + step, part.offset : part.offset + part.size] = quantize(part.format, turned[first : first + step])


def _put_columns(tiles: Bytes, part: Part, source: Source, name: str) -> None:
    """Rows of down cut into tiles of columns, which stand row after row in each tile."""
    row, width = 0, part.row_bytes
    for piece in pieces(source, name):
        data = converted(piece, part.format)
        wide = np.zeros((len(data), len(tiles) * width), np.uint8)
        wide[:, : data.shape[1]] = data
        start = part.offset + row * width
        tiles[:, start : start + len(data) * width] = wide.reshape(len(data), len(tiles), width).swapaxes(0, 1).reshape(len(tiles), -1)
        row += len(data)
