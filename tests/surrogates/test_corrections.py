"""What people say against the documents."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kb.library import Library
from surrogates import chat, corrections
from surrogates.answer import Answer, Timings
from surrogates.quotes import Quote
from surrogates.wording import Rarity

Add = Callable[[str, str], int]
PUMP = (
    "# Pump\n\n## Relief valve\n\nThe relief valve of the pump is set to 210 bar at the factory.\n\n## Oil\n\nThe pump needs HLP 46 oil.\n"
)
QUESTION = "What is the relief valve of the pump set to?"
RIGHT = "Ours runs at 42 bar."


@pytest.fixture
def pump(word_library: Library, add: Add) -> Library:
    add("pump.md", PUMP)
    return word_library


def passage_id(library: Library) -> int:
    return next(passage.id for passage in library.passages() if "210 bar" in passage.text)


def correct(library: Library, **other: object) -> int:
    return corrections.correct(library, QUESTION, RIGHT, "Anna Weber", passage_ids=[passage_id(library)], **other)  # type: ignore[arg-type]


def answer(library: Library, question: str, collection: str | None = None) -> Answer | None:
    return corrections.answer(library, question, collection, Rarity.of_library(library.connection), Timings(0.0))


def put_first(library: Library, question: str, route: str = "engine") -> Answer:
    passage = library.passage(passage_id(library))
    given = Answer(passage.text, route, None, (Quote(passage, 0, len(passage.text)).citation(),), Timings(1.0))  # type: ignore[arg-type]
    return corrections.put_first(given, library, question, None, Rarity.of_library(library.connection))


def test_a_correction_answers_its_question_signed_dated_and_cited_first(pump: Library) -> None:
    correct(pump)
    given = answer(pump, "What's the pump's relief valve set to?")
    assert given is not None
    assert given.text == RIGHT
    assert given.citations[0].quote == RIGHT
    assert given.citations[0].document.startswith("Correction by Anna Weber, 20")
    assert given.citations[1].document == "pump.md"
    assert given.notes == (f"{corrections.listing(pump)[0].signature}.",)
    assert Answer.from_json(given.to_json()) == given


@pytest.mark.parametrize(
    "question", ["What is the relief valve of the press set to?", "What must the relief valve of the pump not be set to?", "How old is it?"]
)
def test_another_question_is_not_answered_by_it(pump: Library, question: str) -> None:
    correct(pump)
    assert answer(pump, question) is None


def test_a_written_answer_on_the_corrected_passage_has_it_in_front(pump: Library) -> None:
    correct(pump)
    given = put_first(pump, "To how many bar is the pump's valve set?")
    assert given.text.startswith("Correction by Anna Weber, ")
    assert "210 bar" in given.text
    assert given.citations[0].correction_id is not None
    assert given.citations[1].document == "pump.md"


def test_a_withdrawn_correction_is_silent_and_can_be_restored(pump: Library) -> None:
    correction_id = correct(pump)
    (made,) = corrections.listing(pump)
    corrections.withdraw(pump, correction_id, "Bert")
    assert answer(pump, QUESTION) is None
    assert put_first(pump, QUESTION).citations[0].correction_id is None
    assert chat.standing(pump.connection, made.citation()) == "removed"
    assert corrections.listing(pump)[0].withdrawn_by == "Bert"
    corrections.restore(pump, correction_id)
    assert answer(pump, QUESTION) is not None
    assert chat.standing(pump.connection, made.citation()) == "current"


def test_a_correction_of_a_text_that_changed_waits_for_a_look(pump: Library, add: Add) -> None:
    correct(pump)
    add("pump.md", PUMP.replace("210 bar", "220 bar"))
    assert corrections.listing(pump)[0].state == "to review"
    assert answer(pump, QUESTION) is None


def test_the_newest_of_two_corrections_counts(pump: Library) -> None:
    correct(pump)
    corrections.correct(pump, QUESTION, "Since the overhaul 44 bar.", "Bert")
    given = answer(pump, QUESTION)
    assert given is not None
    assert given.text == "Since the overhaul 44 bar."


def test_a_correction_holds_in_its_collection(pump: Library) -> None:
    correct(pump, collection="General")
    assert answer(pump, QUESTION, "General") is not None
    pump.connection.execute("INSERT INTO collections(name) VALUES ('Press 5')")
    assert answer(pump, QUESTION, "Press 5") is None


def test_a_correction_is_signed_and_says_something(pump: Library) -> None:
    with pytest.raises(ValueError, match="name"):
        corrections.correct(pump, QUESTION, RIGHT, " ")
    with pytest.raises(ValueError, match="0 characters"):
        corrections.correct(pump, QUESTION, " ", "Anna")
    with pytest.raises(KeyError, match="no correction 9"):
        corrections.withdraw(pump, 9, "Anna")
    with pytest.raises(ValueError, match="who takes it back"):
        corrections.withdraw(pump, correct(pump), "")
