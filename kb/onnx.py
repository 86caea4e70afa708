"""An ONNX graph as bytes: the few messages of the format that a transformer needs, written without the `onnx` package.

Field numbers are those of onnx.proto; a graph made here is checked by onnxruntime when it loads it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

IR_VERSION, OPSET = 9, 20
FLOAT, INT64 = 1, 7
TYPES = {np.dtype(np.float32): FLOAT, np.dtype(np.int64): INT64}


class Graph:
    """Nodes and constants in the order in which they are added; `node` returns the name of what it computes.

    >>> graph = Graph()
    >>> model = graph.model({"x": 2}, graph.node("Add", "x", graph.constant(np.ones(3, np.float32))))
    """

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []

    def constant(self, value: Any) -> str:
        """A float32 or int64 array that the graph holds; its name."""
        array = np.ascontiguousarray(value)
        name = f"c{len(self._constants)}"
        dimensions = b"".join(_number(1, size) for size in array.shape)
        little = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        self._constants.append(dimensions + _number(2, TYPES[array.dtype]) + _bytes(8, name.encode()) + _bytes(9, little))
        return name

    def node(self, operator: str, *inputs: str, **attributes: int | float | Sequence[int]) -> str:
        """One operator of the standard set; the name of its output."""
        name = f"n{len(self._nodes)}"
        given = b"".join(_bytes(1, each.encode()) for each in inputs)
        said = b"".join(_bytes(5, _attribute(each, value)) for each, value in attributes.items())
        self._nodes.append(given + _bytes(2, name.encode()) + _bytes(4, operator.encode()) + said)
        return name

    def model(self, inputs: Mapping[str, int], *outputs: str) -> bytes:
        """The whole as a model: float inputs by name with their number of dimensions, each of any size; outputs are matrices."""
        graph = [
            *(_bytes(1, node) for node in self._nodes),
            _bytes(2, b"graph"),
            *(_bytes(5, constant) for constant in self._constants),
            *(_bytes(11, _float_array(name, dimensions)) for name, dimensions in inputs.items()),
            *(_bytes(12, _float_array(name, 2)) for name in outputs),
        ]
        return _number(1, IR_VERSION) + _bytes(8, _number(2, OPSET)) + _bytes(7, b"".join(graph))


def _float_array(name: str, dimensions: int) -> bytes:
    """A ValueInfo: a float tensor whose sizes have no names."""
    shape = _bytes(2, b"".join(_bytes(1, b"") for _ in range(dimensions)))
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, _number(1, FLOAT) + shape))


def _attribute(name: str, value: int | float | Sequence[int]) -> bytes:
    start = _bytes(1, name.encode())
    if isinstance(value, float):
        return start + b"\x15" + struct.pack("<f", value) + _number(20, 1)
    if isinstance(value, int):
        return start + _number(3, value) + _number(20, 2)
    return start + b"".join(_number(8, each) for each in value) + _number(20, 7)


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; negative numbers as 64 bits."""
    value &= (1 << 64) - 1
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])
