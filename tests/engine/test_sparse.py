from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.decoder import Decoder
from engine.errors import CorruptPack
from engine.formats import Floats
from engine.kv import KVCache
from engine.sparse import Mask, PredictedFeedForward, WindowedFeedForward
from engine.window import WindowShape
from tests.engine.test_decoder import TOKENS, logits_of, make_decoder
from tests.engine.test_window import NEURONS, damaged, opened

PIECES = [TOKENS, *([token] for token in TOKENS[:8])]


class Fixed:
    """A foresight that wants the same share of neurons, chosen by layer and by the sign of what it sees."""

    def __init__(self, share: float, ahead: bool) -> None:
        self.ahead = ahead
        self._bound = np.quantile(np.random.default_rng(0).standard_normal(10_000), 1 - share) if 0 < share < 1 else 9.0 - 18.0 * share

    def __call__(self, layer: int, x: Floats) -> Mask:
        directions = np.random.default_rng(layer).standard_normal((x.shape[1], NEURONS)).astype(np.float32)
        # token by token, since the order of sums in a product of several rows differs
        scores = np.stack([row @ directions / np.linalg.norm(row) for row in x])
        return np.asarray(scores > self._bound)


def windowed(pack: Path, slots: int) -> Decoder:
    file, weights, kernels = opened(pack)
    return Decoder(weights_config(pack), weights, WindowedFeedForward(file, weights, kernels, slots, 1 << 14, gap_bytes=2048), kernels)


def predicted(pack: Path, shape: WindowShape, share: float = 1.0, ahead: bool = False) -> Decoder:
    file, weights, kernels = opened(pack)
    feed_forward = PredictedFeedForward(file, weights, kernels, Fixed(share, ahead), [shape] * 3, 1 << 14)
    return Decoder(weights_config(pack), weights, feed_forward, kernels)


def weights_config(pack: Path):  # type: ignore[no-untyped-def]
    from engine import manifest

    return manifest.load(pack).config


@pytest.mark.parametrize("slots", [4, 100, 192])
@pytest.mark.parametrize(("kind", "format"), [("opt", "f16"), ("opt", "q8"), ("opt", "q4"), ("persimmon", "f16"), ("persimmon", "q4")])
def test_a_windowed_model_gives_the_bits_of_the_resident_one(slots: int, kind: str, format: str, packed: Callable[..., Path]) -> None:
    pack = packed(kind, format == "f16", format)
    assert np.array_equal(logits_of(make_decoder(pack), PIECES), logits_of(windowed(pack, slots), PIECES))


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("shape", [WindowShape(192), WindowShape(60, pinned=20, gap=2), WindowShape(192, reads="halves")])
def test_a_predictor_that_wants_every_neuron_gives_the_bits_of_exact_decoding(
    shape: WindowShape, ahead: bool, packed: Callable[..., Path]
) -> None:
    pack = packed("opt", False, "q4")
    assert np.array_equal(logits_of(make_decoder(pack), PIECES), logits_of(predicted(pack, shape, 1.0, ahead), PIECES))


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("format", ["f16", "q4"])
def test_what_the_window_holds_and_how_tokens_come_does_not_change_a_result(format: str, ahead: bool, packed: Callable[..., Path]) -> None:
    pack = packed("opt", format == "f16", format)
    alone = logits_of(predicted(pack, WindowShape(192), 0.3, ahead), [[token] for token in TOKENS])
    for shape in (WindowShape(90), WindowShape(80, pinned=30, gap=3)):
        assert np.array_equal(logits_of(predicted(pack, shape, 0.3, ahead), [TOKENS]), alone)
        assert np.array_equal(logits_of(predicted(pack, shape, 0.3, ahead), [TOKENS[:5], *([t] for t in TOKENS[5:])]), alone)


def test_fewer_neurons_are_read_than_are_wanted_and_none_twice_while_it_stays(packed: Callable[..., Path]) -> None:
    decoder = predicted(packed("opt"), WindowShape(192), 0.3)
    cache = KVCache(decoder.config, 64)
    decoder.forward(TOKENS[:1], cache)
    first = decoder.feed_forward.take_counts()
    assert 0 < first.bytes < 0.5 * sum(layer.size for layer in decoder.feed_forward._bundles.file.layers)
    cache.tokens.clear()
    decoder.forward(TOKENS[:1], cache)
    assert decoder.feed_forward.take_counts().reads == 0
    decoder.feed_forward.close()


def test_what_is_in_the_window_is_not_read_again(packed: Callable[..., Path]) -> None:
    decoder = windowed(packed("opt"), 192)
    cache = KVCache(decoder.config, 64)
    decoder.forward(TOKENS[:1], cache)
    assert decoder.feed_forward.take_counts().reads > 0
    cache.tokens.clear()
    decoder.forward(TOKENS[:1], cache)
    assert decoder.feed_forward.take_counts().reads == 0
    decoder.feed_forward.close()


@pytest.mark.parametrize("ahead", [False, True])
def test_after_a_damaged_bundle_in_mid_token_the_next_tokens_are_as_ever(ahead: bool, packed: Callable[..., Path], tmp_path: Path) -> None:
    pack = packed("opt", False, "q4")
    decoder = predicted(damaged(pack, tmp_path / "bad.pack", 1, 20), WindowShape(150), 0.3, ahead)
    sound = [logits_of(predicted(pack, WindowShape(150), 0.3, ahead), [[token]]) for token in TOKENS[:12]]
    outcomes = []
    for token, expected in zip(TOKENS[:12], sound, strict=True):
        cache = KVCache(decoder.config, 4)
        try:
            outcomes.append(np.array_equal(decoder.logits(decoder.forward([token], cache)), expected))
        except CorruptPack:
            outcomes.append(None)
    decoder.feed_forward.close()
    assert None in outcomes and True in outcomes and False not in outcomes
