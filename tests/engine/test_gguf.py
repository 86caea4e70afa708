from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter

from engine import manifest
from engine.errors import UnknownArchitecture, UnusableSource
from engine.gguf import GgufFile
from engine.pack import pack
from engine.source import open_source
from tests.engine.families import half_cache
from tests.engine.gguf_files import ARCHITECTURES, write_gguf
from tests.engine.test_decoder import TOKENS, logits_of, make_decoder


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("quant", [GGMLQuantizationType.F16, GGMLQuantizationType.Q8_0, GGMLQuantizationType.Q5_0])
def test_a_gguf_file_gives_the_logits_of_the_weights_it_holds(kind: str, quant: GGMLQuantizationType, tmp_path: Path) -> None:
    import torch

    model = write_gguf(tmp_path / "a.gguf", kind, quant)
    with torch.no_grad():
        expected = model(torch.tensor([TOKENS]), past_key_values=half_cache(), use_cache=True).logits[0].numpy()
    packed = pack(tmp_path / "a.gguf", tmp_path / "a.pack")
    found = logits_of(make_decoder(tmp_path / "a.pack"), [TOKENS])
    if quant is GGMLQuantizationType.F16:
        assert np.abs(found - expected).max() < 1e-3
    else:  # activations are rounded to eight bits
        assert np.abs(found - expected).mean() < 0.04 * np.abs(expected).mean()
    assert packed.layers[0].part("down").format == quant.name.lower()


def test_one_matrix_for_query_key_and_value_gives_what_three_give(tmp_path: Path) -> None:
    found = []
    for fused in (False, True):
        write_gguf(tmp_path / "a.gguf", "phi", GGMLQuantizationType.Q8_0, fused)
        pack(tmp_path / "a.gguf", tmp_path / "a.pack")
        found.append(logits_of(make_decoder(tmp_path / "a.pack"), [TOKENS]))
    assert np.array_equal(*found)


def test_quantised_rows_are_taken_over_to_the_bit(tmp_path: Path) -> None:
    write_gguf(tmp_path / "a.gguf", "qwen2", GGMLQuantizationType.Q4_1)
    pack(tmp_path / "a.gguf", tmp_path / "a.pack")
    source = open_source(tmp_path / "a.gguf")
    from safetensors.numpy import load_file

    resident = load_file(tmp_path / "a.pack" / manifest.RESIDENT)
    for name in ("layer.1.query.weight", "embedding.weight"):
        assert np.array_equal(resident[name], source.read(name).data)


def test_metadata_and_tensors_are_read_as_the_reference_reads_them(tmp_path: Path) -> None:
    write_gguf(tmp_path / "a.gguf", "llama", GGMLQuantizationType.Q4_0)
    ours, theirs = GgufFile(tmp_path / "a.gguf"), GGUFReader(tmp_path / "a.gguf")
    assert ours.metadata == {name: field.contents() for name, field in theirs.fields.items() if not name.startswith("GGUF.")}
    for tensor in theirs.tensors:
        assert ours.read(tensor.name).tobytes() == tensor.data.tobytes()


def test_a_file_that_is_cut_anywhere_is_refused(tmp_path: Path) -> None:
    write_gguf(tmp_path / "a.gguf", "llama", GGMLQuantizationType.Q4_0)
    data = (tmp_path / "a.gguf").read_bytes()
    for length in (0, 3, 10, 40, 200, 2000, len(data) // 2, len(data) - 1):
        (tmp_path / "b.gguf").write_bytes(data[:length])
        with pytest.raises(UnusableSource):
            GgufFile(tmp_path / "b.gguf")


def test_a_scale_that_is_no_number_is_refused(tmp_path: Path) -> None:
    write_gguf(tmp_path / "a.gguf", "qwen2", GGMLQuantizationType.Q8_0)
    place = GgufFile(tmp_path / "a.gguf").tensors["blk.2.ffn_down.weight"]
    data = bytearray((tmp_path / "a.gguf").read_bytes())
    data[place.offset + place.size - 34 : place.offset + place.size - 32] = np.array([np.nan], "<f2").tobytes()
    (tmp_path / "a.gguf").write_bytes(data)
    with pytest.raises(UnusableSource, match=r"layer\.2\.down.*NaN"):
        pack(tmp_path / "a.gguf", tmp_path / "a.pack")
    assert not (tmp_path / "a.pack").exists()


def test_damaged_counts_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF" + (3).to_bytes(4, "little") + (2**60).to_bytes(8, "little") * 2)
    with pytest.raises(UnusableSource, match="claims"):
        GgufFile(tmp_path / "a.gguf")


def test_another_architecture_is_named(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "a.gguf", "mamba")
    writer.add_tensor("x", np.zeros(32, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(UnknownArchitecture, match="mamba"):
        open_source(tmp_path / "a.gguf")


def test_a_quantised_file_takes_no_format(tmp_path: Path) -> None:
    write_gguf(tmp_path / "a.gguf", "llama", GGMLQuantizationType.Q8_0)
    with pytest.raises(UnusableSource, match="already quantised"):
        pack(tmp_path / "a.gguf", tmp_path / "a.pack", "q4")
