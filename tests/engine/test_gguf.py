from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.quants import quantize as reference_quantize

from engine import manifest
from engine.errors import UnknownArchitecture, UnusableSource
from engine.formats import dequantize
from engine.gguf import GgufFile
from engine.pack import pack
from engine.source import open_source
from tests.engine.families import make_model
from tests.engine.test_decoder import TOKENS, logits_of, make_decoder

PARTS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "embed_tokens": "token_embd",
    "lm_head": "output",
    "norm": "output_norm",
}


def gguf_name(name: str) -> str:
    stem, kind = name.removeprefix("model.").rsplit(".", 1)
    if stem.startswith("layers."):
        _, number, part = stem.split(".", 2)
        return f"blk.{number}.{PARTS[part]}.{kind}"
    return f"{PARTS[stem]}.{kind}"


def to_pairs(matrix: np.ndarray, heads: int) -> np.ndarray:
    """The order of Llama's query and key rows in GGUF files."""
    return matrix.reshape(heads, 2, -1, matrix.shape[1]).swapaxes(1, 2).reshape(matrix.shape)


def write_gguf(path: Path, kind: str, quant: GGMLQuantizationType) -> Any:
    """A seeded model as a GGUF file, written by the reference implementation; returns the model with the weights that the file holds."""
    import torch

    model = make_model(kind)
    config = model.config
    writer = GGUFWriter(path, kind)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_string("general.license", "apache-2.0")
    tokens = [f"t{number}" for number in range(config.vocab_size)]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * len(tokens))
    writer.add_token_merges(["t 1"])
    writer.add_eos_token_id(3)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        values = tensor.float().numpy()
        if values.ndim == 2:
            data = reference_quantize(values, quant)
            file = dequantize(quant.name.lower(), np.asarray(data).view(np.uint8), values.shape[1])
            tensor.copy_(torch.from_numpy(file))
            turned = kind == "llama" and ("q_proj" in name or "k_proj" in name)
            heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
            data = to_pairs(data, heads) if turned else data
            writer.add_tensor(gguf_name(name), data, raw_dtype=quant)
        else:
            writer.add_tensor(gguf_name(name), values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("quant", [GGMLQuantizationType.F16, GGMLQuantizationType.Q8_0, GGMLQuantizationType.Q5_0])
def test_a_gguf_file_gives_the_logits_of_the_weights_it_holds(kind: str, quant: GGMLQuantizationType, tmp_path: Path) -> None:
    import torch

    model = write_gguf(tmp_path / "a.gguf", kind, quant)
    with torch.no_grad():
        expected = model(torch.tensor([TOKENS])).logits[0].numpy()
    packed = pack(tmp_path / "a.gguf", tmp_path / "a.pack")
    found = logits_of(make_decoder(tmp_path / "a.pack"), [TOKENS])
    if quant is GGMLQuantizationType.F16:
        assert np.abs(found - expected).max() < 1e-3
    else:  # activations are rounded to eight bits
        assert np.abs(found - expected).mean() < 0.04 * np.abs(expected).mean()
    assert packed.layers[0].part("down").format == quant.name.lower()


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
