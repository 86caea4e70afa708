"""Token vectors of passages: where they stand, and that they follow the library."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kb.encoder import Encoder
from kb.library import Library
from kb.records import Passage
from surrogates import interaction
from surrogates.interaction import Interaction

Add = Callable[[str, str], int]
PUMP = "# Pump\n\n## Relief valve\n\nThe relief valve opens at 200 bar. Turn it with a 6 mm key.\n"


def test_each_token_stands_for_its_characters(word_library: Library, add: Add) -> None:
    add("pump.md", PUMP)
    interaction.read(word_library)
    passage = next(word_library.passages())
    tokens = Interaction(word_library).passages([passage.id])[passage.id]
    at = passage.text.index("200")
    assert [passage.text[start:end] for start, end in zip(tokens.starts, tokens.ends, strict=True) if start == at] == ["200"]
    assert tokens.title.sum() == 2  # Relief, valve
    assert np.allclose(np.linalg.norm(tokens.vectors, axis=1), 1, atol=0.02)


def test_a_word_of_the_question_finds_itself(word_library: Library, add: Add) -> None:
    add("pump.md", PUMP)
    interaction.read(word_library)
    held = Interaction(word_library)
    passage = next(word_library.passages())
    question = held.question(word_library.encoder.tokens(["bar"])[0])
    assert question is not None
    tokens = held.passages([passage.id])[passage.id]
    best = int((tokens.vectors @ question.vectors[0]).argmax())
    assert passage.text[tokens.starts[best] : tokens.ends[best]] == "bar"


def test_reading_goes_on_where_it_was_stopped(word_library: Library, add: Add) -> None:
    add("pump.md", PUMP + "".join(f"\n## Part {number}\n\nPart {number} weighs {number} kg.\n" for number in range(9)))
    total = sum(1 for _ in word_library.passages())
    assert interaction.read(word_library, at_most=4) == 4
    assert interaction.read(word_library, should_stop=lambda: True) == 0
    assert interaction.read(word_library) == total - 4
    assert interaction.unread(word_library) == []


def test_the_tokens_of_a_removed_document_go_with_it(word_library: Library, add: Add) -> None:
    document = add("pump.md", PUMP)
    interaction.read(word_library)
    word_library.remove(document)
    assert word_library.connection.execute("SELECT count(*) FROM passage_tokens").fetchone()[0] == 0


def test_a_long_passage_is_read_to_its_end(word_library: Library, add: Add) -> None:
    add("long.md", "# Log\n\n" + " ".join(f"Entry {number} is closed." for number in range(120)) + "\n")
    interaction.read(word_library)
    for passage in word_library.passages():
        tokens = Interaction(word_library).passages([passage.id])[passage.id]
        assert tokens.ends.max() >= len(passage.text.rstrip(" .")) - 1


def test_nothing_is_known_before_anything_was_read(word_library: Library, add: Add) -> None:
    add("pump.md", PUMP)
    assert Interaction(word_library).question(word_library.encoder.tokens(["bar"])[0]) is None


def test_axes_are_found_anew_once_the_library_has_passages_enough(word_library: Library, add: Add) -> None:
    def some(first: int, last: int) -> str:
        return "# Parts\n" + "".join(f"\n## Part {number}\n\nPart {number} weighs {number} kg.\n" for number in range(first, last))

    def match() -> float:
        question = held.question(word_library.encoder.tokens(["kg"])[0])
        assert question is not None
        passage = next(passage for passage in word_library.passages() if "kg" in passage.text)
        return float((question.vectors @ held.passages([passage.id])[passage.id].vectors.T).max())

    add("few.md", some(0, 3))
    interaction.read(word_library)
    held = Interaction(word_library)  # reads on beside what follows, as the thread that answers does
    assert match() == pytest.approx(1, abs=0.05)
    few = word_library.connection.execute("SELECT sampled, axes FROM token_axes").fetchone()
    add("many.md", some(3, 3 + interaction.SAMPLED))
    total = sum(1 for _ in word_library.passages())
    assert interaction.read(word_library, at_most=4) == 4  # on the new axes; the old tokens are gone
    assert len(interaction.unread(word_library)) == total - 4
    sampled, axes = word_library.connection.execute("SELECT sampled, axes FROM token_axes").fetchone()
    assert few[0] < sampled == interaction.SAMPLED
    assert axes != few[1]
    assert interaction.read(word_library) == total - 4
    assert word_library.connection.execute("SELECT axes FROM token_axes").fetchone()[0] == axes
    assert match() == pytest.approx(1, abs=0.05)


def test_tokens_on_axes_that_another_thread_replaced_are_not_kept(word_library: Library, add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    add("pump.md", PUMP)
    found = interaction._tokens_of

    def replaced_meanwhile(passage: Passage, encoder: Encoder, axes: interaction.Vectors) -> interaction.PassageTokens:
        word_library.connection.execute("UPDATE token_axes SET axes = ?", (np.ascontiguousarray(-axes).tobytes(),))
        return found(passage, encoder, axes)

    with monkeypatch.context() as patched:
        patched.setattr(interaction, "_tokens_of", replaced_meanwhile)
        interaction.read(word_library, at_most=1)
    total = sum(1 for _ in word_library.passages())
    assert len(interaction.unread(word_library)) == total
    assert interaction.read(word_library) == total
    assert interaction.unread(word_library) == []


def test_axes_that_another_thread_found_from_as_many_are_taken(word_library: Library, add: Add) -> None:
    add("pump.md", PUMP)
    known = (word_library.connection, word_library.encoder)
    others = np.ascontiguousarray(-interaction._find_axes(*known))
    word_library.connection.execute("UPDATE token_axes SET axes = ?", (others.tobytes(),))
    assert np.array_equal(interaction._find_axes(*known), others)


def test_passages_are_found_when_the_cache_is_full(word_library: Library, add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    add("pump.md", PUMP + "".join(f"\n## Part {number}\n\nPart {number} weighs {number} kg.\n" for number in range(6)))
    interaction.read(word_library)
    monkeypatch.setattr(interaction, "KEPT", 4)
    held, ids = Interaction(word_library), [passage.id for passage in word_library.passages()]
    assert set(held.passages(ids[:3])) == set(ids[:3])
    assert set(held.passages(ids[1:5])) == set(ids[1:5])
