"""The native stream through whole passes of small models, with files that are damaged, cut short or gone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from engine import kernels as kernel_library
from engine import manifest, tensors
from engine.decoder import Decoder
from engine.errors import CorruptPack, EngineError
from engine.ffn import StreamedFeedForward
from engine.flash import BundleFile
from engine.kv import KVCache
from engine.native.library import Native
from engine.weights import ResidentWeights

TOKENS = [int(token) for token in np.random.default_rng(5).integers(0, 256, 70)]  # more than are worked on at once

pytestmark = pytest.mark.skipif(not isinstance(kernel_library.load(), Native), reason="the native library is not built")


@contextmanager
def decoder_of(pack: Path, pinned: int, run_bytes: int = 1, depth: int = 2) -> Iterator[Decoder]:
    found, kernels = manifest.load(pack), kernel_library.load()
    weights = ResidentWeights(pack, found, kernels)
    file = BundleFile(pack, found, [weights.checksums(number) for number in range(found.config.layers)], kernels)
    feed_forward = StreamedFeedForward(file, weights, kernels, (pinned,) * found.config.layers, run_bytes, depth)
    yield Decoder(found.config, weights, feed_forward, kernels)
    feed_forward.close()


def hidden_states(decoder: Decoder, pieces: list[list[int]]) -> np.ndarray:
    cache = KVCache(decoder.config, 128)
    return np.concatenate([decoder.forward(piece, cache) for piece in pieces])


def damaged(pack: Path, tmp_path: Path, change: Callable[[bytearray, int], None]) -> Path:
    """A copy of the pack whose tiles `change` altered; it gets the file and where layer 1 begins."""
    copy = Path(shutil.copytree(pack, tmp_path / "copy.pack"))
    data = bytearray((copy / manifest.FFN).read_bytes())
    change(data, tensors.read_header(copy / manifest.FFN)["layer.1.ffn"].offset)
    (copy / manifest.FFN).write_bytes(data)
    return copy


@pytest.mark.parametrize("format", ["f16", "q8"])
@pytest.mark.parametrize(("run_bytes", "depth"), [(1, 1), (1, 2), (1 << 20, 3)])
def test_streamed_passes_have_the_bits_of_resident_ones(run_bytes: int, depth: int, format: str, packed: Callable[..., Path]) -> None:
    pack = packed("llama", True, format)
    tiles = manifest.load(pack).layers[0].tiles
    pieces = [TOKENS, [5], [6, 7, 8], [9]]
    with decoder_of(pack, tiles) as resident:
        expected = hidden_states(resident, pieces)
    for pinned in (0, 1):
        with decoder_of(pack, pinned, run_bytes, depth) as streamed:
            assert np.array_equal(hidden_states(streamed, pieces), expected)


def test_every_pass_reads_the_tiles_that_are_not_pinned(packed: Callable[..., Path]) -> None:
    pack = packed("llama")
    layers = manifest.load(pack).layers
    with decoder_of(pack, 1, depth=1) as decoder:
        hidden_states(decoder, [[1], [2], [3], [4]])
        counts = decoder.feed_forward.take_counts()
    a_pass = sum(layer.size - layer.stride for layer in layers)
    assert 4 * a_pass <= counts.bytes <= 4 * a_pass + layers[0].stride  # at most one buffer ahead
    assert counts.stall_s >= 0


def test_a_flipped_byte_names_its_tile_each_time_the_question_comes_again(packed: Callable[..., Path], tmp_path: Path) -> None:
    def flip(data: bytearray, layer_1: int) -> None:
        data[layer_1 + 7] ^= 1

    with decoder_of(damaged(packed("llama"), tmp_path, flip), 0) as decoder:
        for _ in range(2):
            with pytest.raises(CorruptPack, match=r"tile 0 of layer 1 of the pack copy\.pack was altered; pack the model again"):
                hidden_states(decoder, [[1]])


@pytest.mark.skipif(os.name == "nt", reason="Windows lets nobody write to a file that the engine holds open")
def test_a_file_that_was_cut_short_is_named(packed: Callable[..., Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(packed("llama"), tmp_path / "copy.pack"))
    with decoder_of(copy, 0) as decoder:
        with (copy / manifest.FFN).open("rb+") as file:
            file.truncate(4096)
        with pytest.raises(CorruptPack, match="cut short"):
            hidden_states(decoder, [[1], [2], [3]])


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="finds the open file among the process's descriptors")
def test_after_a_read_error_in_mid_answer_the_next_question_is_answered(packed: Callable[..., Path]) -> None:
    pack = packed("llama")
    with decoder_of(pack, manifest.load(pack).layers[0].tiles) as resident:
        expected = hidden_states(resident, [[1]])
    with decoder_of(pack, 0, depth=1) as decoder:
        hidden_states(decoder, [[1]])
        open_file = next(
            int(entry.name) for entry in Path("/proc/self/fd").iterdir() if os.path.realpath(entry) == str(pack / manifest.FFN)
        )
        good, unreadable = os.dup(open_file), os.open(os.devnull, os.O_WRONLY)
        os.dup2(unreadable, open_file)
        with pytest.raises(EngineError, match=r"the disk could not read ffn\.safetensors"):
            hidden_states(decoder, [[1], [2]])
        os.dup2(good, open_file)
        assert np.array_equal(hidden_states(decoder, [[1]]), expected)
        os.close(good)
        os.close(unreadable)


@pytest.mark.skipif(os.name == "nt", reason="Windows lets nobody write to a file that the engine holds open")
def test_a_repaired_tile_is_read_again(packed: Callable[..., Path], tmp_path: Path) -> None:
    good = (packed("llama") / manifest.FFN).read_bytes()

    def flip(data: bytearray, layer_1: int) -> None:
        data[layer_1 + 7] ^= 1

    copy = damaged(packed("llama"), tmp_path, flip)
    with decoder_of(copy, 0) as decoder:
        with pytest.raises(CorruptPack):
            hidden_states(decoder, [[1]])
        with (copy / manifest.FFN).open("rb+") as file:  # the same file, which the stream holds open
            file.write(good)
        with decoder_of(packed("llama"), 0) as sound:
            assert np.array_equal(hidden_states(decoder, [[1]]), hidden_states(sound, [[1]]))


def test_rows_of_an_embedding_on_flash_are_those_in_memory(packed: Callable[..., Path]) -> None:
    pack = packed("llama", True, "q8")
    found, kernels = manifest.load(pack), kernel_library.load()
    held = ResidentWeights(pack, found, kernels)
    on_flash = ResidentWeights(pack, found, kernels, frozenset({"embedding.weight"}))
    numbers = [7, 0, 255, 7, 3]
    assert np.array_equal(on_flash.rows("embedding.weight", numbers), held.rows("embedding.weight", numbers))
    counts = on_flash.take_counts()
    assert counts.reads == 4 and counts.bytes == 4 * held.matrix("embedding.weight").data.shape[1] and counts.stall_s > 0
    on_flash.close()


def test_a_flipped_byte_in_an_embedding_on_flash_is_found_when_the_model_is_loaded(packed: Callable[..., Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(packed("llama"), tmp_path / "copy.pack"))
    path = copy / manifest.RESIDENT
    data = bytearray(path.read_bytes())
    data[tensors.read_header(path)["embedding.weight"].offset + 100] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptPack, match=r"embedding\.weight .* was altered"):
        ResidentWeights(copy, manifest.load(copy), kernel_library.load(), frozenset({"embedding.weight"}))
