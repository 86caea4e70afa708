from __future__ import annotations

import numpy as np
import pytest

from engine.architecture import rope_frequencies
from engine.errors import UnknownArchitecture, UnusableSource
from engine.huggingface import config_from_hugging_face
from engine.names import HUGGING_FACE_NAMES, canonical_name

LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "vocab_size": 100,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
}
STRETCHED = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 256,
}


def test_llama3_frequencies_are_those_of_transformers() -> None:
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    values = {**LLAMA, "rope_scaling": STRETCHED}
    reference = LlamaConfig(**{**LLAMA, "rope_parameters": {**STRETCHED, "rope_theta": 500000.0}})
    expected, _ = ROPE_INIT_FUNCTIONS["llama3"](reference, device="cpu")
    found = rope_frequencies(config_from_hugging_face(values), values)
    assert np.allclose(found, expected.numpy(), rtol=1e-6)


def test_plain_frequencies_fall_from_one() -> None:
    found = rope_frequencies(config_from_hugging_face(LLAMA), LLAMA)
    assert found[0] == 1.0 and np.all(np.diff(found) < 0) and len(found) == 8


def test_theta_is_found_where_newer_configurations_keep_it() -> None:
    values = {name: value for name, value in LLAMA.items() if name != "rope_theta"}
    assert config_from_hugging_face({**values, "rope_parameters": {"rope_theta": 7.0, "rope_type": "default"}}).rope_theta == 7.0


@pytest.mark.parametrize("scaling", ["yarn", "linear", "dynamic"])
def test_other_stretchings_are_refused_by_name(scaling: str) -> None:
    values = {**LLAMA, "rope_scaling": {"type": scaling, "factor": 2.0}}
    with pytest.raises(UnknownArchitecture, match=scaling):
        rope_frequencies(config_from_hugging_face(values), values)


def test_a_sliding_window_bounds_the_context() -> None:
    mistral = {**LLAMA, "model_type": "mistral", "sliding_window": 4096}
    assert config_from_hugging_face(mistral).context == 4096
    qwen = {**LLAMA, "model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": False}
    assert config_from_hugging_face(qwen).context == 8192


def test_a_missing_field_and_an_impossible_size_are_named() -> None:
    with pytest.raises(UnusableSource, match="hidden_size"):
        config_from_hugging_face({name: value for name, value in LLAMA.items() if name != "hidden_size"})
    with pytest.raises(UnusableSource, match="cannot be grouped"):
        config_from_hugging_face({**LLAMA, "num_key_value_heads": 3})
    with pytest.raises(UnusableSource, match="below 1"):
        config_from_hugging_face({**LLAMA, "intermediate_size": 0})


def test_names_become_canonical_with_and_without_the_outer_module() -> None:
    stored = ["model.decoder.layers.11.fc1.weight", "decoder.embed_positions.weight", "decoder.layers.0.self_attn.out_proj.bias"]
    expected = {"layer.11.up.weight", "positions.weight", "layer.0.output.bias"}
    assert {canonical_name(name, HUGGING_FACE_NAMES["opt"]) for name in stored} == expected


def test_a_tensor_that_the_family_does_not_have_is_named() -> None:
    with pytest.raises(UnknownArchitecture, match="q_norm"):
        canonical_name("model.layers.0.self_attn.q_norm.weight", HUGGING_FACE_NAMES["qwen2"])
