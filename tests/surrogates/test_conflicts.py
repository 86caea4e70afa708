"""Documents that disagree: both are shown, the newer first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kb.library import Library
from surrogates import conflicts, schema
from surrogates.answer import Answer, Timings
from surrogates.quotes import Quote, rank_units
from surrogates.router import Resources, answer
from surrogates.scheduling import Scheduler
from surrogates.settings import Settings
from surrogates.surrogate import Surrogate
from surrogates.wording import Rarity

Add = Callable[[str, str], int]
OLD = """# Pump

## Relief valve

The relief valve of the pump is set to {value} at the factory.

## Oil

The pump needs 20 litres of oil.
"""
NEW = "# Service bulletin\n\n## Relief valve\n\nSince the overhaul the relief valve of the pump is set to {value}.\n"
QUESTION = "What is the relief valve of the pump set to?"


def shown(library: Library, question: str = QUESTION) -> Answer:
    """The best sentence as a written answer, with what stands against it."""
    rarity = Rarity.of_library(library.connection)
    passages = [hit.passage for hit in library.search(question)]
    ranked = rank_units(question, passages, rarity, library.encoder)
    written = Answer(ranked[0].text, "engine", None, (ranked[0].citation(),), Timings(1.0))
    return conflicts.beside(written, question, ranked, rarity)


@pytest.mark.parametrize("newest_last", [True, False])
def test_documents_with_different_values_are_both_shown_the_newer_first(word_library: Library, add: Add, newest_last: bool) -> None:
    documents = [("pump.md", OLD.format(value="210 bar")), ("bulletin.md", NEW.format(value="42 bar"))]
    for name, text in documents if newest_last else documents[::-1]:
        add(name, text)
    given = shown(word_library)
    newest = documents[newest_last][0]
    assert "210 bar" in given.text and "42 bar" in given.text
    assert [citation.document for citation in given.citations] == [newest, documents[not newest_last][0]]
    assert (
        given.text.index("42 bar") < given.text.index("210 bar")
        if newest_last
        else given.text.index("210 bar") < given.text.index("42 bar")
    )
    assert given.notes == (conflicts.DIFFER,)


def test_a_new_revision_of_the_older_document_makes_it_the_newer_one(word_library: Library, add: Add) -> None:
    add("pump.md", OLD.format(value="210 bar"))
    add("bulletin.md", NEW.format(value="42 bar"))
    add("pump.md", OLD.format(value="220 bar"))
    assert [citation.document for citation in shown(word_library).citations] == ["pump.md", "bulletin.md"]


@pytest.mark.parametrize(
    "other",
    [
        NEW.format(value="210 bar"),
        NEW.format(value="21 MPa"),
        "# Press\n\n## Main motor\n\nThe motor of the press takes 32 A at full load.\n",
        NEW.replace("the pump", "the press").format(value="42 bar").replace("relief valve", "hopper door"),
    ],
)
def test_documents_that_agree_or_speak_of_something_else_change_nothing(word_library: Library, add: Add, other: str) -> None:
    add("pump.md", OLD.format(value="210 bar"))
    add("other.md", other)
    assert len(shown(word_library).citations) == 1


def test_another_model_is_no_contradiction(word_library: Library, add: Add) -> None:
    add("p200.md", OLD.replace("# Pump", "# Pump P200").format(value="210 bar"))
    add("p300.md", OLD.replace("# Pump", "# Pump P300").format(value="300 bar"))
    assert len(shown(word_library).citations) == 1


def test_one_that_forbids_what_the_other_demands_is_a_contradiction(word_library: Library, add: Add) -> None:
    add("a.md", "# Saw\n\n## Guard\n\nThe guard of the saw must be removed before the blade is cleaned.\n")
    add("b.md", "# Saw\n\n## Guard\n\nThe guard of the saw must not be removed before the blade is cleaned.\n")
    assert len(shown(word_library, "Must the guard of the saw be removed before the blade is cleaned?").citations) == 2


def test_what_is_declined_or_instant_is_left_as_it_is(word_library: Library, add: Add) -> None:
    add("pump.md", OLD.format(value="210 bar"))
    passage = next(word_library.passages())
    quote = Quote(passage, 0, len(passage.text))
    given = Answer("No.", "declined", None, (quote.citation(),), Timings(1.0))
    assert conflicts.beside(given, QUESTION, [quote], Rarity.of_library(word_library.connection)) is given
    assert conflicts.beside(replace(given, citations=()), QUESTION, [], Rarity.of_library(word_library.connection)).citations == ()


@pytest.fixture
def resources(home: Path, tmp_path: Path, default_encoder: Path, default_pack: Path) -> Iterator[Resources]:
    schema.connect(home).close()
    with Library(home) as library, Scheduler(Settings()) as scheduler:
        for name, text in (("pump.md", OLD.format(value="210 bar")), ("bulletin.md", NEW.format(value="42 bar"))):
            (tmp_path / name).write_text(text, encoding="utf-8")
            library.add(tmp_path / name)
        yield Resources(library, Surrogate(library), scheduler)


@pytest.mark.models
def test_the_user_sees_both_and_the_note(resources: Resources) -> None:
    given = answer(QUESTION, resources)
    assert given.route == "engine"
    assert "42 bar" in given.text and "210 bar" in given.text
    assert [citation.document for citation in given.citations] == ["bulletin.md", "pump.md"]
    assert conflicts.DIFFER in given.notes
