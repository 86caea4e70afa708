"""Full text in memory: the same passages, in the same order, with the same scores as FTS5."""

from __future__ import annotations

import logging
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kb import lexical, schema
from kb.encoder import Encoder
from kb.library import Library
from kb.postings import TOKENIZER, Cutter
from kb.words import FILE_NAME, WordIndex

Write = Callable[[str, str], Path]
VOCABULARY = "pump pumps pumping valve Öldruck oldruck 42 bar E-17 E17 café filter filters the oil_temp x ½ naïve druck ٣ 泵 a"
WORDS = VOCABULARY.split()
QUESTIONS = [*(" ".join(pair) for pair in zip(WORDS, reversed(WORDS), strict=True)), "pump pumps oil", "nothing here", "a b c", "42 42 bar"]


def text(seed: int) -> str:
    """Three sections of words drawn by `seed`, common ones often."""
    chance = random.Random(seed)
    sections = []
    for number in range(3):
        said = chance.choices(WORDS, weights=range(len(WORDS), 0, -1), k=chance.randrange(3, 60))
        sections.append(f"## {chance.choice(WORDS)} {number}\n\n{' '.join(said)}.")
    return f"# Machine {seed}\n\n" + "\n\n".join(sections)


@pytest.fixture
def filled(library: Library, write: Write) -> Library:
    for number in range(12):
        library.add(write(f"{number}.md", text(number)), f"Line {number % 2}")
    return library


@pytest.fixture
def index(filled: Library) -> Iterator[WordIndex]:
    made = WordIndex(filled.home / "other")
    made.refresh(filled.connection)
    yield made
    made.close()


def assert_same(index: WordIndex, connection: sqlite3.Connection, scope: int | None = None, limit: int = 100) -> int:
    """Every question that the index covers gets what FTS5 gives it; returns how many passages were found in all."""
    found = 0
    for question in QUESTIONS:
        words = lexical.terms(question).words
        if index.covers(words):
            expected = lexical.rank(connection, lexical.any_word(words), scope, limit)
            ranked = index.rank(words, scope, limit)
            assert [passage for passage, _ in ranked] == [passage for passage, _ in expected], question
            assert [score for _, score in ranked] == pytest.approx([score for _, score in expected], rel=1e-12), question
            found += len(ranked)
    return found


@pytest.mark.parametrize("scope", [None, 1, 2])
@pytest.mark.parametrize("limit", [1, 5, 100])
def test_ranks_and_scores_are_those_of_the_full_text_table(index: WordIndex, filled: Library, scope: int | None, limit: int) -> None:
    assert assert_same(index, filled.connection, scope, limit) > 20


def test_the_tokenizer_is_that_of_the_table() -> None:
    assert f'tokenize="{TOKENIZER}"' in schema.LIBRARY.sql


def test_a_word_of_several_tokens_is_left_to_the_table(index: WordIndex, library: Library) -> None:
    assert not index.covers(["pump", "oil_temp"]) and index.covers(["pump", "oil", "_"])
    assert [hit.passage.id for hit in library.search("oil_temp")]


def test_a_question_without_known_words_finds_nothing(index: WordIndex) -> None:
    assert index.rank(["unheard"], None, 10) == [] and index.rank([], None, 10) == []


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from(["add", "replace", "remove"]), st.integers(0, 5), st.booleans()), max_size=8))
def test_any_history_leaves_what_a_new_index_would_hold(
    home: Path, encoder: Encoder, write: Write, steps: list[tuple[str, int, bool]]
) -> None:
    shutil.rmtree(home, ignore_errors=True)
    with Library(home, encoder) as library:
        index = WordIndex(home / "other")
        for number, (step, document, asks) in enumerate(steps):
            if step == "remove":
                for entry in library.documents()[document : document + 1]:
                    library.remove(entry.id)
            else:
                library.add(write(f"{document}.md", text(document + (100 * number if step == "replace" else 0))))
            if asks:
                index.refresh(library.connection)
        index.refresh(library.connection)
        assert index.ids().tolist() == [passage.id for passage in library.passages()]
        assert_same(index, library.connection)
        index.close()


def test_a_reloaded_index_equals_the_saved_one(index: WordIndex, filled: Library) -> None:
    index.save()
    again = WordIndex(filled.home / "other")
    assert again.seq == index.seq and again.refresh(filled.connection) == 0 and not again.unsaved
    assert_same(again, filled.connection)
    filled.remove(filled.documents()[0].id)
    assert again.refresh(filled.connection) > 0
    assert_same(again, filled.connection)
    again.close()


def test_an_empty_library_is_saved_and_loaded(library: Library) -> None:
    index = WordIndex(library.home / "other")
    index.refresh(library.connection)
    index.save()
    again = WordIndex(library.home / "other")
    assert len(again) == 0 and again.rank(["pump"], None, 5) == []
    again.close()
    index.close()


@pytest.mark.parametrize("damage", ["cut", "flipped", "nonsense", "empty", "another tokenizer"])
def test_a_damaged_file_is_built_again(index: WordIndex, filled: Library, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    index.save()
    file = filled.home / "other" / FILE_NAME
    data = file.read_bytes()
    flipped = data[:-100] + bytes([data[-100] ^ 1]) + data[-99:]
    other = data.replace(b"porter", b"sortir", 1)
    file.write_bytes({"cut": data[:-50], "flipped": flipped, "nonsense": b"hello\n", "empty": b"", "another tokenizer": other}[damage])
    with caplog.at_level(logging.WARNING):
        again = WordIndex(filled.home / "other")
    assert "built again" in caplog.text and len(again) == 0
    again.refresh(filled.connection)
    assert_same(again, filled.connection)
    again.close()


def test_a_library_keeps_its_words_with_its_vectors(home: Path, encoder: Encoder, write: Write) -> None:
    with Library(home, encoder) as library:
        library.add(write("a.md", "# A\n\nThe pump leaks."))
        assert library.search("pump")
    assert (home / "index" / FILE_NAME).is_file()
    with Library(home, encoder) as library:
        assert library.search("pump")[0].bm25 is not None


def test_a_question_word_is_cut_once(filled: Library) -> None:
    cutter = Cutter()
    assert cutter.tokens("Pumping") == cutter.tokens("Pumping") == ("pump",)
    assert cutter.tokens("oil_temp") == ("oil", "temp") and cutter.tokens("_") == ()
    cutter.close()
