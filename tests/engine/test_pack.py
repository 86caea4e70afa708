from __future__ import annotations

import errno
import json
import shutil
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from transformers import LlamaConfig, OPTConfig

from engine import manifest
from engine import pack as packing
from engine.errors import CorruptPack, DiskFull, EngineError, Stopped, UnknownArchitecture, UnusableSource
from engine.formats import dequantize
from engine.huggingface import config_from_hugging_face
from engine.names import HUGGING_FACE_NAMES, Names
from engine.source import describe, expected_shapes, open_source
from tests.engine.families import KINDS, make_model, write_tokenizer

STORED = {
    "up": ("mlp.up_proj.weight", "fc1.weight", "dense_h_to_4h.weight"),
    "gate": ("mlp.gate_proj.weight",),
    "down": ("mlp.down_proj.weight", "fc2.weight", "dense_4h_to_h.weight"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_packed_is_read_back_to_the_bit(kind: str, checkpoint: Callable[..., Path], packed: Callable[..., Path]) -> None:
    stored = load_file(checkpoint(kind, True) / "model.safetensors")
    source, found = open_source(checkpoint(kind, True)), manifest.load(packed(kind))
    tiles = load_file(packed(kind) / manifest.FFN)
    for number, layer in enumerate(found.layers):
        data = tiles[f"layer.{number}.ffn"][: layer.size].reshape(layer.tiles, layer.stride)
        for part in layer.parts:
            piece = np.ascontiguousarray(data[:, part.offset : part.offset + part.size]).view(np.float16)
            expected = next(stored[name] for name in stored if name.endswith(STORED[part.name]) and f".{number}." in name)
            if part.name == "down" and layer.axis == "output":
                matrix = piece.reshape(layer.tiles, part.rows, part.columns).swapaxes(0, 1).reshape(part.rows, -1)[:, : layer.neurons]
            else:
                matrix = piece.reshape(-1, part.columns)[: layer.neurons]
                expected = expected.T if part.name == "down" else expected
            assert np.array_equal(matrix, expected)
    resident = load_file(packed(kind) / manifest.RESIDENT)
    for name, entry in found.tensors.items():
        if name in source.shapes and entry.format == "f16":
            assert resident[name].tobytes() == source.read(name).data.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_tiles_begin_on_sectors_and_their_file_on_a_page(kind: str, packed: Callable[..., Path]) -> None:
    from engine.tensors import read_header

    entries = read_header(packed(kind) / manifest.FFN)
    assert all(entry.offset % 4096 == 0 for entry in entries.values())
    assert all(layer.stride % 512 == 0 for layer in manifest.load(packed(kind)).layers)


def test_a_relu_neuron_is_one_run_of_bytes_with_its_halves_on_sectors(packed: Callable[..., Path]) -> None:
    layer = manifest.load(packed("opt")).layers[0]
    assert layer.tile_neurons == 1 and layer.axis == "neuron"
    assert all(part.offset % 512 == 0 for part in layer.parts)


def test_eight_bit_packs_stay_near_the_floats(checkpoint: Callable[..., Path], packed: Callable[..., Path]) -> None:
    found = manifest.load(packed("llama", False, "q8"))
    source = open_source(checkpoint("llama"))
    entry = found.tensors["layer.0.query.weight"]
    resident = load_file(packed("llama", False, "q8") / manifest.RESIDENT)
    values = dequantize(entry.format, resident["layer.0.query.weight"], entry.columns)
    assert entry.format == "q8_0"
    assert np.abs(values - source.read("layer.0.query.weight").data.view("<f4")).max() < 0.005


def test_progress_rises_to_one_and_a_stop_leaves_nothing(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    shares: list[float] = []
    packing.pack(checkpoint("qwen2"), tmp_path / "a.pack", on_progress=lambda share, stage: shares.append(share))
    assert shares == sorted(shares) and shares[-1] == 1.0
    with pytest.raises(Stopped):
        packing.pack(checkpoint("qwen2"), tmp_path / "b.pack", should_stop=lambda: True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pack"]


def wide_checkpoint(folder: Path, kind: str) -> tuple[Path, int]:
    """A checkpoint whose embedding is several times a layer, and the bytes of a layer in it."""
    sizes = {"hidden_size": 768, "num_hidden_layers": 2, "num_attention_heads": 12, "vocab_size": 40_000}
    wide = {"intermediate_size": 3072} if kind == "llama" else {"ffn_dim": 3072, "word_embed_proj_dim": 768}
    config: Any = (LlamaConfig if kind == "llama" else OPTConfig)(**sizes, **wide)
    config.save_pretrained(folder)
    write_tokenizer(folder)
    random, arrays = np.random.default_rng(0), {}
    for name, shape in expected_shapes(config_from_hugging_face(json.loads((folder / "config.json").read_text("utf-8")))).items():
        arrays[stored_name(name, HUGGING_FACE_NAMES[kind])] = random.standard_normal(shape, np.float32).astype(np.float16)
    save_file(arrays, folder / "model.safetensors")
    return folder, sum(array.nbytes for name, array in arrays.items() if ".layers.1." in name)


def stored_name(canonical: str, names: Names) -> str:
    """The name in a checkpoint of a tensor by its name in the engine."""
    stem, _, kind = canonical.rpartition(".")
    outer = {wanted: stored for stored, wanted in names.outer.items()}
    number = stem.split(".")[1] if stem not in outer else ""
    layer = {wanted: stored for stored, wanted in names.layer.items()}
    return f"{outer[stem] if stem in outer else layer[stem.split('.')[2]].format(number)}.{kind}"


@pytest.mark.parametrize(("kind", "format"), [("llama", "q4"), ("opt", "q8")])
def test_packing_holds_two_layers_at_most(kind: str, format: Any, checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    folder, layer_bytes = wide_checkpoint(tmp_path / "wide", kind)
    packing.pack(checkpoint(kind), tmp_path / "small.pack", format)  # what is imported on the way stays in memory
    tracemalloc.start()
    try:
        packing.pack(folder, tmp_path / "a.pack", format)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * layer_bytes
    assert (folder / "model.safetensors").stat().st_size > 4 * layer_bytes


def test_packing_again_replaces_the_pack(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    packing.pack(checkpoint("opt"), tmp_path / "a.pack", "q8")
    packing.pack(checkpoint("opt"), tmp_path / "a.pack", "f16")
    assert manifest.load(tmp_path / "a.pack").format == "f16"
    assert [path.name for path in tmp_path.iterdir()] == ["a.pack"]


def test_a_folder_that_is_no_pack_is_not_overwritten(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "letter.txt").write_text("keep me", "utf-8")
    with pytest.raises(EngineError, match="not a pack"):
        packing.pack(checkpoint("opt"), tmp_path / "precious")
    assert (tmp_path / "precious" / "letter.txt").exists()


def test_too_little_free_space_is_found_before_anything_is_written(
    checkpoint: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real._replace(free=1000))
    with pytest.raises(DiskFull) as caught:
        packing.pack(checkpoint("opt"), tmp_path / "a.pack")
    assert caught.value.free_bytes == 1000 and caught.value.needed_bytes > 1000
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_while_packing_leaves_nothing(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="file size limits are a POSIX facility")
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(DiskFull) as caught:
            packing.pack(checkpoint("opt"), tmp_path / "a.pack")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert isinstance(caught.value.__cause__, OSError) and caught.value.__cause__.errno == errno.EFBIG
    assert list(tmp_path.iterdir()) == []


def copy_of(pack: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pack, tmp_path / "copy.pack"))


@pytest.mark.parametrize("name", [manifest.FFN, manifest.RESIDENT, manifest.TOKENIZER])
def test_a_pack_that_is_cut_short_is_refused(name: str, packed: Callable[..., Path], tmp_path: Path) -> None:
    pack = copy_of(packed("llama"), tmp_path)
    data = (pack / name).read_bytes()
    (pack / name).write_bytes(data[: len(data) - 100])
    with pytest.raises(CorruptPack, match=name):
        manifest.load(pack)


@pytest.mark.parametrize("name", [manifest.FFN, manifest.RESIDENT, manifest.TOKENIZER])
def test_a_pack_that_lacks_a_file_is_refused(name: str, packed: Callable[..., Path], tmp_path: Path) -> None:
    pack = copy_of(packed("llama"), tmp_path)
    (pack / name).unlink()
    with pytest.raises(CorruptPack, match=f"{name} of the pack copy.pack has 0 bytes"):
        manifest.load(pack)


def alter_manifest(pack: Path, **changes: Any) -> None:
    value = json.loads((pack / manifest.MANIFEST).read_text("utf-8"))
    (pack / manifest.MANIFEST).write_text(json.dumps({**value, **changes}), "utf-8")


def test_an_altered_a_missing_and_a_newer_manifest_are_refused(packed: Callable[..., Path], tmp_path: Path) -> None:
    pack = copy_of(packed("llama"), tmp_path)
    alter_manifest(pack, name="other")
    with pytest.raises(CorruptPack, match="altered"):
        manifest.load(pack)
    alter_manifest(pack, layout=99)
    with pytest.raises(CorruptPack, match="layout 99"):
        manifest.load(pack)
    value = json.loads((packed("llama") / manifest.MANIFEST).read_text("utf-8")) | {"colour": "blue"}
    value.pop("crc32")
    alter_manifest(pack, **value, crc32=manifest._checksum(value))
    with pytest.raises(CorruptPack, match=r"not one of layout 2 .*colour"):
        manifest.load(pack)
    (pack / manifest.MANIFEST).unlink()
    with pytest.raises(CorruptPack, match="missing"):
        manifest.load(pack)
    with pytest.raises(CorruptPack, match="no pack"):
        manifest.load(tmp_path / "nowhere")


@pytest.mark.parametrize("kind", ["llama", "opt"])
def test_a_pack_of_the_first_layout_is_still_read(kind: str, packed: Callable[..., Path], tmp_path: Path) -> None:
    pack = copy_of(packed(kind), tmp_path)
    value = json.loads((pack / manifest.MANIFEST).read_text("utf-8")) | {"layout": 1}
    for name in ("activation", "rotary_dim", "parallel", "head_norm"):
        value["config"].pop(name)
    for layer in value["layers"]:
        layer.pop("activation")
    value.pop("crc32")
    alter_manifest(pack, **value, crc32=manifest._checksum(value))
    assert replace(manifest.load(pack), layout=manifest.LAYOUT_VERSION) == manifest.load(packed(kind))


def altered_checkpoint(folder: Path, tmp_path: Path, **changes: Any) -> Path:
    copy = Path(shutil.copytree(folder, tmp_path / "checkpoint"))
    value = json.loads((copy / "config.json").read_text("utf-8"))
    (copy / "config.json").write_text(json.dumps({**value, **changes}), "utf-8")
    return copy


def test_an_unknown_architecture_is_named(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UnknownArchitecture, match="mamba"):
        open_source(altered_checkpoint(checkpoint("llama"), tmp_path, model_type="mamba"))


def test_a_variant_that_is_not_computed_is_refused(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UnknownArchitecture, match="softplus"):
        open_source(altered_checkpoint(checkpoint("opt"), tmp_path, activation_function="softplus"))


def test_a_checkpoint_without_tokenizer_is_refused(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    copy = altered_checkpoint(checkpoint("llama"), tmp_path)
    (copy / "tokenizer.json").unlink()
    with pytest.raises(UnusableSource, match=r"tokenizer\.json"):
        packing.pack(copy, tmp_path / "a.pack")
    assert not (tmp_path / "a.pack").exists()


def test_a_checkpoint_that_does_not_match_its_configuration_is_refused(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UnusableSource, match="shape"):
        open_source(altered_checkpoint(checkpoint("llama"), tmp_path, intermediate_size=320))


def test_a_weights_file_that_is_cut_short_is_refused(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    copy = altered_checkpoint(checkpoint("llama"), tmp_path)
    data = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(data[:-10])
    with pytest.raises(UnusableSource, match="cut short"):
        open_source(copy)


def test_weights_that_are_no_numbers_are_refused(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    copy = altered_checkpoint(checkpoint("llama"), tmp_path)
    data = bytearray((copy / "model.safetensors").read_bytes())
    data[-4:] = np.array([np.nan], "<f4").tobytes()
    (copy / "model.safetensors").write_bytes(data)
    with pytest.raises(UnusableSource, match="NaN"):
        packing.pack(copy, tmp_path / "a.pack")
    assert not (tmp_path / "a.pack").exists()


def test_a_sharded_checkpoint_is_read_through_its_index(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    make_model("qwen2").save_pretrained(tmp_path / "sharded", max_shard_size="150KB")
    write_tokenizer(tmp_path / "sharded")
    sharded, whole = open_source(tmp_path / "sharded"), open_source(checkpoint("qwen2"))
    assert len(sharded.files()) > 1
    assert sharded.shapes == whole.shapes
    assert np.array_equal(sharded.read("layer.2.down.weight").data, whole.read("layer.2.down.weight").data)
    sharded.files()[0].unlink()
    with pytest.raises(UnusableSource, match="lacks"):
        open_source(tmp_path / "sharded")


def test_a_description_gives_size_licence_and_least_memory(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    copy = altered_checkpoint(checkpoint("llama"), tmp_path)
    (copy / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\n# A model\n", "utf-8")
    summary = describe(copy)
    assert summary.architecture == "llama" and summary.licence == "apache-2.0" and summary.context == 640
    assert summary.parameters == sum(array.size for array in load_file(copy / "model.safetensors").values())
    assert summary.least_bytes > 40_000_000


def test_what_is_no_checkpoint_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear", "utf-8")
    for path, words in ((tmp_path / "letter.txt", "neither"), (tmp_path / "gone", "no checkpoint"), (tmp_path, r"config\.json")):
        with pytest.raises(UnusableSource, match=words):
            open_source(path)
