"""All transformer layers of a token in one native call, whether their neurons are in memory or streamed."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import Structure, c_double, c_int64, c_void_p
from typing import TYPE_CHECKING

import numpy as np

from engine.architecture import Config
from engine.ffn import FeedForward, Neurons, StreamedFeedForward, biases_of_tiles
from engine.formats import Bytes, Floats, find
from engine.kernels import Kernels
from engine.native.library import ACTIVATIONS, NATIVE_FORMATS, Native, check_result, row_stride
from engine.native.stream import NativeStream

if TYPE_CHECKING:
    from engine.decoder import Layer, Norm
    from engine.kv import KVCache


_SIZES = ("hidden", "heads", "kv_heads", "head_dim", "ffn", "capacity", "lane_format", "rotary_dim", "activation", "parallel")
_NORMS = ("attention_norm", "ffn_norm", "query_norm", "key_norm")


class _Shape(Structure):
    """`shape_t` of layers.c."""

    _fields_ = [(name, c_int64) for name in _SIZES] + [("epsilon", c_double)]


class _Matrix(Structure):
    """`matrix_t` of flashkb.h."""

    _fields_ = [(name, c_int64) for name in ("format", "rows", "row_stride", "columns")] + [("data", c_void_p), ("bias", c_void_p)]


_MATRICES = ("query", "key", "value", "output")


class _Held(Structure):
    """`held_t` of layers.c."""

    _fields_ = [(name, _Matrix) for name in ("up", "gate", "down")]


class _Layer(Structure):
    """`layer_t` of layers.c."""

    _fields_ = [
        *((name + kind, c_void_p) for name in _NORMS for kind in ("", "_bias")),
        *((name, _Matrix) for name in _MATRICES),
        ("held", ctypes.POINTER(_Held)),
        ("held_count", c_int64),
        ("up_bias", c_void_p),
        ("down_bias", c_void_p),
        ("down_is_neuron_major", c_int64),
    ]


class LayerStack:
    """The layers of a model as the library sees them: some neurons of each in memory, the others streamed.

    Gives the same bits as `Decoder` does with the steps of `Native` one by one.
    """

    def __init__(self, kernels: Native, config: Config, layers: Sequence[Layer], feed_forward: StreamedFeedForward) -> None:
        self._kernels = kernels
        self._config = config
        self._feed_forward = feed_forward
        self._held: list[np.ndarray[tuple[int, ...], np.dtype[np.generic]]] = []  # what the pointers point to
        self._layers = (_Layer * len(layers))(*[self._layer(number, layer) for number, layer in enumerate(layers)])
        runs, file = feed_forward.runs, feed_forward.file
        self._stream = feed_forward.native_stream(kernels)
        self._lane_format = NATIVE_FORMATS[file.layers[0].part("down").format] if runs and file.layers[0].axis == "output" else -1

    def forward(self, x: Floats, cache: KVCache, frequencies: Floats | None) -> Floats:
        """x [n, hidden], embedded tokens behind those in `cache`, through every layer -> [n, hidden], not yet normed."""
        x = np.array(x, np.float32, order="C")  # a copy, which the layers change in place
        first, n = len(cache.tokens), x.shape[0]
        for held in (cache.keys, cache.values):
            if held.dtype != np.float16 or not held.flags.c_contiguous:
                raise ValueError("keys and values are contiguous half floats [layers, kv_heads, capacity, head_dim]")
        if first + n > cache.capacity:
            raise ValueError(f"{n} tokens behind {first} do not fit a cache of {cache.capacity} positions")
        shape, rotation = self._shape(cache.capacity), _rotation(first, n, frequencies)
        turns = None if rotation is None else rotation.ctypes.data
        pages = cache.keys.ctypes.data, cache.values.ctypes.data
        run = self._kernels.library.fk_layers
        stream = None if self._stream is None else self._stream.ready()
        result = run(ctypes.byref(shape), self._layers, len(self._layers), x.ctypes.data, n, turns, first, *pages, stream)
        if self._stream is not None:
            self._account(self._stream, result)
        check_result(result)
        return x

    def _account(self, stream: NativeStream, result: int) -> None:
        """Count what was read, and raise what made it fail."""
        self._feed_forward.file.counts += stream.take_counts()
        failure = stream.failure() if result else None
        if failure is not None:
            raise failure

    def _shape(self, capacity: int) -> _Shape:
        config = self._config
        held = max((group.up.rows for layer in self._layers for group in layer.held[: layer.held_count]), default=0)
        layouts = self._feed_forward.file.layers
        streamed = max((run.tiles * layouts[run.layer].tile_neurons for run in self._feed_forward.runs), default=0)
        sizes = config.hidden, config.heads, config.kv_heads, config.head_dim, max(held, streamed), capacity, self._lane_format
        return _Shape(*sizes, config.rotary_dim, ACTIVATIONS[config.activation], config.parallel, config.norm_epsilon)

    def _layer(self, number: int, layer: Layer) -> _Layer:
        native = _Layer()
        for name in _NORMS:
            norm: Norm | None = getattr(layer, name)
            setattr(native, name, None if norm is None else self._pointer(norm.weight))
            setattr(native, f"{name}_bias", None if norm is None else self._pointer(norm.bias))
        for name in _MATRICES:
            projection = getattr(layer, name)
            matrix = projection.matrix
            setattr(native, name, self._matrix(matrix.format, matrix.data, matrix.columns, projection.bias))
        native.down_bias = self._pointer(layer.down_bias)
        layout, pinned = self._feed_forward.file.layers[number], self._feed_forward.pinned[number]
        native.up_bias = self._pointer(biases_of_tiles(layout, 0, layout.tiles, self._feed_forward.up_biases[number]))
        native.down_is_neuron_major = layout.axis == "neuron"
        if pinned is not None:
            native.held, native.held_count = (_Held * 1)(self._neurons(pinned)), 1
        return native

    def _neurons(self, neurons: Neurons) -> _Held:
        layout, held = neurons.layout, _Held()
        up, down = layout.part("up"), layout.part("down")
        held.up = self._matrix(up.format, neurons.up, up.columns, neurons.up_bias)
        if neurons.gate is not None:
            held.gate = self._matrix(layout.part("gate").format, neurons.gate, up.columns, None)
        held.down = self._matrix(down.format, neurons.down, find(down.format).columns(neurons.down.shape[1]), None)
        return held

    def _matrix(self, format: str, data: Bytes, columns: int, bias: Floats | None) -> _Matrix:
        stride = row_stride(format, data, columns)
        self._held.append(data)
        return _Matrix(NATIVE_FORMATS[format], data.shape[0], stride, columns, data.ctypes.data, self._pointer(bias))

    def _pointer(self, vector: Floats | None) -> int | None:
        if vector is None:
            return None
        held = np.ascontiguousarray(vector, np.float32)
        self._held.append(held)
        return held.ctypes.data


def native_layers(kernels: Kernels, config: Config, layers: Sequence[Layer], feed_forward: FeedForward) -> LayerStack | None:
    """The stack where the native library runs and tiles are in memory or streamed, otherwise None."""
    if not isinstance(kernels, Native) or not isinstance(feed_forward, StreamedFeedForward):
        return None
    kinds = {find(layout.part("down").format).group_columns > 0 for layout in feed_forward.file.layers}
    return LayerStack(kernels, config, layers, feed_forward) if len(kinds) == 1 else None


def _rotation(first: int, n: int, frequencies: Floats | None) -> Floats | None:
    """Cosines, then sines, of each position: [n, rotary_dim]; None where positions are learned."""
    if frequencies is None:
        return None
    angles = np.arange(first, first + n, dtype=np.float32)[:, None] * frequencies
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
