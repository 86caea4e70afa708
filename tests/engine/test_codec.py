from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import manifest
from engine.codec import CompactCodec, LibraryCodec, in_memory, open_codec
from engine.errors import CorruptPack, UnusableSource
from engine.pack import pack
from engine.source import TokenizerFacts
from engine.splitting import OtherKind
from engine.tokenizer import TextStream, Tokenizer
from engine.vocabulary_file import compile_vocabulary
from tests.engine.vocabularies import KINDS, LANGUAGES, texts, tokenizer_json

ASSIGNED = st.characters(exclude_categories=("Cs", "Cn", "Co"))
PARTS = st.sampled_from([*LANGUAGES, "<|im_end|>", "<mask>", " <mask> ", "<s>", "  ", "\n\n", "\r\n", "'ll", "123456", "Pumpe größer", "▁"])
TEXTS = st.lists(st.text(ASSIGNED, max_size=12) | PARTS, max_size=8).map("".join)


@cache
def both(kind: str) -> tuple[CompactCodec, LibraryCodec]:
    """The compact codec and the library it stands for."""
    content = tokenizer_json(kind)
    return in_memory(compile_vocabulary(json.loads(content))), LibraryCodec(content)


def assert_same(kind: str, text: str) -> None:
    ours, theirs = both(kind)
    for with_around in (False, True):
        ids = theirs.encode(text, with_around)
        assert ours.encode(text, with_around) == ids
        assert ours.decode(ids) == theirs.decode(ids)


@pytest.mark.parametrize("kind", KINDS)
def test_ids_and_text_are_those_of_the_library(kind: str) -> None:
    for text in texts():
        assert_same(kind, text)


@pytest.mark.parametrize("kind", KINDS)
def test_any_text_gives_the_librarys_ids(kind: str) -> None:
    @settings(max_examples=150, deadline=None, database=None, derandomize=True)
    @given(TEXTS)
    def check(text: str) -> None:
        assert_same(kind, text)

    check()


@pytest.mark.parametrize("kind", KINDS)
def test_any_ids_give_the_librarys_text(kind: str) -> None:
    ours, theirs = both(kind)

    @settings(max_examples=150, deadline=None, database=None, derandomize=True)
    @given(st.lists(st.integers(0, 1200), max_size=12))
    def check(ids: list[int]) -> None:
        assert ours.decode(ids) == theirs.decode(ids)

    check()


def test_streamed_text_is_that_of_the_library() -> None:
    for kind in ("qwen2", "llama2", "mistral-always"):
        ours, theirs = both(kind)
        ids = theirs.encode("".join(LANGUAGES), False)
        facts = TokenizerFacts((), None, None, None)
        for prompt in ([], ids[:3]):
            streams = TextStream(Tokenizer(ours, facts), prompt), TextStream(Tokenizer(theirs, facts), prompt)
            for number in ids:
                assert streams[0].push(number) == streams[1].push(number)
            assert streams[0].flush() == streams[1].flush()


@pytest.mark.parametrize("kind", ["qwen2", "llama2"])
def test_a_long_text_without_a_border_is_merged_in_order_of_rank(kind: str) -> None:
    for text in ("aba" * 3000, "pressure" * 500, "=" * 5000, " " * 5000):
        assert_same(kind, text)


def changed(kind: str, **parts: Any) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(tokenizer_json(kind))
    return value | {name: {**value[name], **part} if isinstance(part, dict) and value[name] else part for name, part in parts.items()}


@pytest.mark.parametrize(
    "parts",
    [
        {"model": {"type": "Unigram"}},
        {"model": {"dropout": 0.1}},
        {"model": {"end_of_word_suffix": "</w>"}},
        {"model": {"merges": [["a", "Ġnowhere"]]}},
        {"normalizer": {"type": "Lowercase"}},
        {"pre_tokenizer": {"type": "BertPreTokenizer"}},
        {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": r"[a-w&&[^aeiou]]+"}, "behavior": "Isolated", "invert": False}},
        {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": r"^\w+"}, "behavior": "Isolated", "invert": False}},
        {"decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True}},
    ],
)  # fmt: skip
def test_a_kind_that_is_not_built_is_left_to_the_library(parts: dict[str, Any]) -> None:
    with pytest.raises(OtherKind):
        in_memory(compile_vocabulary(changed("gpt2", **parts)))


def test_a_pack_of_such_a_kind_is_run_by_the_library(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    source = Path(shutil.copytree(checkpoint("llama"), tmp_path / "source"))
    value = json.loads((source / "tokenizer.json").read_text("utf-8"))
    (source / "tokenizer.json").write_text(json.dumps(value | {"normalizer": {"type": "Lowercase"}}), "utf-8")
    packed = pack(source, tmp_path / "a.pack")
    codec = open_codec(tmp_path / "a.pack", packed)
    assert isinstance(codec, LibraryCodec) and manifest.VOCABULARY not in packed.file_bytes
    assert codec.encode("THE", False) == codec.encode("the", False)


def test_an_altered_vocabulary_is_refused(packed: Callable[..., Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(packed("llama"), tmp_path / "copy.pack"))
    data = bytearray((folder / manifest.VOCABULARY).read_bytes())
    data[-1] ^= 1
    (folder / manifest.VOCABULARY).write_bytes(data)
    with pytest.raises(CorruptPack, match=r"vocabulary\.safetensors"):
        open_codec(folder, manifest.load(folder))


def test_a_tokenizer_json_that_nobody_can_load_is_refused_before_packing(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    source = Path(shutil.copytree(checkpoint("llama"), tmp_path / "source"))
    value = json.loads((source / "tokenizer.json").read_text("utf-8"))
    (source / "tokenizer.json").write_text(json.dumps(value | {"model": {"type": "Riddle"}}), "utf-8")
    with pytest.raises(UnusableSource, match=r"tokenizer\.json"):
        pack(source, tmp_path / "a.pack")
    assert not (tmp_path / "a.pack").exists()
