"""The keys and values of the positions seen so far, and copies of prompt beginnings that will be wanted again."""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.architecture import Config
from engine.formats import Floats, Halves

LEAST_PREFIX_TOKENS = 32
"""Shorter beginnings are computed again sooner than copied."""


class KVCache:
    """Room for `capacity` positions of one sequence. Memory is taken page by page by the system, as positions are first written.

    `keys[layer]` and `values[layer]` are half floats [kv_heads, capacity, head_dim].
    """

    def __init__(self, config: Config, capacity: int) -> None:
        shape = (config.layers, config.kv_heads, capacity, config.head_dim)
        self.keys = _untouched(shape)
        self.values = _untouched(shape)
        self.capacity = capacity
        self.tokens: list[int] = []
        """The tokens whose keys and values are there, in order."""

    def reuse(self, tokens: Sequence[int]) -> int:
        """Keep what `tokens` has in common with the sequence at its beginning, forget the rest, and return how many positions stay."""
        shared = common_prefix(self.tokens, tokens)
        del self.tokens[shared:]
        return shared


def _untouched(shape: tuple[int, ...]) -> Halves:
    """Zeros that take no memory until they are written, page by page: huge pages would take megabytes for each head at once."""
    room = mmap.mmap(-1, math.prod(shape) * 2)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        room.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(room, np.float16).reshape(shape)


def in_halves(values: Floats) -> Halves:
    """Float32 as the cache keeps it; what no half float can hold becomes the largest one, NaN stays."""
    return np.clip(values, -_HALF_MOST, _HALF_MOST).astype(np.float16)


_HALF_MOST = np.float32(65504.0)


@dataclass
class SavedPrefix:
    """A copy of the first positions: `keys`, `values` [layers, kv_heads, tokens, head_dim]."""

    tokens: list[int]
    keys: Halves
    values: Halves


class PrefixStore:
    """Copies of prompt beginnings by cache key, at most `capacity` tokens of them together; the least recently used go first.

    What is worth keeping of a prompt is learnt from the second prompt with the same key: the tokens that both begin with.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._saved: dict[str, SavedPrefix] = {}
        self._last_prompt: dict[str, list[int]] = {}

    @property
    def held_tokens(self) -> int:
        """Positions that are kept now."""
        return sum(len(saved.tokens) for saved in self._saved.values())

    def restore(self, cache: KVCache, tokens: Sequence[int]) -> int:
        """Bring back the copy that shares more of `tokens` than `cache` itself does; returns how many positions `cache` now has."""
        best = max(self._saved.values(), key=lambda saved: common_prefix(saved.tokens, tokens), default=None)
        shared = 0 if best is None else common_prefix(best.tokens, tokens)
        own = common_prefix(cache.tokens, tokens)
        if best is not None and shared > own:
            cache.keys[:, :, :shared] = best.keys[:, :, :shared]
            cache.values[:, :, :shared] = best.values[:, :, :shared]
            cache.tokens = list(best.tokens[:shared])
        return cache.reuse(tokens)

    def learn(self, key: str, cache: KVCache, tokens: Sequence[int]) -> None:
        """Called when `cache` holds the whole prompt `tokens` that carries `key`."""
        shared = common_prefix(self._last_prompt.get(key, []), tokens)
        self._last_prompt.pop(key, None)
        self._last_prompt[key] = list(tokens)
        while len(self._last_prompt) > 64:
            self._last_prompt.pop(next(iter(self._last_prompt)))
        saved = self._saved.pop(key, None)
        fits = LEAST_PREFIX_TOKENS <= shared <= self._capacity
        if fits and (saved is None or common_prefix(saved.tokens, tokens) < len(saved.tokens)):
            saved = SavedPrefix(list(tokens[:shared]), cache.keys[:, :, :shared].copy(), cache.values[:, :, :shared].copy())
        if saved is not None:
            self._saved[key] = saved  # last in the dictionary: most recently used
        while self.held_tokens > self._capacity:
            self._saved.pop(next(iter(self._saved)))


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens both begin with."""
    length = min(len(left), len(right))
    if list(left[:length]) == list(right[:length]):
        return length
    return next(place for place in range(length) if left[place] != right[place])
