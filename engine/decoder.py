"""The transformer: tokens in, logits out, keys and values kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.architecture import Config
from engine.ffn import FeedForward
from engine.formats import Floats
from engine.kernels import Kernels
from engine.kv import KVCache, in_halves
from engine.native.layers import native_layers
from engine.source import Matrix
from engine.weights import ResidentWeights


@dataclass(frozen=True)
class Norm:
    """RMS norm without `bias`, layer norm with it."""

    weight: Floats
    bias: Floats | None
    epsilon: float

    def __call__(self, kernels: Kernels, x: Floats) -> Floats:
        """x [n, hidden] -> [n, hidden]."""
        return kernels.normalise(x, self.weight, self.bias, self.epsilon)


@dataclass(frozen=True)
class Projection:
    """A matrix with its bias, None where the family has none."""

    matrix: Matrix
    bias: Floats | None

    def __call__(self, kernels: Kernels, x: Floats) -> Floats:
        """x [n, columns] -> [n, rows]."""
        product = kernels.matmul(self.matrix.format, self.matrix.data, x)
        return product if self.bias is None else product + self.bias


@dataclass(frozen=True)
class Layer:
    """The resident tensors of a layer."""

    attention_norm: Norm
    query: Projection
    key: Projection
    value: Projection
    output: Projection
    ffn_norm: Norm
    down_bias: Floats | None
    query_norm: Norm | None
    key_norm: Norm | None


class Decoder:
    """A model ready to run. Holds no state of a sequence: that is the KV cache's."""

    def __init__(self, config: Config, weights: ResidentWeights, feed_forward: FeedForward, kernels: Kernels) -> None:
        self.config = config
        self.feed_forward = feed_forward
        self._weights = weights
        self._kernels = kernels
        self._layers = [self._layer(number) for number in range(config.layers)]
        self._final_norm = self._norm("final_norm")
        self._head = Projection(weights.matrix("embedding.weight" if config.tied else "head.weight"), weights.vector("head.bias"))
        self._frequencies = weights.vector("rope.frequencies")  # [rotary_dim / 2]
        self._whole = native_layers(kernels, config, self._layers, feed_forward)

    def _norm(self, name: str) -> Norm:
        return Norm(self._weights.required(f"{name}.weight"), self._weights.vector(f"{name}.bias"), self.config.norm_epsilon)

    def _projection(self, name: str) -> Projection:
        return Projection(self._weights.matrix(f"{name}.weight"), self._weights.vector(f"{name}.bias"))

    def _layer(self, number: int) -> Layer:
        stem = f"layer.{number}."
        return Layer(
            attention_norm=self._norm(stem + "attention_norm"),
            query=self._projection(stem + "query"),
            key=self._projection(stem + "key"),
            value=self._projection(stem + "value"),
            output=self._projection(stem + "output"),
            ffn_norm=self._norm(stem + "ffn_norm"),
            down_bias=self._weights.vector(stem + "down.bias"),
            query_norm=self._norm(stem + "query_norm") if self.config.head_norm else None,
            key_norm=self._norm(stem + "key_norm") if self.config.head_norm else None,
        )

    def forward(self, tokens: list[int], cache: KVCache) -> Floats:
        """Run `tokens` behind those in `cache`, which then holds them too; returns the last hidden states [n, hidden], normed."""
        first = len(cache.tokens)
        x = self._embed(tokens, first)  # [n, hidden]
        x = self._step_by_step(x, cache, first) if self._whole is None else self._whole.forward(x, cache, self._frequencies)
        cache.tokens.extend(tokens)
        return self._final_norm(self._kernels, x)

    def _step_by_step(self, x: Floats, cache: KVCache, first: int) -> Floats:
        """The layers by kernels one after the other: the same bits as `LayerStack` gives in one call."""
        rotation = self._rotation(first, len(x))
        for number, layer in enumerate(self._layers):
            before = x
            x = x + self._attend(number, layer, layer.attention_norm(self._kernels, x), cache, first, rotation)
            down = self.feed_forward(number, layer.ffn_norm(self._kernels, before if self.config.parallel else x))
            x = x + (down if layer.down_bias is None else down + layer.down_bias)
        return x

    def attend(self, number: int, x: Floats, cache: KVCache) -> tuple[Floats, Floats]:
        """A layer's attention over a sequence from its first position, for going through many texts layer by layer.

        x [n, hidden] -> x with the attention added, and the feed-forward's input. What `cache` holds of the layer is overwritten.
        """
        layer = self._layers[number]
        mixed = x + self._attend(number, layer, layer.attention_norm(self._kernels, x), cache, 0, self._rotation(0, len(x)))
        return mixed, layer.ffn_norm(self._kernels, x if self.config.parallel else mixed)

    def embed(self, tokens: list[int]) -> Floats:
        """Hidden states [n, hidden] before the first layer, of tokens from position 0 on."""
        return self._embed(tokens, 0)

    def normed(self, x: Floats) -> Floats:
        """What `logits` takes: the hidden states behind the last layer, normed."""
        return self._final_norm(self._kernels, x)

    def add_down_bias(self, number: int, down: Floats) -> Floats:
        """The layer's feed-forward [n, hidden] with its bias, where it has one."""
        bias = self._layers[number].down_bias
        return down if bias is None else down + bias

    def logits(self, hidden: Floats) -> Floats:
        """hidden [n, hidden] -> [n, vocabulary]."""
        return self._head(self._kernels, hidden)

    def _embed(self, tokens: list[int], first: int) -> Floats:
        x = self._weights.rows("embedding.weight", tokens)
        if self.config.rope_theta is None:
            start = first + self.config.position_offset
            x = x + self._weights.rows("positions.weight", list(range(start, start + len(tokens))))
        return x

    def _rotation(self, first: int, count: int) -> tuple[Floats, Floats] | None:
        """Cosine and sine of each position and pair of columns, [n, 1, rotary_dim / 2]; None where positions are learned."""
        if self._frequencies is None:
            return None
        angles = np.arange(first, first + count, dtype=np.float32)[:, None] * self._frequencies
        return np.cos(angles)[:, None, :], np.sin(angles)[:, None, :]

    def _attend(self, number: int, layer: Layer, x: Floats, cache: KVCache, first: int, rotation: tuple[Floats, Floats] | None) -> Floats:
        """Self-attention with grouped key heads: x [n, hidden] -> [n, hidden]."""
        count, config = len(x), self.config
        query = layer.query(self._kernels, x).reshape(count, config.heads, config.head_dim)
        key = layer.key(self._kernels, x).reshape(count, config.kv_heads, config.head_dim)
        value = layer.value(self._kernels, x).reshape(count, config.kv_heads, config.head_dim)
        if layer.query_norm is not None and layer.key_norm is not None:
            query, key = _of_heads(layer.query_norm, self._kernels, query), _of_heads(layer.key_norm, self._kernels, key)
        if rotation is not None:
            query, key = _rotate(query, *rotation), _rotate(key, *rotation)
        end = first + count
        keys, values = cache.keys[number], cache.values[number]  # [kv_heads, capacity, head_dim]
        keys[:, first:end] = in_halves(key.swapaxes(0, 1))
        values[:, first:end] = in_halves(value.swapaxes(0, 1))
        mixed = self._kernels.attention(query, keys[:, :end], values[:, :end])
        return layer.output(self._kernels, mixed.reshape(count, -1))


def _of_heads(norm: Norm, kernels: Kernels, x: Floats) -> Floats:
    """Each head normed by itself: x [n, heads, head_dim]."""
    return norm(kernels, x.reshape(-1, x.shape[2])).reshape(x.shape)


def _rotate(x: Floats, cosine: Floats, sine: Floats) -> Floats:
    """Rotary embedding of the first rotary_dim columns: column i pairs with i + rotary_dim / 2. x [n, heads, head_dim]."""
    half = cosine.shape[2]
    left, right, rest = x[:, :, :half], x[:, :, half : 2 * half], x[:, :, 2 * half :]
    return np.concatenate([left * cosine - right * sine, right * cosine + left * sine, rest], axis=2)
