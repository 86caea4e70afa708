from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from engine import kernels as kernel_library
from engine import manifest
from engine.decoder import Decoder
from engine.ffn import StreamedFeedForward
from engine.flash import BundleFile
from engine.kv import KVCache
from engine.weights import ResidentWeights
from tests.engine.families import KINDS, half_cache

TOKENS = list(np.random.default_rng(3).integers(0, 256, 40))


def make_decoder(pack: Path, pinned_share: float = 1.0, prefer: str = "native", value_bias: float | None = None) -> Decoder:
    found = manifest.load(pack)
    kernels = kernel_library.load(prefer)  # type: ignore[arg-type]
    weights = ResidentWeights(pack, found, kernels)
    if value_bias is not None:
        weights.required("layer.0.value.bias")[:] = value_bias
    file = BundleFile(pack, found, [weights.checksums(number) for number in range(found.config.layers)], kernels)
    pinned = tuple(int(layer.tiles * pinned_share) for layer in found.layers)
    return Decoder(found.config, weights, StreamedFeedForward(file, weights, kernels, pinned, 1 << 16, 3), kernels)


def logits_of(decoder: Decoder, pieces: list[list[int]]) -> np.ndarray:
    cache = KVCache(decoder.config, 64)
    rows = [decoder.logits(decoder.forward(piece, cache)) for piece in pieces]
    decoder.feed_forward.close()
    return np.concatenate(rows)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_logits_agree_with_transformers(kind: str, half: bool, checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    import torch
    import transformers

    from engine.pack import pack

    folder = checkpoint(kind, half)
    reference = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        expected = reference(torch.tensor([TOKENS]), past_key_values=half_cache(), use_cache=True).logits[0].numpy()
    source = folder
    pack(source, tmp_path / "a.pack", "f16" if half else None)
    found = logits_of(make_decoder(tmp_path / "a.pack"), [TOKENS])
    if half:
        assert np.abs(found - expected).max() < 1e-3
    else:  # eight-bit weights of a float checkpoint: near, not equal
        assert np.abs(found - expected).mean() < 0.1 * np.abs(expected).mean()
    assert np.abs(expected).max() > 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_one_pass_and_token_by_token_give_the_same_logits(kind: str, packed: Callable[..., Path]) -> None:
    whole = logits_of(make_decoder(packed(kind)), [TOKENS])
    single = logits_of(make_decoder(packed(kind)), [[token] for token in TOKENS])
    assert np.array_equal(whole, single)


@pytest.mark.parametrize("share", [0.0, 0.5])
@pytest.mark.parametrize("kind", KINDS)
def test_streamed_layers_give_the_same_logits_as_resident_ones(kind: str, share: float, packed: Callable[..., Path]) -> None:
    resident = logits_of(make_decoder(packed(kind)), [TOKENS, [5], [6]])
    streamed = logits_of(make_decoder(packed(kind), share), [TOKENS, [5], [6]])
    assert np.array_equal(resident, streamed)


@pytest.mark.parametrize("kind", KINDS)
def test_one_native_call_gives_the_bits_of_its_steps(kind: str, packed: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = logits_of(make_decoder(packed(kind), 0.5), [TOKENS, [5], [6]])
    monkeypatch.setattr("engine.decoder.native_layers", lambda *_: None)
    assert np.array_equal(whole, logits_of(make_decoder(packed(kind), 0.5), [TOKENS, [5], [6]]))


def test_values_beyond_half_floats_are_kept_as_the_largest(packed: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    held = []
    for _ in range(2):
        decoder, cache = make_decoder(packed("qwen2"), value_bias=1e6), KVCache(manifest.load(packed("qwen2")).config, 64)
        decoder.forward(TOKENS, cache)
        decoder.feed_forward.close()
        held.append(cache)
        monkeypatch.setattr("engine.decoder.native_layers", lambda *_: None)
    for whole, steps in ((held[0].keys, held[1].keys), (held[0].values, held[1].values)):
        assert np.array_equal(whole.view(np.uint16), steps.view(np.uint16))
    assert (held[0].values[0, :, : len(TOKENS)] == 65504.0).all()


@pytest.mark.parametrize("format", ["q4", "q8"])
def test_the_native_library_and_its_twin_agree_on_a_whole_model(format: str, packed: Callable[..., Path]) -> None:
    pack = packed("llama", False, format)
    native, twin = (logits_of(make_decoder(pack, 0.5, prefer), [TOKENS]) for prefer in ("native", "twin"))
    # a last bit more or less in an activation can round its eight-bit value to the neighbour
    assert np.abs(native - twin).mean() < 0.01 * np.abs(twin).mean()


@pytest.mark.parametrize("prefer", ["native", "twin"])
def test_attention_sees_no_later_position(prefer: Literal["native", "twin"]) -> None:
    random = np.random.default_rng(0)
    query = random.standard_normal((3, 4, 8)).astype(np.float32)
    keys, values = (random.standard_normal((2, 5, 8)).astype(np.float16) for _ in range(2))
    attention = kernel_library.load(prefer).attention
    before = attention(query, keys, values)
    keys[:, 4], values[:, 4] = 9.0, 9.0  # only the last of the three queries may see position 4
    after = attention(query, keys, values)
    assert np.array_equal(before[:2], after[:2])
    assert not np.allclose(before[2], after[2])
