"""Small seeded models of each family that the engine runs, as transformers makes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

KINDS = ("llama", "llama-relu", "qwen2", "qwen3", "opt", "falcon", "falcon-grouped", "phi", "persimmon")
NEURON_WISE = ("opt", "persimmon")
"""Those whose neurons are read one by one."""
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SHAPE: dict[str, Any] = {
    "vocab_size": 272,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 640,
    "hidden_size": 64,
}


def write_tokenizer(folder: Path) -> None:
    """Bytes as tokens 0-255, two merges, three control tokens."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(letters)} | {"th": 256, "the": 257}
    library = Tokenizer(models.BPE(vocab=vocabulary, merges=[("t", "h"), ("th", "e")]))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    library.add_special_tokens(list(SPECIALS))
    library.save(str(folder / "tokenizer.json"))
    settings = {"eos_token": "<|im_end|>", "chat_template": TEMPLATE, "bos_token": None}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")


def make_model(kind: str) -> Any:
    """A seeded transformers model whose logits are of ordinary size."""
    import torch
    import transformers

    torch.manual_seed(7)
    model = transformers.AutoModelForCausalLM.from_config(_config(kind)).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)
        elif "norm" in name or "ln_" in name:
            torch.nn.init.normal_(parameter, mean=1.0, std=0.1)
    return model


def _config(kind: str) -> Any:
    import transformers

    spread: dict[str, Any] = {"initializer_range": 0.08}
    gated = spread | {"intermediate_size": 288, "num_key_value_heads": 2}
    falcon = spread | {"ffn_hidden_size": 288, "alibi": False}
    made: dict[str, Callable[[], Any]] = {
        "llama": lambda: transformers.LlamaConfig(**SHAPE, **gated, tie_word_embeddings=False),
        "llama-relu": lambda: transformers.LlamaConfig(**SHAPE, **gated, hidden_act="relu", attention_bias=True),
        "qwen2": lambda: transformers.Qwen2Config(**SHAPE, **gated, tie_word_embeddings=True),
        "qwen3": lambda: transformers.Qwen3Config(**SHAPE, **gated, head_dim=32, tie_word_embeddings=True),
        "opt": lambda: transformers.OPTConfig(**SHAPE, ffn_dim=192, word_embed_proj_dim=64, init_std=0.08, dropout=0.0),
        "falcon": lambda: transformers.FalconConfig(**SHAPE, **falcon),
        "falcon-grouped": lambda: transformers.FalconConfig(**SHAPE, **falcon, new_decoder_architecture=True, num_kv_heads=2),
        "phi": lambda: transformers.PhiConfig(**SHAPE, **spread, intermediate_size=288),
        "persimmon": lambda: transformers.PersimmonConfig(**SHAPE, **spread, intermediate_size=192),
    }
    return made[kind]()


def half_cache() -> Any:
    """A cache for transformers that keeps keys and values as half floats, as the engine does, so that logits can be compared closely."""
    import transformers

    class HalfCache(transformers.DynamicCache):
        def update(self, keys: Any, values: Any, layer: int, *rest: Any, **more: Any) -> Any:
            return super().update(keys.half().float(), values.half().float(), layer, *rest, **more)

    return HalfCache()
