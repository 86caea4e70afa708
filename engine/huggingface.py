"""The configuration of a model, family by family, from a Hugging Face checkpoint's config.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.architecture import KNOWN, Config, refuse, rope_parameters
from engine.errors import UnknownArchitecture, UnusableSource
from engine.kernels import Activation

_ACTIVATIONS: dict[str, Activation] = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "relu2": "relu2",
}
Values = Mapping[str, Any]


def config_from_hugging_face(values: Values) -> Config:
    """Read a config.json.

    Raises:
        UnknownArchitecture: another family, or a variant that the decoder does not compute.
        UnusableSource: a field is missing.
    """
    kind = str(values.get("model_type"))
    if kind not in _FAMILIES:
        raise UnknownArchitecture(f"the checkpoint's model_type is {kind!r}; the engine can run {KNOWN}")
    try:
        return _FAMILIES[kind](values)
    except KeyError as missing:
        raise UnusableSource(f"config.json has no field {missing}; the checkpoint is incomplete") from missing


def _activation(name: Any) -> Activation:
    refuse(name not in _ACTIVATIONS, f"the activation {name!r}")
    return _ACTIVATIONS[name]


def _theta(values: Values) -> float:
    return float(rope_parameters(values).get("rope_theta") or values.get("rope_theta") or 10_000.0)


def _rotated(values: Values, head_dim: int) -> int:
    """Columns of a head that turn: half of them where a family with partial rotary embedding does not say."""
    share = rope_parameters(values).get("partial_rotary_factor", values.get("partial_rotary_factor", 0.5))
    return int(head_dim * float(share))


def _context(values: Values, windowed: bool) -> int:
    """Within its window, sliding attention is plain attention."""
    context = int(values["max_position_embeddings"])
    return min(context, int(values["sliding_window"])) if windowed and values.get("sliding_window") else context


def _llama_like(values: Values) -> Config:
    kind, heads, hidden = str(values["model_type"]), int(values["num_attention_heads"]), int(values["hidden_size"])
    refuse(bool(values.get("mlp_bias")), "biases in a gated feed-forward (mlp_bias)")
    head_dim = int(values.get("head_dim") or (128 if kind == "qwen3" else hidden // heads))
    return Config(
        architecture=kind,
        hidden=hidden,
        layers=int(values["num_hidden_layers"]),
        heads=heads,
        kv_heads=int(values.get("num_key_value_heads") or heads),
        head_dim=head_dim,
        ffn=int(values["intermediate_size"]),
        vocabulary=int(values["vocab_size"]),
        context=_context(values, bool(values.get("use_sliding_window", kind == "mistral"))),
        norm="rms",
        norm_epsilon=float(values["rms_norm_eps"]),
        gated=True,
        rope_theta=_theta(values),
        tied=bool(values.get("tie_word_embeddings", False)),
        activation=_activation(values.get("hidden_act", "silu")),
        rotary_dim=head_dim,
        head_norm=kind == "qwen3",
    )


def _opt(values: Values) -> Config:
    heads, hidden = int(values["num_attention_heads"]), int(values["hidden_size"])
    refuse(not values.get("do_layer_norm_before", True), "layer norms after the attention (do_layer_norm_before false)")
    refuse(int(values.get("word_embed_proj_dim") or hidden) != hidden, "projected embeddings (word_embed_proj_dim)")
    refuse(bool(values.get("_remove_final_layer_norm", False)), "no final layer norm")
    return Config(
        architecture="opt",
        hidden=hidden,
        layers=int(values["num_hidden_layers"]),
        heads=heads,
        kv_heads=heads,
        head_dim=hidden // heads,
        ffn=int(values["ffn_dim"]),
        vocabulary=int(values["vocab_size"]),
        context=int(values["max_position_embeddings"]),
        norm="layer",
        norm_epsilon=1e-5,
        gated=False,
        rope_theta=None,
        tied=bool(values.get("tie_word_embeddings", True)),
        position_offset=2,
        activation=_activation(values.get("activation_function", "relu")),
    )


def _falcon(values: Values) -> Config:
    heads, hidden = int(values["num_attention_heads"]), int(values["hidden_size"])
    refuse(bool(values.get("alibi")), "attention biased by distance (alibi)")
    grouped, single = bool(values.get("new_decoder_architecture")), bool(values.get("multi_query", True))
    kv_heads = int(values.get("num_kv_heads") or heads) if grouped or not single else 1
    return Config(
        architecture="falcon",
        hidden=hidden,
        layers=int(values["num_hidden_layers"]),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=hidden // heads,
        ffn=int(values.get("ffn_hidden_size") or 4 * hidden),
        vocabulary=int(values["vocab_size"]),
        context=int(values.get("max_position_embeddings") or 2048),
        norm="layer",
        norm_epsilon=float(values.get("layer_norm_epsilon") or 1e-5),
        gated=False,
        rope_theta=_theta(values),
        tied=bool(values.get("tie_word_embeddings", True)),
        activation=_activation(values.get("activation", "gelu")),
        rotary_dim=hidden // heads,
        parallel=grouped or bool(values.get("parallel_attn", True)),
    )


def _partly_rotated(values: Values) -> Config:
    """Phi (attention and feed-forward side by side) and Persimmon (one after the other)."""
    kind, heads, hidden = str(values["model_type"]), int(values["num_attention_heads"]), int(values["hidden_size"])
    phi = kind == "phi"
    return Config(
        architecture=kind,
        hidden=hidden,
        layers=int(values["num_hidden_layers"]),
        heads=heads,
        kv_heads=int(values.get("num_key_value_heads") or heads) if phi else heads,
        head_dim=hidden // heads,
        ffn=int(values["intermediate_size"]),
        vocabulary=int(values["vocab_size"]),
        context=int(values["max_position_embeddings"]),
        norm="layer",
        norm_epsilon=float(values.get("layer_norm_eps", 1e-5)),
        gated=False,
        rope_theta=_theta(values),
        tied=bool(values.get("tie_word_embeddings", False)),
        activation=_activation(values.get("hidden_act", "gelu_new" if phi else "relu2")),
        rotary_dim=_rotated(values, hidden // heads),
        parallel=phi,
        head_norm=bool(values.get("qk_layernorm", not phi)),
    )


_FAMILIES: dict[str, Callable[[Values], Config]] = {
    "llama": _llama_like,
    "mistral": _llama_like,
    "qwen2": _llama_like,
    "qwen3": _llama_like,
    "opt": _opt,
    "falcon": _falcon,
    "phi": _partly_rotated,
    "persimmon": _partly_rotated,
}
