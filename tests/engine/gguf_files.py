"""Seeded models as GGUF files, written by the reference implementation with the names and the order of rows that converters give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from gguf import MODEL_ARCH, GGMLQuantizationType, GGUFWriter, get_tensor_name_map
from gguf.quants import quantize as reference_quantize

from engine.formats import dequantize
from tests.engine.families import SPECIALS, make_model, write_tokenizer

ARCHITECTURES = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "falcon": "falcon", "falcon-grouped": "falcon", "phi": "phi2"}
"""Kind of `families.py` -> architecture as GGUF files name it."""
_CONTROL = 3


def write_gguf(path: Path, kind: str, quant: GGMLQuantizationType, fused: bool = False) -> Any:
    """A seeded model as a GGUF file; returns the model with the weights that the file holds.

    `fused`: query, key and value as one matrix.
    """
    import torch

    model, architecture = make_model(kind), ARCHITECTURES[kind]
    tensors = {
        name: tensor for name, tensor in model.state_dict().items() if name != "lm_head.weight" or not model.config.tie_word_embeddings
    }
    writer = GGUFWriter(path, architecture)
    _add_configuration(writer, model.config, architecture)
    _add_tokenizer(writer, path.parent)
    names = get_tensor_name_map(MODEL_ARCH[architecture.upper()], model.config.num_hidden_layers)
    written: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        values = tensor.float().numpy()
        if values.ndim == 2:
            data = np.asarray(reference_quantize(values, quant)).view(np.uint8)
            tensor.copy_(torch.from_numpy(dequantize(quant.name.lower(), data, values.shape[1])))
            values = data
        stored = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert stored is not None, name
        written[stored] = _turned(name, values, kind, model.config)
    for name, values in (_fused(written, model.config.num_hidden_layers) if fused else written).items():
        writer.add_tensor(name, values, raw_dtype=quant if values.dtype == np.uint8 else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def _add_configuration(writer: GGUFWriter, config: Any, architecture: str) -> None:
    width = config.hidden_size // config.num_attention_heads
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_string("general.license", "apache-2.0")
    if architecture == "falcon":
        writer.add_head_count_kv(config.num_kv_heads if config.new_decoder_architecture else 1)
        writer.add_feed_forward_length(config.ffn_hidden_size)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        return
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_feed_forward_length(config.intermediate_size)
    if architecture == "phi2":
        writer.add_layer_norm_eps(config.layer_norm_eps)
        writer.add_rope_dimension_count(int(config.rope_parameters["partial_rotary_factor"] * width))
    else:
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if architecture == "qwen3":
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)


def _add_tokenizer(writer: GGUFWriter, folder: Path) -> None:
    write_tokenizer(folder)
    library = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    texts = {number: text for text, number in library["model"]["vocab"].items()} | {
        token["id"]: token["content"] for token in library["added_tokens"]
    }
    tokens = [texts.get(number, f"[unused {number}]") for number in range(272)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([_CONTROL if text in SPECIALS else 1 for text in tokens])
    writer.add_token_merges([" ".join(pair) for pair in library["model"]["merges"]])
    writer.add_eos_token_id(tokens.index("<|im_end|>"))


def _turned(name: str, values: np.ndarray, kind: str, config: Any) -> np.ndarray:
    """Llama's rotated rows stand as neighbouring pairs, Falcon's fused ones sorted into queries, keys and values."""
    if kind == "llama" and ("q_proj" in name or "k_proj" in name):
        heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
        return values.reshape(heads, 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
    if kind.startswith("falcon") and "query_key_value" in name:
        keys = config.num_kv_heads if config.new_decoder_architecture else 1
        width = config.hidden_size // config.num_attention_heads
        groups = values.reshape(keys, config.num_attention_heads // keys + 2, width, -1)
        parts = groups[:, :-2], groups[:, -2:-1], groups[:, -1:]
        return np.concatenate([part.reshape(-1, values.shape[1]) for part in parts])
    return values


def _fused(tensors: dict[str, np.ndarray], layers: int) -> dict[str, np.ndarray]:
    kept = dict(tensors)
    for number in range(layers):
        for kind in ("weight", "bias"):
            parts = [kept.pop(f"blk.{number}.attn_{part}.{kind}") for part in ("q", "k", "v")]
            kept[f"blk.{number}.attn_qkv.{kind}"] = np.concatenate(parts)
    return kept
