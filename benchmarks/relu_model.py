"""A small OPT model with sparse ReLU layers, trained on text at hand: `python benchmarks/relu_model.py OUT TEXT [TEXT ...]`.

Nobody publishes a small model with ReLU feed-forward layers as a package, so the predictor is measured on this one. A penalty on the
activations brings the sparsity that large ReLU models have by themselves. The last tenth of every text is held out and written beside.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

VOCABULARY = 2048
SEQUENCE = 128
BATCH = 8
PENALTY = 0.3
"""Weight of the mean activation beside the loss in nats per token."""
HELD_OUT, TRAINED_ON = "held-out.txt", "trained-on.txt"


def main() -> None:
    """Train, save as a Hugging Face checkpoint folder, end with JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("texts", type=Path, nargs="+", help="files, or folders whose .md and .txt files are taken")
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    train, held_out = split_texts(options.texts)
    (options.out / TRAINED_ON).write_text(train, "utf-8")
    (options.out / HELD_OUT).write_text(held_out, "utf-8")
    print(json.dumps(train_model(options.out, train, options.hidden, options.layers, options.minutes)))


def split_texts(paths: Iterable[Path]) -> tuple[str, str]:
    """Nine tenths of each file for training, the last tenth held out."""
    files = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    texts = [file.read_text("utf-8", errors="replace") for file in files if file.suffix in (".md", ".txt") and file.is_file()]
    if not texts:
        raise SystemExit("none of the paths has a .md or .txt file to train on")
    cuts = [len(text) * 9 // 10 for text in texts]
    pairs = list(zip(texts, cuts, strict=True))
    return "\n".join(text[:cut] for text, cut in pairs), "\n".join(text[cut:] for text, cut in pairs)


def train_tokenizer(folder: Path, text: str) -> Any:
    """Byte-level BPE, saved as tokenizer.json."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<|endoftext|>"]
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(text.splitlines(keepends=True), trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"eos_token": "<|endoftext|>", "bos_token": None, "add_bos_token": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    return tokenizer


def train_model(folder: Path, text: str, hidden: int, layers: int, minutes: float) -> dict[str, float]:
    """Train within the time given; the checkpoint goes to `folder`. Returns what was reached."""
    import torch
    import transformers

    torch.manual_seed(0)
    tokens = np.array(train_tokenizer(folder, text).encode(text).ids, np.int64)
    config = transformers.OPTConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        word_embed_proj_dim=hidden,
        ffn_dim=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        max_position_embeddings=512,
        dropout=0.0,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    model: Any = transformers.AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call,unused-ignore]
    reached = _train(model, tokens, minutes)
    model.half().save_pretrained(folder)
    return {"parameters": sum(p.numel() for p in model.parameters()), "training_tokens": tokens.size, **reached}


def _train(model: Any, tokens: np.ndarray[Any, np.dtype[np.int64]], minutes: float) -> dict[str, float]:
    import torch

    random = np.random.default_rng(0)
    active: list[Any] = []
    for layer in model.model.decoder.layers:
        layer.fc1.register_forward_hook(lambda module, given, out: active.append(torch.relu(out)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    began, step, losses, share, done = time.monotonic(), 0, [0.0], 1.0, 0.0
    while done < 1.0:
        done = (time.monotonic() - began) / (60 * minutes)
        for group in optimizer.param_groups:
            group["lr"] = 1.5e-3 * min(1.0, (step + 1) / 50) * max(1.0 - done, 0.02)
        starts = random.integers(0, tokens.size - SEQUENCE, BATCH)
        batch = torch.from_numpy(np.stack([tokens[at : at + SEQUENCE] for at in starts]))
        active.clear()
        loss = model(batch, labels=batch).loss
        penalty = torch.stack([layer.mean() for layer in active]).mean()
        optimizer.zero_grad()
        (loss + PENALTY * min(4 * done, 1.0) * penalty).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses, step = [*losses[-49:], float(loss.detach())], step + 1
        if step % 25 == 0:
            share = float(np.mean([float((layer > 0).float().mean()) for layer in active]))
            print(f"{step} steps, {done:.0%} of the time, loss {np.mean(losses):.2f}, active {share:.1%}", file=sys.stderr, flush=True)
    return {"steps": step, "loss": float(np.mean(losses)), "active_share": share}


if __name__ == "__main__":
    main()
