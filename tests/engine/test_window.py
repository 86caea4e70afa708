from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import kernels as kernel_library
from engine import manifest, tensors
from engine.errors import CorruptPack, EngineError
from engine.flash import BundleFile
from engine.weights import ResidentWeights
from engine.window import Window, WindowShape, make_window

NEURONS = 192
Prefer = Literal["native", "twin"]


def opened(pack: Path, prefer: Prefer = "native") -> tuple[BundleFile, ResidentWeights, kernel_library.Kernels]:
    found, kernels = manifest.load(pack), kernel_library.load(prefer)
    weights = ResidentWeights(pack, found, kernels)
    file = BundleFile(pack, found, [weights.checksums(number) for number in range(found.config.layers)], kernels)
    return file, weights, kernels


def window_of(pack: Path, shape: WindowShape, prefer: Prefer = "native", layer: int = 1) -> tuple[Window, BundleFile]:
    file, weights, kernels = opened(pack, prefer)
    return make_window(file, layer, shape, weights.vector(f"layer.{layer}.up.bias"), kernels), file


def bundles_of(pack: Path, layer: int = 1) -> np.ndarray:
    layout = manifest.load(pack).layers[layer]
    entry = tensors.read_header(pack / manifest.FFN)[f"layer.{layer}.ffn"]
    return tensors.read_bytes(pack / manifest.FFN, entry)[: layout.size].reshape(layout.neurons, layout.stride)


def damaged(pack: Path, folder: Path, layer: int, neuron: int) -> Path:
    """A copy of the pack with one bit of one bundle flipped."""
    shutil.copytree(pack, folder)
    layout = manifest.load(folder).layers[layer]
    place = tensors.read_header(folder / manifest.FFN)[f"layer.{layer}.ffn"].offset + neuron * layout.stride + 3
    data = bytearray((folder / manifest.FFN).read_bytes())
    data[place] ^= 1
    (folder / manifest.FFN).write_bytes(data)
    return folder


shapes = st.builds(
    lambda slots, pinned, gap, bundles, reads: WindowShape(
        slots, min(pinned, slots) if bundles else 0, gap, bundles, reads if bundles or reads == "runs" else "bundles"
    ),
    st.integers(1, NEURONS + 20),
    st.integers(0, 60),
    st.integers(0, 5),
    st.booleans(),
    st.sampled_from(["runs", "bundles", "halves"]),
)
passes = st.lists(st.sets(st.integers(0, NEURONS - 1), max_size=80), max_size=12)


@pytest.mark.parametrize("prefer", ["native", "twin"])
@settings(deadline=None, max_examples=40)
@given(shape=shapes, wanted=passes)
def test_a_window_holds_what_was_wanted_last_with_its_own_bytes_and_never_more_than_its_slots(
    prefer: Prefer, shape: WindowShape, wanted: list[set[int]], packed: Callable[..., Path]
) -> None:
    pack = packed("opt")
    window, file = window_of(pack, shape, prefer)
    width = window.rows.shape[1]
    bundles = bundles_of(pack)[:, -width:]
    for now, neurons in enumerate(wanted, start=1):
        firing = np.array(sorted(neurons), np.int64)
        before = window.neurons[: window.used].copy()
        fits = window.fetch(firing, now)
        window.wait()
        held = window.neurons[: window.used]
        assert window.used <= shape.slots
        if not fits:
            assert np.array_equal(held, before)
            assert len(np.setdiff1d(firing, np.arange(shape.pinned))) > shape.slots - shape.pinned
            continue
        known = held[held >= 0]
        assert len(set(known.tolist())) == len(known)
        assert set(firing.tolist()) <= set(known.tolist())
        assert np.array_equal(held[: shape.pinned], np.arange(shape.pinned))
        assert np.array_equal(window.rows[: window.used][held >= 0], bundles[known])
    window.close()
    file.close()


@settings(deadline=None, max_examples=30)
@given(shape=shapes, wanted=passes)
def test_the_native_window_and_numpys_hold_the_same_neurons_in_the_same_slots(
    shape: WindowShape, wanted: list[set[int]], packed: Callable[..., Path]
) -> None:
    (native, file), (twin, twins_file) = (window_of(packed("opt"), shape, prefer) for prefer in ("native", "twin"))
    for now, neurons in enumerate(wanted, start=1):
        firing = np.array(sorted(neurons), np.int64)
        assert native.fetch(firing, now) == twin.fetch(firing, now)
        native.wait()
        twin.wait()
        assert native.used == twin.used
        assert np.array_equal(native.neurons[: native.used], twin.neurons[: twin.used])
    assert file.counts.bytes == twins_file.counts.bytes
    native.close()
    file.close()
    twins_file.close()


@pytest.mark.parametrize("prefer", ["native", "twin"])
def test_a_small_gap_between_two_wanted_neurons_is_read_over_and_not_kept(prefer: Prefer, packed: Callable[..., Path]) -> None:
    window, file = window_of(packed("opt"), WindowShape(40, gap=3), prefer)
    window.fetch(np.array([10, 11, 14, 19]), 1)
    window.wait()
    assert window.neurons[: window.used].tolist() == [10, 11, 14, 19]
    assert file.counts.reads == 2 and file.counts.bytes == 6 * file.layers[1].stride
    assert np.array_equal(window.rows[:4], bundles_of(packed("opt"))[[10, 11, 14, 19]])
    window.close()
    file.close()


@pytest.mark.parametrize("prefer", ["native", "twin"])
def test_the_longest_unwanted_neurons_are_forgotten_first(prefer: Prefer, packed: Callable[..., Path]) -> None:
    window, file = window_of(packed("opt"), WindowShape(4, pinned=1), prefer)
    for now, neuron in enumerate([5, 6, 7, 5, 8], start=1):
        window.fetch(np.array([neuron]), now)
        window.wait()
    assert sorted(window.neurons[:4].tolist()) == [0, 5, 7, 8]
    window.close()
    file.close()


def test_bundles_and_halves_read_apart_bring_the_same_bytes_in_more_reads(packed: Callable[..., Path]) -> None:
    wanted, rows, reads = np.array([3, 4, 9]), [], []
    for way in ("runs", "bundles", "halves"):
        window, file = window_of(packed("opt"), WindowShape(8, reads=way))
        window.fetch(wanted, 1)
        window.wait()
        rows.append(window.rows[:3].copy())
        reads.append(file.counts.reads)
        window.close()
        file.close()
    assert np.array_equal(rows[0], rows[1]) and np.array_equal(rows[0], rows[2]) and reads == [2, 3, 6]


@pytest.mark.parametrize("prefer", ["native", "twin"])
def test_a_cleared_window_keeps_only_what_is_pinned_and_reads_the_rest_again(prefer: Prefer, packed: Callable[..., Path]) -> None:
    window, file = window_of(packed("opt"), WindowShape(9, pinned=2), prefer)
    for now in (1, 2):
        window.clear()
        assert window.used == 2
        window.fetch(np.array([1, 7, 8]), now)
        window.wait()
    assert file.counts.bytes == (2 + 2 * 2) * file.layers[1].stride
    window.close()
    file.close()


@pytest.mark.parametrize("prefer", ["native", "twin"])
def test_a_flipped_bit_is_found_when_its_neuron_is_first_read_and_the_window_stays_whole(
    prefer: Prefer, packed: Callable[..., Path], tmp_path: Path
) -> None:
    window, file = window_of(damaged(packed("opt"), tmp_path / "bad.pack", 1, 20), WindowShape(30), prefer)
    window.fetch(np.arange(10), 1)
    window.wait()
    with pytest.raises(CorruptPack, match="tile 20 of layer 1"):
        window.fetch(np.arange(15, 25), 2)
        window.wait()
    assert {*window.neurons[: window.used].tolist()} - {-1} == {*range(10)}
    assert window.fetch(np.arange(12), 3)
    window.wait()
    assert {*window.neurons[: window.used].tolist()} - {-1} == {*range(12)}
    window.close()
    file.close()


@pytest.mark.skipif(os.name == "nt", reason="Windows lets nobody write to a file that the engine holds open")
@pytest.mark.parametrize("prefer", ["native", "twin"])
def test_a_file_that_became_shorter_is_an_error_and_not_old_bytes(prefer: Prefer, packed: Callable[..., Path], tmp_path: Path) -> None:
    shutil.copytree(packed("opt"), tmp_path / "cut.pack")
    window, file = window_of(tmp_path / "cut.pack", WindowShape(30), prefer, layer=2)
    with (tmp_path / "cut.pack" / manifest.FFN).open("rb+") as short:
        short.truncate(file.offset(2) + 4 * file.layers[2].stride)
    with pytest.raises(EngineError):
        window.fetch(np.arange(10), 1)
        window.wait()
    assert {*window.neurons[: window.used].tolist()} <= {-1}
    window.close()
    file.close()


@pytest.mark.parametrize("format", ["f16", "q8", "q4"])
def test_the_native_window_computes_what_numpy_does(format: str, packed: Callable[..., Path]) -> None:
    pack, wanted = packed("opt", format == "f16", format), np.arange(0, NEURONS, 11)
    x = np.random.default_rng(0).standard_normal(64).astype(np.float32)
    sums = []
    for prefer in ("native", "twin"):
        window, file = window_of(pack, WindowShape(20), prefer)
        out = np.zeros(64, np.float32)
        window.fetch(wanted, 1)
        window.wait()
        window.apply(wanted, x, out)
        sums.append(out)
        window.close()
        file.close()
    assert np.abs(sums[0]).max() > 0.01
    assert np.abs(sums[0] - sums[1]).max() <= 1e-4 * np.abs(sums[1]).max()


@pytest.mark.parametrize("values", [{"slots": 0}, {"slots": 4, "pinned": 5}, {"slots": 4, "gap": -1}])
def test_a_window_that_cannot_be_is_refused(values: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="make no window"):
        WindowShape(**values)
