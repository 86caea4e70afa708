"""Small seeded models of each family that the engine runs, as transformers makes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

KINDS = ("llama", "qwen2", "opt")
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SHAPE = {"vocab_size": 272, "num_hidden_layers": 3, "num_attention_heads": 4, "max_position_embeddings": 640, "hidden_size": 64}


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
    gated = {"intermediate_size": 288, "num_key_value_heads": 2, "initializer_range": 0.08}
    if kind == "llama":
        config: Any = transformers.LlamaConfig(**SHAPE, **gated, tie_word_embeddings=False)
    elif kind == "qwen2":
        config = transformers.Qwen2Config(**SHAPE, **gated, tie_word_embeddings=True)
    else:
        config = transformers.OPTConfig(**SHAPE, ffn_dim=192, word_embed_proj_dim=64, init_std=0.08, dropout=0.0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)
    return model
