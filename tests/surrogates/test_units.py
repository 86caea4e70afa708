"""Sentences, items and steps of a passage."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from surrogates.units import is_row, spans


def cut(text: str) -> list[str]:
    return [text[span.start : span.end] for span in spans(text)]


def test_sentences_end_at_full_stops_but_not_inside_abbreviations_and_numbers() -> None:
    assert cut("Set 2.5 bar, e.g. with the key. See Fig. 3. Then wait!") == ["Set 2.5 bar, e.g. with the key.", "See Fig. 3.", "Then wait!"]


def test_a_sentence_ends_where_the_next_one_is_glued_to_it() -> None:
    assert cut("Tap Settings.Then tap Sounds.") == ["Tap Settings.", "Then tap Sounds."]


def test_a_span_never_crosses_a_line() -> None:
    assert cut("Torque\n25 Nm dry") == ["Torque", "25 Nm dry"]


def test_a_step_keeps_its_number_and_is_marked() -> None:
    text = "Do this:\n1. Open the valve.\n2) Close it.\n- a bolt"
    assert cut(text) == ["Do this:", "1. Open the valve.", "2) Close it.", "- a bolt"]
    assert [(span.is_step, span.is_item) for span in spans(text)] == [(False, False), (True, True), (True, True), (False, True)]


@given(st.text(max_size=300))
def test_spans_are_in_order_and_only_white_space_lies_between_them(text: str) -> None:
    position = 0
    for span in spans(text):
        assert not text[position : span.start].strip()
        assert span.start < span.end
        position = span.end
    assert not text[position:].strip()


def test_a_row_is_told_from_prose() -> None:
    assert is_row("Code: E-17; Meaning: Oil pressure low")
    assert not is_row("Stop the pump; it is hot.")
    assert not is_row("Torque: 42 Nm")


def test_a_row_of_a_table_is_one_unit() -> None:
    row = "Alarm code in v1.1+: 9; Meaning: Homing fail. Could not find the switch. Push it by hand."
    assert [row[span.start : span.end] for span in spans(row)] == [row]
