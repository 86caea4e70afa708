from types import SimpleNamespace
from typing import Any

import pytest

from kb.passages import cut
from kb.readers.markdown import markdown_blocks
from surrogates import structure
from surrogates.pairs import Pair
from surrogates.rows import code_name, read_rows
from surrogates.structure import heading_questions
from surrogates.verbs import plain_form, task

MANUAL = """# Press 40

## Replacing the filter element

Before you begin:

1. Close the shut-off valve.
2. Unscrew the housing.
3. Fit the new element and tighten to 25 Nm.

## Technical data

| Parameter | P40 | P60 |
|---|---|---|
| Maximum pressure | 200 bar | 300 bar |
| Oil volume | 40 l | 60 l |

## Alarms

| Alarm code | Meaning | Cause | Remedy |
|---|---|---|---|
| E-17 | Oil level low | Leak at the tank | Refill the tank with oil |
| E-18 | Oil too hot | Cooler is dirty | Clean the cooler |

## Accumulator

The accumulator is a vessel that holds oil under pressure. If the accumulator loses pressure, fill it with nitrogen.

- Filling pressure: 80 bar
- Test interval: every 12 months
"""


@pytest.fixture(scope="module")
def made() -> list[Pair]:
    return structure.pairs(passages(MANUAL))


def passages(text: str) -> list[Any]:
    return [
        SimpleNamespace(id=number, document_id=1, heading=draft.heading, text=draft.text, kind=draft.kind)
        for number, draft in enumerate(cut(markdown_blocks(text)), start=1)
    ]


def answer_to(made: list[Pair], question: str) -> str:
    return next(pair.answer for pair in made if pair.question == question)


def test_a_task_heading_asks_how_and_its_steps_are_complete(made: list[Pair]) -> None:
    answer = answer_to(made, "How do I replace the filter element?")
    assert [line[:2] for line in answer.splitlines()] == ["1.", "2.", "3."]
    assert answer.endswith("tighten to 25 Nm.")


def test_a_code_row_asks_for_meaning_cause_and_remedy(made: list[Pair]) -> None:
    assert "Oil level low" in answer_to(made, "What does alarm E-17 mean?")
    assert "Leak at the tank" in answer_to(made, "What causes alarm E-17?")
    assert "Refill the tank" in answer_to(made, "What is the remedy for alarm E-17?")
    assert "E-18" not in answer_to(made, "What is the remedy for alarm E-17?")


def test_a_value_table_asks_for_each_cell_by_row_and_column(made: list[Pair]) -> None:
    assert answer_to(made, "What is the maximum pressure of P60?").endswith("300 bar")
    assert answer_to(made, "What is the oil volume of P40?").endswith("40 l")


def test_a_definition_answers_what_is(made: list[Pair]) -> None:
    assert answer_to(made, "What is accumulator?").startswith("The accumulator is a vessel")


def test_a_condition_answers_what_to_do(made: list[Pair]) -> None:
    assert "nitrogen" in answer_to(made, "What should I do if the accumulator loses pressure?")


def test_labelled_values_ask_for_their_label(made: list[Pair]) -> None:
    assert answer_to(made, "What is the filling pressure?") == "Filling pressure: 80 bar"


def test_every_quote_lies_in_its_passage(made: list[Pair]) -> None:
    texts = {passage.id: passage.text for passage in passages(MANUAL)}
    for pair in made:
        for quote in pair.quotes:
            assert texts[quote.passage_id][quote.start : quote.end].strip()


def test_sections_of_one_name_say_which_they_are() -> None:
    assert heading_questions("Cleaning the filter", " in Pump 2") == ["How do I clean the filter in Pump 2?"]


@pytest.mark.parametrize("title", ["Overview", "General notes", "", "3.2"])
def test_headings_that_name_nothing_ask_nothing(title: str) -> None:
    assert heading_questions(structure.clean_title(title)) == []


def test_a_heading_that_is_a_question_is_asked_as_it_stands() -> None:
    assert heading_questions("Why does the pump stall?") == ["Why does the pump stall?"]


@pytest.mark.parametrize(
    ("word", "plain"),
    [("replacing", "replace"), ("setting", "set"), ("fitting", "fit"), ("clean", "clean"), ("ceiling", None), ("pump", None)],
)
def test_verbs_are_brought_to_their_plain_form(word: str, plain: str | None) -> None:
    assert plain_form(word) == plain


def test_a_heading_that_tells_of_trouble_asks_what_to_do() -> None:
    assert heading_questions("The motor does not start") == ["What should I do if the motor does not start?"]
    assert heading_questions("My driver turns off in mid-print") == ["What should I do if my driver turns off in mid-print?"]


def test_both_verbs_of_a_heading_become_plain() -> None:
    assert task("Removing or adding a card") == "remove or add a card"
    assert task("Filter housing") is None


def test_codes_are_called_what_people_call_them() -> None:
    assert code_name("Alarm Code in v1.1+", "9") == "alarm 9"
    assert code_name("$-Code", "100") == "$100"
    assert code_name("No.", "E-4") == "E-4"


def test_a_colon_inside_a_cell_makes_no_column() -> None:
    rows = read_rows("Code: 1; Text: Note: stop first\nCode: 2; Text: Go on")
    assert rows[0].cells == (("Code", "1"), ("Text", "Note: stop first"))


def test_a_coded_heading_is_asked_by_its_name_and_by_code_and_name() -> None:
    assert heading_questions("E-17: Oil level low")[-1] == "What is E-17, oil level low?"
    asked = heading_questions("$27 - Homing pull-off, mm")
    assert asked == ["What is homing pull-off?", "How do I use homing pull-off?", "What is $27, homing pull-off?"]
    assert heading_questions("P60/P80 - Filling the tank") == [
        "How do I fill the tank?",
        "What is P60, filling the tank?",
        "What is P80, filling the tank?",
    ]
