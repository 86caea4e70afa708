from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import kernels as kernel_library
from engine import manifest
from engine.decoder import Decoder
from engine.flash import BundleFile
from engine.kv import KVCache
from engine.manifest import LayerLayout, Part
from engine.weights import ResidentWeights
from engine.window import NeuronWindow, WindowedFeedForward
from tests.engine.test_decoder import TOKENS, logits_of, make_decoder

NEURONS = 40
LAYOUT = LayerLayout(NEURONS, 1, 1024, (Part("up", "f32", 0, 1, 16), Part("down", "f32", 512, 1, 16)), "neuron", 0)


@settings(deadline=None)
@given(
    slots=st.integers(1, NEURONS),
    passes=st.lists(st.sets(st.integers(0, NEURONS - 1), max_size=NEURONS), max_size=30),
)
def test_the_window_holds_what_fired_last_in_one_block_and_never_more_than_its_slots(slots: int, passes: list[set[int]]) -> None:
    window = NeuronWindow(LAYOUT, slots)
    for now, wanted in enumerate(passes, start=1):
        firing = np.array(sorted(wanted), np.int64)[:slots]
        missing = window.missing(firing)
        window.touch(firing, now)
        window.append(missing)[:] = (missing % 256).astype(np.uint8)[:, None]  # each column says whose it is
        held = window.neurons[: window.used]
        assert window.used <= slots
        assert len(set(held.tolist())) == window.used
        assert set(firing.tolist()) <= set(held.tolist())
        assert np.array_equal(window.columns[: window.used, 0], held % 256)
        assert len(window.missing(firing)) == 0


def test_a_window_refuses_more_neurons_than_it_has_slots() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        NeuronWindow(LAYOUT, 3).append(np.arange(4))


def test_the_longest_silent_neurons_are_forgotten_first() -> None:
    window = NeuronWindow(LAYOUT, 3)
    for now, neuron in enumerate([5, 6, 7, 5, 8], start=1):
        firing = np.array([neuron])
        missing = window.missing(firing)
        window.touch(firing, now)
        window.append(missing)
    assert sorted(window.neurons[:3].tolist()) == [5, 7, 8]


def windowed(pack: Path, slots: int) -> Decoder:
    found, kernels = manifest.load(pack), kernel_library.load()
    weights = ResidentWeights(pack, found, kernels)
    file = BundleFile(pack, found, [weights.checksums(number) for number in range(found.config.layers)], kernels)
    return Decoder(found.config, weights, WindowedFeedForward(file, weights, kernels, slots, 1 << 14), kernels)


@pytest.mark.parametrize("slots", [4, 100, 192])
@pytest.mark.parametrize("format", ["f16", "q8"])
def test_a_windowed_model_gives_the_logits_of_the_resident_one(slots: int, format: str, packed: Callable[..., Path]) -> None:
    pieces = [TOKENS, *([token] for token in TOKENS[:8])]
    resident = logits_of(make_decoder(packed("opt", format == "f16", format)), pieces)
    found = logits_of(windowed(packed("opt", format == "f16", format), slots), pieces)
    assert np.abs(resident - found).max() < (1e-4 if format == "f16" else 0.05)


def test_what_is_in_the_window_is_not_read_again(packed: Callable[..., Path]) -> None:
    decoder = windowed(packed("opt"), 192)
    cache = KVCache(decoder.config, 64)
    decoder.forward(TOKENS[:1], cache)
    assert decoder.feed_forward.take_counts().reads > 0
    cache.tokens.clear()
    decoder.forward(TOKENS[:1], cache)
    assert decoder.feed_forward.take_counts().reads == 0
    decoder.feed_forward.close()
