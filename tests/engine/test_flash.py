from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from engine import kernels as kernel_library
from engine import manifest, tensors
from engine.errors import CorruptPack
from engine.flash import BundleFile, BundleStream, Run, cold_runs
from engine.kernels import aligned_buffer
from engine.weights import ResidentWeights


def opened(pack: Path) -> BundleFile:
    found, kernels = manifest.load(pack), kernel_library.load()
    weights = ResidentWeights(pack, found, kernels)
    return BundleFile(pack, found, [weights.checksums(number) for number in range(found.config.layers)], kernels)


@pytest.fixture
def file(packed: Callable[..., Path]) -> Iterator[BundleFile]:
    made = opened(packed("llama"))
    yield made
    made.close()


def tiles_of(pack: Path, layer: int) -> np.ndarray:
    entry = tensors.read_header(pack / manifest.FFN)[f"layer.{layer}.ffn"]
    layout = manifest.load(pack).layers[layer]
    return tensors.read_bytes(pack / manifest.FFN, entry)[: layout.size].reshape(layout.tiles, layout.stride)


def test_runs_cover_every_tile_behind_the_pinned_ones_once(file: BundleFile) -> None:
    tiles = [layer.tiles for layer in file.layers]
    runs = cold_runs(file.layers, (1, 0, tiles[2]), most_bytes=1)
    covered = [(run.layer, tile) for run in runs for tile in range(run.first, run.first + run.tiles)]
    assert covered == [(0, tile) for tile in range(1, tiles[0])] + [(1, tile) for tile in range(tiles[1])]


def test_the_stream_brings_the_files_tiles_round_after_round(file: BundleFile, packed: Callable[..., Path]) -> None:
    runs = cold_runs(file.layers, (0, 2, 1), most_bytes=1)
    stream = BundleStream(file, runs, depth=2)
    expected = [tiles_of(packed("llama"), number) for number in range(3)]
    for _ in range(3):
        for layer, first in ((0, 0), (1, 2), (2, 1)):
            brought = [tiles.copy() for _, tiles in stream.layer(layer)]
            assert np.array_equal(np.concatenate(brought) if brought else expected[layer][:0], expected[layer][first:])
    stream.close()


def test_reads_are_counted_in_bytes(file: BundleFile) -> None:
    stride = file.layers[0].stride
    file.read_run(Run(0, 1, 1), aligned_buffer(stride))
    assert file.counts.bytes == stride and file.counts.reads >= 1


def test_a_damaged_tile_stops_the_stream_and_every_later_question(packed: Callable[..., Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(packed("llama"), tmp_path / "copy.pack"))
    data = bytearray((copy / manifest.FFN).read_bytes())
    data[tensors.read_header(copy / manifest.FFN)["layer.1.ffn"].offset + 7] ^= 1
    (copy / manifest.FFN).write_bytes(data)
    file = opened(copy)
    stream = BundleStream(file, cold_runs(file.layers, (0, 0, 0), 1), depth=2)
    assert len(list(stream.layer(0))) == file.layers[0].tiles
    for _ in range(2):
        with pytest.raises(CorruptPack, match="tile 0 of layer 1"):
            list(stream.layer(1))
    stream.close()
    file.close()
