"""What a place adds to a question and leaves unsaid."""

from __future__ import annotations

from surrogates.answer_features import ADDED, added
from surrogates.wording import content


def features(question: str, unit: str, shown: str = "", passage: str = "", heading: str = "") -> dict[str, float]:
    found = added(question, unit, shown or unit, passage or shown or unit, content(heading))
    return dict(zip(ADDED, found.tolist(), strict=True))


def test_a_place_that_repeats_the_question_adds_nothing() -> None:
    echo = features("cannot open the valve: no such port", "Cannot open the valve: no such port.")
    told = features("cannot open the valve: no such port", "Set the right device name in the first line of the file.")
    assert echo["echo"] == 1.0
    assert echo["new_words"] == 0.0
    assert told["echo"] < 0.5 < told["new_words"] * 4


def test_a_value_that_is_asked_for_may_be_missing_in_the_unit_or_in_all_that_is_shown() -> None:
    unit = "The pump waits before it starts."
    assert features("how long does the pump wait", unit)["shown_without_value"] == 1.0
    beside = features("default delay of the pump", unit, f"{unit} The delay is 30 s.")
    assert (beside["asks_value"], beside["unit_without_value"], beside["shown_without_value"]) == (1.0, 1.0, 0.0)
    assert features("why does the pump wait", unit)["shown_without_value"] == 0.0


def test_a_number_of_the_question_or_of_a_list_is_no_value() -> None:
    assert features("default delay of pump 2", "2. Set the delay of pump 2.")["unit_without_value"] == 1.0
    assert features("default delay of pump 2", "2. Set the delay of pump 2 to 1.5 s.")["unit_without_value"] == 0.0


def test_words_count_as_said_where_shown_or_in_a_heading() -> None:
    found = features("reset the alarm on the tablet", "Press Reset.", passage="Press Reset. The tablet shows the state.", heading="Alarms")
    assert (found["unsaid_shown"], found["unsaid_passage"]) == (1 / 3, 0.0)
    assert found["unsaid_words"] == 0.25


def test_no_word_at_all_is_no_error() -> None:
    assert set(features("?", "")) == set(ADDED)
