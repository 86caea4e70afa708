"""How each family calls its tensors, and where in them the engine's own tensors lie: `layer.3.query.weight`, `final_norm.bias`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.architecture import KNOWN, Config
from engine.errors import UnknownArchitecture, UnusableSource
from engine.formats import Bytes

FUSED = "query_key_value"
"""One matrix with the rows of all three."""
Rows = NDArray[np.int64]
ReadRows = Callable[[int, int], Bytes]


@dataclass(frozen=True)
class Names:
    """A family's names; `layer` holds patterns with `{}` for the layer's number.

    Base models are saved without the `prefix` of the outer module. `grouped` tells how a fused matrix lies: for each key head its
    queries, then the key, then the value; otherwise all queries, then all keys, then all values.
    """

    layer: Mapping[str, str]
    outer: Mapping[str, str]
    prefix: str = "model."
    grouped: bool = True


@dataclass(frozen=True)
class Piece:
    """The stored tensor in which one of the engine's lies, and which of its `total` rows, in which order (None: all as they are)."""

    stored: str
    rows: Rows | None = None
    total: int = 0

    def shape(self, stored: tuple[int, ...]) -> tuple[int, ...]:
        """The tensor's shape, out of that of the stored one; UnusableSource when that has other rows than `total`."""
        if self.rows is None:
            return stored
        if stored[0] != self.total:
            raise UnusableSource(
                f"the tensor {self.stored!r} has {stored[0]} rows, expected {self.total}; it does not match its configuration"
            )
        return (self.rows.size, *stored[1:])

    def read(self, shape: tuple[int, ...], row_bytes: int, first: int, count: int | None, stored: ReadRows) -> Bytes:
        """Some rows of the tensor of that `shape`, uint8 [count, row_bytes]; a vector is one row, each of whose items counts as one here.

        `stored` reads bytes of the stored tensor, of which it gets the place and the number.
        """
        vector = len(shape) == 1
        rows = np.arange(shape[0]) if self.rows is None else self.rows
        wanted = rows if vector else rows[first : None if count is None else first + count]
        start, stop = int(wanted.min()), int(wanted.max()) + 1
        data = stored(start * row_bytes, (stop - start) * row_bytes).reshape(stop - start, row_bytes)
        chosen = data if self.rows is None else data[wanted - start]
        return chosen.reshape(1, -1) if vector else chosen


def _in_layers(stem: str, parts: Mapping[str, str]) -> dict[str, str]:
    return {f"{stem}.{{}}.{name}": canonical for name, canonical in parts.items()}


_NORMS = {"input_layernorm": "attention_norm", "post_attention_layernorm": "ffn_norm"}
_PROJECTIONS = {"self_attn.q_proj": "query", "self_attn.k_proj": "key", "self_attn.v_proj": "value"}
_GATED = {"mlp.gate_proj": "gate", "mlp.up_proj": "up", "mlp.down_proj": "down"}
_WIDE = {"mlp.dense_h_to_4h": "up", "mlp.dense_4h_to_h": "down"}
_HEAD_NORMS = {"self_attn.q_layernorm": "query_norm", "self_attn.k_layernorm": "key_norm"}
_LLAMA_LAYER = {**_NORMS, **_PROJECTIONS, "self_attn.o_proj": "output", **_GATED}
_QWEN3_LAYER = {**_LLAMA_LAYER, "self_attn.q_norm": "query_norm", "self_attn.k_norm": "key_norm"}
_PHI_LAYER = {**_NORMS, **_PROJECTIONS, **_HEAD_NORMS, "self_attn.dense": "output", "mlp.fc1": "up", "mlp.fc2": "down"}
_PERSIMMON_LAYER = {**_NORMS, **_HEAD_NORMS, "self_attn.query_key_value": FUSED, "self_attn.dense": "output", **_WIDE}
_FALCON_LAYER = {
    **_NORMS,
    "ln_attn": "attention_norm",
    "ln_mlp": "ffn_norm",
    "self_attention.query_key_value": FUSED,
    "self_attention.dense": "output",
    **_WIDE,
}
_OPT_LAYER = {
    "self_attn_layer_norm": "attention_norm",
    "final_layer_norm": "ffn_norm",
    **_PROJECTIONS,
    "self_attn.out_proj": "output",
    "fc1": "up",
    "fc2": "down",
}
_LLAMA_OUTER = {"model.embed_tokens": "embedding", "model.norm": "final_norm", "lm_head": "head"}
_PHI_OUTER = {"model.embed_tokens": "embedding", "model.final_layernorm": "final_norm", "lm_head": "head"}
_OPT_OUTER = {
    "model.decoder.embed_tokens": "embedding",
    "model.decoder.embed_positions": "positions",
    "model.decoder.final_layer_norm": "final_norm",
    "lm_head": "head",
}
_FALCON_OUTER = {"transformer.word_embeddings": "embedding", "transformer.ln_f": "final_norm", "lm_head": "head"}
_LLAMA = Names(_in_layers("model.layers", _LLAMA_LAYER), _LLAMA_OUTER)
HUGGING_FACE_NAMES = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": Names(_in_layers("model.layers", _QWEN3_LAYER), _LLAMA_OUTER),
    "opt": Names(_in_layers("model.decoder.layers", _OPT_LAYER), _OPT_OUTER),
    "falcon": Names(_in_layers("transformer.h", _FALCON_LAYER), _FALCON_OUTER, prefix="transformer."),
    "phi": Names(_in_layers("model.layers", _PHI_LAYER), _PHI_OUTER),
    "persimmon": Names(_in_layers("model.layers", _PERSIMMON_LAYER), _PHI_OUTER),
}

_GGUF_OUTER = {"token_embd": "embedding", "output_norm": "final_norm", "output": "head"}
_GGUF_LAYER = {
    "attn_norm": "attention_norm",
    "ffn_norm": "ffn_norm",
    "attn_q": "query",
    "attn_k": "key",
    "attn_v": "value",
    "attn_qkv": FUSED,
    "attn_q_norm": "query_norm",
    "attn_k_norm": "key_norm",
    "attn_output": "output",
    "ffn_gate": "gate",
    "ffn_up": "up",
    "ffn_down": "down",
}
_GGUF = Names(_in_layers("blk", _GGUF_LAYER), _GGUF_OUTER, grouped=False)
# Falcon's `attn_norm` is the feed-forward's; only where there are two has the attention one of its own
_GGUF_FALCON_LAYER = {**_GGUF_LAYER, "attn_norm": "ffn_norm", "attn_norm_2": "attention_norm"}
_GGUF_FALCON = Names(_in_layers("blk", _GGUF_FALCON_LAYER), _GGUF_OUTER, grouped=False)
GGUF_NAMES = {"llama": _GGUF, "qwen2": _GGUF, "qwen3": _GGUF, "falcon": _GGUF_FALCON, "phi2": _GGUF}

_IGNORED = re.compile(r"rotary_emb\.inv_freq|attention\.bias|attn\.masked_bias|rope_freqs")
_NORM_OF_LAYER = re.compile(r"(layer\.\d+)\.(attention_norm|ffn_norm)\.(weight|bias)")
_FUSED_OF_LAYER = re.compile(rf"(layer\.\d+)\.{FUSED}\.(weight|bias)")


def pieces(stored: Iterable[str], names: Names, config: Config) -> dict[str, Piece]:
    """Canonical name -> where it lies. Raises UnknownArchitecture for a tensor that the family does not have."""
    found: dict[str, Piece] = {}
    for name in stored:
        if _IGNORED.search(name):
            continue
        canonical = canonical_name(name, names)
        fused = _FUSED_OF_LAYER.fullmatch(canonical)
        if fused is None:
            found[canonical] = Piece(name)
        else:
            for part, rows in fused_rows(config, names.grouped).items():
                found[f"{fused[1]}.{part}.{fused[2]}"] = Piece(name, rows, (config.heads + 2 * config.kv_heads) * config.head_dim)
    return _with_shared_norms(found) if config.parallel else found


def canonical_name(stored: str, names: Names) -> str:
    """UnknownArchitecture for a tensor that the family does not have."""
    stem, _, kind = stored.rpartition(".")
    for prefix in ("", names.prefix):
        if prefix + stem in names.outer:
            return f"{names.outer[prefix + stem]}.{kind}"
        number = re.search(r"\.(\d+)\.", prefix + stem)
        if number:
            pattern = (prefix + stem).replace(number[0], ".{}.", 1)
            if pattern in names.layer:
                return f"layer.{number[1]}.{names.layer[pattern]}.{kind}"
    raise UnknownArchitecture(f"the checkpoint has a tensor {stored!r} that the engine does not know; it can run {KNOWN}")


def fused_rows(config: Config, grouped: bool) -> dict[str, Rows]:
    """The rows of query, key and value in a fused matrix; see `Names`."""
    groups, share, width = config.kv_heads, config.heads // config.kv_heads, config.head_dim
    if not grouped:
        query, key = config.heads * width, groups * width
        bounds = {"query": (0, query), "key": (query, query + key), "value": (query + key, query + 2 * key)}
        return {part: np.arange(first, last) for part, (first, last) in bounds.items()}
    rows = np.arange(groups * (share + 2) * width).reshape(groups, share + 2, width)
    return {"query": rows[:, :share].reshape(-1), "key": rows[:, share].reshape(-1), "value": rows[:, share + 1].reshape(-1)}


def _with_shared_norms(found: dict[str, Piece]) -> dict[str, Piece]:
    """Attention and feed-forward that run side by side behind one norm: each gets it."""
    other = {"attention_norm": "ffn_norm", "ffn_norm": "attention_norm"}
    shared = {}
    for name, piece in found.items():
        norm = _NORM_OF_LAYER.fullmatch(name)
        if norm and (missing := f"{norm[1]}.{other[norm[2]]}.{norm[3]}") not in found:
            shared[missing] = piece
    return found | shared
