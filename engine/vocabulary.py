"""A vocabulary as GGUF (or an old vocab.json with merges.txt) states it, written as the JSON that the `tokenizers` library loads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.errors import UnknownArchitecture, UnusableSource

_CONTROL, _USER_DEFINED = 3, 4  # token types of GGUF
_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORDS = r"|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_BYTES_OF_A_REGEX = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_BYTES_ONLY = {**_BYTES_OF_A_REGEX, "use_regex": False}


def _split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def _sequence(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": list(steps)}


_LLAMA3 = _sequence(_split(_CONTRACTIONS + _WORDS + r"\p{N}{1,3}" + _REST), _BYTES_ONLY)
_PRE_TOKENIZERS: dict[str, dict[str, Any]] = {
    "gpt-2": _BYTES_OF_A_REGEX,
    "default": _BYTES_OF_A_REGEX,
    "smollm": _sequence({"type": "Digits", "individual_digits": True}, _BYTES_OF_A_REGEX),
    "qwen2": _sequence(_split(_CONTRACTIONS + _WORDS + r"\p{N}" + _REST), _BYTES_ONLY),
    "llama-bpe": _LLAMA3,
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
}
_WHOLE_WORDS_FIRST = ("llama-bpe", "llama3", "llama-v3")
"""Kinds that take a word found in the vocabulary as it is, whatever the merges say."""


def tokenizer_from_gguf(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Build the tokenizer.json value of a GGUF file.

    Raises:
        UnusableSource: the file carries no vocabulary.
        UnknownArchitecture: its kind of tokenizer is not one that the engine can build.
    """
    model = metadata.get("tokenizer.ggml.model")
    if model is None or "tokenizer.ggml.tokens" not in metadata:
        raise UnusableSource("the GGUF file carries no tokenizer; take a file that was converted with its tokenizer")
    if model == "gpt2":
        return _byte_level(metadata)
    if model == "llama":
        return _sentence_piece(metadata)
    raise UnknownArchitecture(f"the GGUF file's tokenizer is of kind {model!r}; the engine can build 'gpt2' and 'llama'")


def tokenizer_from_merges(folder: Path, bos: str | None) -> dict[str, Any]:
    """Build the tokenizer.json value from GPT-2's vocab.json and merges.txt; `bos` is put before a text (None: nothing is)."""
    vocabulary: dict[str, int] = json.loads((folder / "vocab.json").read_text("utf-8"))
    lines = (folder / "merges.txt").read_text("utf-8").splitlines()
    merges = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    special = {"<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>", bos}
    added = [_added(number, text, True) for text, number in vocabulary.items() if text in special]
    return {
        **_frame(added, None if bos is None else (bos, vocabulary[bos])),
        "pre_tokenizer": _BYTES_OF_A_REGEX,
        "decoder": _BYTES_OF_A_REGEX,
        "model": _bpe(vocabulary, merges),
    }


def _byte_level(metadata: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(metadata.get("tokenizer.ggml.pre", "default"))
    if kind not in _PRE_TOKENIZERS:
        known = ", ".join(_PRE_TOKENIZERS)
        raise UnknownArchitecture(f"the GGUF file's text is split by rule {kind!r}; the engine knows {known}")
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    merges = [merge.split(" ") for merge in metadata["tokenizer.ggml.merges"]]
    return {
        **_frame(_added_tokens(metadata), _bos(metadata, default=kind in _WHOLE_WORDS_FIRST)),
        "normalizer": {"type": "NFC"} if kind == "qwen2" else None,
        "pre_tokenizer": _PRE_TOKENIZERS[kind],
        "decoder": _BYTES_OF_A_REGEX,
        "model": _bpe(_numbered(tokens), merges, ignore_merges=kind in _WHOLE_WORDS_FIRST),
    }


def _sentence_piece(metadata: Mapping[str, Any]) -> dict[str, Any]:
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    vocabulary = _numbered(tokens)
    underline = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    prefix = [{"type": "Prepend", "prepend": "\u2581"}] if metadata.get("tokenizer.ggml.add_space_prefix", True) else []
    strip = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if prefix else []
    back = {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}
    return {
        **_frame(_added_tokens(metadata), _bos(metadata, default=True)),
        "normalizer": {"type": "Sequence", "normalizers": [*prefix, underline]},
        "pre_tokenizer": None,
        "decoder": {"type": "Sequence", "decoders": [back, {"type": "ByteFallback"}, {"type": "Fuse"}, *strip]},
        "model": _bpe(
            vocabulary,
            merges_by_score(vocabulary, metadata["tokenizer.ggml.scores"]),
            unk_token=tokens[int(metadata.get("tokenizer.ggml.unknown_token_id", 0))],
            fuse_unk=True,
            byte_fallback=True,
        ),
    }


def merges_by_score(vocabulary: Mapping[str, int], scores: Sequence[float]) -> list[list[str]]:
    """The merges that a SentencePiece vocabulary implies: every way to split a piece into two others, best-scored pieces first."""
    found: list[tuple[float, int, int, list[str]]] = []
    for piece, number in vocabulary.items():
        splits = ((piece[:at], piece[at:]) for at in range(1, len(piece)))
        for left, right in splits:
            if left in vocabulary and right in vocabulary:
                found.append((-scores[number], vocabulary[left], vocabulary[right], [left, right]))
    found.sort(key=lambda merge: merge[:3])
    return [merge for *_, merge in found]


def _numbered(tokens: Sequence[str]) -> dict[str, int]:
    return {token: number for number, token in enumerate(tokens)}


def _frame(added: list[dict[str, Any]], bos: tuple[str, int] | None) -> dict[str, Any]:
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": sorted(added, key=lambda token: int(token["id"])),
        "normalizer": None,
        "post_processor": None if bos is None else _put_first(*bos),
    }


def _put_first(text: str, number: int) -> dict[str, Any]:
    first = {"SpecialToken": {"id": text, "type_id": 0}}
    single = [first, {"Sequence": {"id": "A", "type_id": 0}}]
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {text: {"id": text, "ids": [number], "tokens": [text]}},
    }


def _bpe(vocabulary: dict[str, int], merges: list[list[str]], **changes: Any) -> dict[str, Any]:
    plain = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None}
    return {**plain, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, **changes, "vocab": vocabulary, "merges": merges}


def _added(number: int, text: str, special: bool) -> dict[str, Any]:
    return {"id": number, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": special}


def _added_tokens(metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    types: list[int] = metadata.get("tokenizer.ggml.token_type") or []
    return [_added(number, tokens[number], kind == _CONTROL) for number, kind in enumerate(types) if kind in (_CONTROL, _USER_DEFINED)]


def _bos(metadata: Mapping[str, Any], default: bool) -> tuple[str, int] | None:
    number = metadata.get("tokenizer.ggml.bos_token_id")
    if number is None or not metadata.get("tokenizer.ggml.add_bos_token", default):
        return None
    return metadata["tokenizer.ggml.tokens"][number], int(number)
