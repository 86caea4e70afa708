"""Procedures whose section goes on in the next passage."""

from __future__ import annotations

from pathlib import Path

import pytest

from kb.library import Library
from surrogates.procedures import complete, has_steps
from surrogates.quotes import Quote, compose
from surrogates.units import spans
from tests.surrogates.sections import Section

ASKED = "How do I replace the strainer?"
FILLER = "Look at the drawing of the pump in the annex while you do this and keep the parts in the order in which they come off."
STEPS = [f"{number}. {step} {FILLER}" for number, step in enumerate(
    ("Stop the pump.", "Drain the tank.", "Open the cover.", "Pull the strainer out.", "Fit the new strainer.", "Close the cover.",
     "Fill the tank.", "Vent the pump.", "Start the pump.", "Check for leaks."), start=1)]  # fmt: skip
MANUAL = "\n".join(
    ["# Pump", "", "## Replacing the strainer", "", "Proceed as follows:", "", *STEPS, "", "## Storing the pump", "", *STEPS[4:7]]
)


def answered(section: Section, part: str, question: str = ASKED) -> str:
    passage = next(passage for passage in section.passages if part in passage.text)
    start = passage.text.index(part)
    span = next(span for span in spans(passage.text) if span.start <= start < span.end)
    best = Quote(passage, span.start, span.end)
    return "\n".join(quote.text for quote in complete(question, best, compose(question, best), section))  # type: ignore[arg-type]


@pytest.fixture
def library(home: Path, tmp_path: Path, default_encoder: Path) -> Library:
    file = tmp_path / "pump.md"
    file.write_text(MANUAL, encoding="utf-8")
    library = Library(home)
    library.add(file)
    return library


@pytest.mark.models
def test_all_steps_come_from_whichever_passage_one_of_them_was_found_in(library: Library) -> None:
    passages = [passage for passage in library.passages() if passage.heading[-1] == "Replacing the strainer"]
    assert len(passages) > 1
    for passage in passages:
        for span in spans(passage.text):
            if span.is_step:
                best = Quote(passage, span.start, span.end)
                quotes = complete(ASKED, best, compose(ASKED, best), library)
                assert "\n".join(quote.text for quote in quotes) == "\n".join(["Proceed as follows:", *STEPS])
                assert all(quote.text in library.passage(quote.passage.id).text for quote in quotes)
    library.close()


@pytest.mark.models
def test_a_passage_that_is_gone_leaves_the_quote_as_it_is(library: Library) -> None:
    passage = next(passage for passage in library.passages() if "Stop the pump" in passage.text)
    span = next(span for span in spans(passage.text) if span.is_step)
    best = Quote(passage, span.start, span.end)
    library.remove(passage.document_id)
    assert complete(ASKED, best, compose(ASKED, best), library) == compose(ASKED, best)
    library.close()


def test_another_list_of_the_section_is_no_part_of_the_procedure() -> None:
    section = Section("To take it out:\n1. Stop it.\n2. Pull it.", "To put it back:\n1. Push it.\n2. Start it.")
    assert answered(section, "Pull") == "To take it out:\n1. Stop it.\n2. Pull it."
    assert answered(section, "Start") == "To put it back:\n1. Push it.\n2. Start it."


def test_a_list_inside_a_step_comes_with_the_step_and_the_steps_behind_it() -> None:
    section = Section("1. Choose a prefix:\n1. P is for printers.\n2. K is for kits.", "2. Save the file.\n3. Restart.")
    assert answered(section, "Choose") == "\n".join(passage.text for passage in section.passages)
    assert answered(section, "Save") == "\n".join(passage.text for passage in section.passages)


def test_a_lead_in_that_a_passage_repeats_is_said_once() -> None:
    section = Section("Useful steps:\n1. Stop it.\n2. Pull it.", "Useful steps:\n3. Push it.")
    assert answered(section, "Push") == "Useful steps:\n1. Stop it.\n2. Pull it.\n3. Push it."


def test_a_line_that_leads_to_steps_brings_them() -> None:
    long = " ".join([FILLER] * 5)
    section = Section(
        f"{long}\nTo replace the strainer:\n1. Stop it.\n2. Pull it.\n- Mind the seal.", "3. Push it:\n- gently\n- straight\nDone."
    )
    assert answered(section, "To replace").endswith("1. Stop it.\n2. Pull it.\n- Mind the seal.\n3. Push it:\n- gently\n- straight")


def test_items_that_the_quote_announces_come_with_it() -> None:
    section = Section(" ".join([FILLER] * 5) + "\nTo clean the lens:\n- Switch it off.\n- Wipe it.\nKeep it dry.")
    assert answered(section, "To clean").endswith("To clean the lens:\n- Switch it off.\n- Wipe it.")


def test_a_question_for_a_fact_brings_no_further_passage() -> None:
    section = Section("1. Stop the pump.\n2. Drain 4 litres.", "3. Start it.")
    assert "Start" not in answered(section, "Drain", "How many litres are drained?")


def test_numbered_chapters_are_no_procedure() -> None:
    section = Section(*(f"{number}. Chapter. " + " ".join([FILLER] * 8) for number in range(1, 5)))
    assert "2. Chapter" not in answered(section, "1. Chapter")


def test_steps_are_told_from_a_single_number() -> None:
    passage = Section("1. Stop it.\n2. Pull it.").passages[0]
    assert has_steps([Quote(passage, 0, 11), Quote(passage, 12, 23)])
    assert not has_steps([Quote(passage, 0, 11)])
    sizes = Section("3.5 mm is the smaller one.\n4.5 mm is the larger one.").passages[0]
    assert not has_steps([Quote(sizes, 0, len(sizes.text))])
