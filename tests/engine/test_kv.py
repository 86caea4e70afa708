from __future__ import annotations

import numpy as np

from engine.architecture import Config
from engine.kv import KVCache, PrefixStore, common_prefix, in_halves

CONFIG = Config("llama", 8, 2, 2, 1, 4, 8, 16, 256, "rms", 1e-5, True, 1e4, True, rotary_dim=4)
PREFIX = list(range(100, 150))


def filled(tokens: list[int]) -> KVCache:
    """A cache whose keys and values say which token they belong to."""
    cache = KVCache(CONFIG, 256)
    fill(cache, tokens)
    return cache


def fill(cache: KVCache, tokens: list[int]) -> None:
    cache.keys[:, :, : len(tokens)] = np.array(tokens, np.float32)[:, None]
    cache.values[:, :, : len(tokens)] = -np.array(tokens, np.float32)[:, None]
    cache.tokens = list(tokens)


def test_common_prefix_counts_equal_tokens_at_the_beginning() -> None:
    assert [common_prefix([1, 2, 3], other) for other in ([1, 2, 4], [1, 2], [9], [])] == [2, 2, 0, 0]


def test_a_beginning_that_two_prompts_share_comes_back_after_others_came_between() -> None:
    store, cache = PrefixStore(200), filled([*PREFIX, 1, 2])
    store.learn("teach", cache, [*PREFIX, 1, 2])
    fill(cache, [*PREFIX, 3])
    store.learn("teach", cache, [*PREFIX, 3])
    fill(cache, [7, 8, 9])
    assert store.restore(cache, [*PREFIX, 4, 5]) == len(PREFIX)
    assert cache.tokens == PREFIX
    assert np.array_equal(cache.keys[1, 0, : len(PREFIX), 0], PREFIX)


def test_a_copy_that_was_too_long_shrinks_to_what_is_shared() -> None:
    store, cache = PrefixStore(200), filled([*PREFIX, 1])
    for tail in ([1, 1, 2], [1, 1, 3], [2, 2, 2]):  # the first two share more than the prefix, by chance
        fill(cache, [*PREFIX, *tail])
        store.learn("teach", cache, [*PREFIX, *tail])
    assert store.held_tokens == len(PREFIX)


def test_the_store_never_holds_more_than_its_room() -> None:
    store, cache = PrefixStore(120), filled([1])
    for key in range(5):
        tokens = [key, *PREFIX]
        for tail in (1, 2):
            fill(cache, [*tokens, tail])
            store.learn(str(key), cache, [*tokens, tail])
            assert store.held_tokens <= 120
    fill(cache, [0])
    assert store.restore(cache, [4, *PREFIX, 9]) == len(PREFIX) + 1
    assert store.restore(cache, [0, *PREFIX, 9]) == 0  # the oldest went


def test_a_store_without_room_keeps_nothing() -> None:
    store, cache = PrefixStore(0), filled([*PREFIX, 1])
    for tail in (1, 2):
        fill(cache, [*PREFIX, tail])
        store.learn("teach", cache, [*PREFIX, tail])
    assert store.held_tokens == 0


def test_what_no_half_float_can_hold_becomes_the_largest() -> None:
    found = in_halves(np.array([1e6, -1e6, np.inf, 65504.0, 0.1, np.nan], np.float32))
    assert np.array_equal(found[:4], [65504.0, -65504.0, 65504.0, 65504.0])
    assert found[4] == np.float16(0.1) and np.isnan(found[5])
