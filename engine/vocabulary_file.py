"""A tokenizer.json compiled into flat arrays (vocabulary.safetensors of a pack), which are read back without parsing anything large."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.splitting import OtherKind

Arrays = dict[str, NDArray[Any]]
DTYPES: dict[Any, str] = {np.dtype(np.uint8): "U8", np.dtype("<u4"): "U32"}
"""What the arrays hold, as safetensors names it."""
_KEPT = ("added_tokens", "normalizer", "pre_tokenizer", "decoder")
_WORD_MARK = "\u2581"


def compile_vocabulary(tokenizer: Mapping[str, Any]) -> Arrays:
    """The arrays of `engine.bpe.BytePairs`, and the remaining rules as JSON in `rules`.

    Raises OtherKind for a tokenizer that is no byte pair encoding, or has parts that are not built here.
    """
    model = tokenizer["model"]
    vocabulary: dict[str, int] = model.get("vocab") if model.get("type", "BPE") == "BPE" else {}
    if not vocabulary or any(model.get(name) for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix")):
        raise OtherKind(f"a model of type {model.get('type')} with its settings")
    added = {token["content"]: int(token["id"]) for token in tokenizer["added_tokens"]}
    texts = {number: text for text, number in (vocabulary | added).items()}
    count = max(texts) + 1
    pieces = [texts.get(number, "").encode() for number in range(count)]
    letters = sorted((ord(text), number) for text, number in vocabulary.items() if len(text) == 1)
    merges = _merges(vocabulary, model["merges"], count)
    whole = bool(model.get("ignore_merges"))
    by_text = sorted(vocabulary.values(), key=lambda number: pieces[number]) if whole else []
    rules = {name: tokenizer.get(name) for name in _KEPT} | {"around": _around(tokenizer.get("post_processor"))}
    rules["model"] = {
        "byte_ids": _byte_ids(vocabulary) if model.get("byte_fallback") else None,
        "unknown_id": vocabulary[model["unk_token"]] if model.get("unk_token") is not None else None,
        "fuse_unk": bool(model.get("fuse_unk")),
        "ignore_merges": whole,
        "word_mark": _WORD_MARK if _separates_words(vocabulary, merges, texts) and not whole else None,
    }
    return {
        "rules": np.frombuffer(json.dumps(rules, ensure_ascii=False).encode(), np.uint8),
        "pieces": np.frombuffer(b"".join(pieces), np.uint8),
        "ends": np.cumsum([len(piece) for piece in pieces]).astype("<u4"),
        "letter_codes": np.array([code for code, _ in letters], "<u4"),
        "letter_ids": np.array([number for _, number in letters], "<u4"),
        "by_text": np.array(by_text, "<u4"),
        **merges,
    }


def _merges(vocabulary: Mapping[str, int], listed: Sequence[Any], count: int) -> Arrays:
    """Merges sorted by left and right token; of a pair that is listed twice the later rank counts."""
    pairs = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in listed]
    try:
        columns = np.array([(vocabulary[left], vocabulary[right], vocabulary[left + right]) for left, right in pairs], np.int64).reshape(
            -1, 3
        )
    except (KeyError, ValueError) as error:
        raise OtherKind(f"a merge that its vocabulary does not have ({error})") from error
    ranks = np.arange(len(columns))
    order = np.lexsort((ranks, columns[:, 1], columns[:, 0]))
    lefts, rights, results = columns[order].T
    last = np.append((lefts[1:] != lefts[:-1]) | (rights[1:] != rights[:-1]), True)[: len(order)]
    lefts, rights, results, ranks = lefts[last], rights[last], results[last], ranks[order][last]
    starts = np.searchsorted(lefts, np.arange(count + 1))
    named = {"merge_starts": starts, "merge_rights": rights, "merge_ranks": ranks, "merge_results": results}
    return {name: values.astype("<u4") for name, values in named.items()}


def _separates_words(vocabulary: Mapping[str, int], merges: Arrays, texts: Mapping[int, str]) -> bool:
    """Whether no merge makes a token with a word mark behind another letter, so that words can be merged one by one."""
    made = (texts[int(number)] for number in np.unique(merges["merge_results"]))
    return _WORD_MARK in vocabulary and not any(_WORD_MARK in text.lstrip(_WORD_MARK) for text in made)


def _byte_ids(vocabulary: Mapping[str, int]) -> list[int]:
    try:
        return [vocabulary[f"<0x{byte:02X}>"] for byte in range(256)]
    except KeyError as error:
        raise OtherKind(f"a fallback to bytes without the token {error}") from error


def _around(processor: Mapping[str, Any] | None) -> tuple[list[int], list[int]]:
    """Ids that a raw text gets in front and behind."""
    kind = None if processor is None else processor["type"]
    if processor is None or kind == "ByteLevel":
        return [], []
    if kind == "Sequence":
        parts = [_around(part) for part in processor["processors"]]
        if sum(bool(front or behind) for front, behind in parts) > 1:
            raise OtherKind("several post-processors that add tokens")
        return next((part for part in parts if any(part)), ([], []))
    if kind in ("RobertaProcessing", "BertProcessing"):
        return [processor["cls"][1]], [processor["sep"][1]]
    if kind == "TemplateProcessing":
        return _template(processor)
    raise OtherKind(f"the post-processor {kind}")


def _template(processor: Mapping[str, Any]) -> tuple[list[int], list[int]]:
    sides: tuple[list[int], list[int]] = ([], [])
    side = 0
    for item in processor["single"]:
        if "Sequence" in item:
            side += 1
        else:
            sides[min(side, 1)].extend(processor["special_tokens"][item["SpecialToken"]["id"]]["ids"])
    if side != 1:
        raise OtherKind("a post-processor that does not take the text once")
    return sides
