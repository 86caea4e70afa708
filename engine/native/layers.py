"""Transformer layers in one native call each token, or one a layer while its feed-forward is streamed."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import Structure, c_double, c_int64, c_void_p
from typing import TYPE_CHECKING

import numpy as np

from engine.architecture import Config
from engine.formats import Bytes, Floats, find
from engine.kernels import Kernels
from engine.native.library import NATIVE_FORMATS, Native, check_result, row_stride

if TYPE_CHECKING:
    from engine.decoder import Layer, Norm
    from engine.ffn import Neurons
    from engine.kv import KVCache


class _Shape(Structure):
    """`shape_t` of layers.c."""

    _fields_ = [(name, c_int64) for name in ("hidden", "heads", "kv_heads", "head_dim", "ffn", "capacity")] + [("epsilon", c_double)]


class _Matrix(Structure):
    """`matrix_t` of flashkb.h."""

    _fields_ = [(name, c_int64) for name in ("format", "rows", "row_stride", "columns")] + [("data", c_void_p), ("bias", c_void_p)]


_Fields = list[tuple[str, type[Structure] | type[c_void_p] | type[c_int64]]]
_NORMS: _Fields = [(name, c_void_p) for name in ("attention_norm", "attention_norm_bias", "ffn_norm", "ffn_norm_bias")]
_MATRICES: _Fields = [(name, _Matrix) for name in ("query", "key", "value", "output", "up", "gate", "down")]


class _Layer(Structure):
    """`layer_t` of layers.c."""

    _fields_ = [*_NORMS, *_MATRICES, ("down_bias", c_void_p), ("down_is_neuron_major", c_int64)]


class LayerStack:
    """The layers of a model whose every neuron is in memory, as the library sees them.

    Gives the same bits as `Decoder` does with the steps of `Native` one by one.
    """

    def __init__(self, kernels: Native, config: Config, layers: Sequence[Layer], neurons: Sequence[Neurons]) -> None:
        self._kernels = kernels
        self._config = config
        self._held: list[np.ndarray[tuple[int, ...], np.dtype[np.generic]]] = []  # what the pointers point to
        self._layers = (_Layer * len(layers))(*[self._layer(layer) for layer in layers])
        for native, held in zip(self._layers, neurons, strict=True):
            self._add_neurons(native, held)

    def forward(self, x: Floats, cache: KVCache, frequencies: Floats | None) -> Floats:
        """x [n, hidden], embedded tokens behind those in `cache`, through every layer -> [n, hidden], not yet normed."""
        x = np.array(x, np.float32, order="C")  # a copy, which the layers change in place
        first, n = len(cache.tokens), x.shape[0]
        for held in (cache.keys, cache.values):
            if held.dtype != np.float32 or not held.flags.c_contiguous:
                raise ValueError("keys and values are contiguous float32 [layers, kv_heads, capacity, head_dim]")
        if first + n > cache.capacity:
            raise ValueError(f"{n} tokens behind {first} do not fit a cache of {cache.capacity} positions")
        shape, rotation = self._shape(cache.capacity), _rotation(first, n, frequencies)
        turns = None if rotation is None else rotation.ctypes.data
        pages = cache.keys.ctypes.data, cache.values.ctypes.data
        run = self._kernels.library.fk_layers
        check_result(run(ctypes.byref(shape), self._layers, len(self._layers), x.ctypes.data, n, turns, first, *pages))
        return x

    def _shape(self, capacity: int) -> _Shape:
        config = self._config
        neurons = max(layer.up.rows for layer in self._layers)
        return _Shape(config.hidden, config.heads, config.kv_heads, config.head_dim, neurons, capacity, config.norm_epsilon)

    def _layer(self, layer: Layer) -> _Layer:
        native = _Layer()
        for name in ("attention_norm", "ffn_norm"):
            norm: Norm = getattr(layer, name)
            setattr(native, name, self._pointer(norm.weight))
            setattr(native, f"{name}_bias", self._pointer(norm.bias))
        for name in ("query", "key", "value", "output"):
            projection = getattr(layer, name)
            matrix = projection.matrix
            setattr(native, name, self._matrix(matrix.format, matrix.data, matrix.columns, projection.bias))
        native.down_bias = self._pointer(layer.down_bias)
        return native

    def _add_neurons(self, native: _Layer, neurons: Neurons) -> None:
        layout = neurons.layout
        up, down = layout.part("up"), layout.part("down")
        native.up = self._matrix(up.format, neurons.up, up.columns, neurons.up_bias)
        if neurons.gate is not None:
            native.gate = self._matrix(layout.part("gate").format, neurons.gate, up.columns, None)
        native.down_is_neuron_major = layout.axis == "neuron"
        native.down = self._matrix(down.format, neurons.down, find(down.format).columns(neurons.down.shape[1]), None)

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


def native_layers(kernels: Kernels, config: Config, layers: Sequence[Layer], neurons: Sequence[Neurons] | None) -> LayerStack | None:
    """The stack where the native library runs, every neuron is in memory and the library knows the shape, otherwise None."""
    if not isinstance(kernels, Native) or neurons is None or not _is_computed(config):
        return None
    return LayerStack(kernels, config, layers, neurons)


def _is_computed(config: Config) -> bool:
    plain = not config.parallel and not config.head_norm and config.rotary_dim in (0, config.head_dim)
    return plain and config.activation == ("silu" if config.gated else "relu")


def _rotation(first: int, n: int, frequencies: Floats | None) -> Floats | None:
    """Cosines, then sines, of each position: [n, head_dim]; None where positions are learned."""
    if frequencies is None:
        return None
    angles = np.arange(first, first + n, dtype=np.float32)[:, None] * frequencies
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
