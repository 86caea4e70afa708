"""Text of documents is shown as it is, whatever markup it seems to hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pages.elements import text


def rendered(source: str) -> str:
    return MarkdownIt("commonmark").render(text.as_markdown(source))


@given(st.text(alphabet="ab12 *_$[]<>#|~:!\\()+-=", max_size=60).filter(lambda source: "**" not in source))
def test_no_character_of_a_line_is_taken_as_markup(source: str) -> None:
    line = "x " + " ".join(source.split())
    shown = rendered(line)
    assert shown.startswith("<p>") and shown.count("<") == 2, "nothing but the paragraph itself"


def test_lists_code_and_bold_stay() -> None:
    shown = rendered("Do this:\n\n1. Press `M112`\n2. **Wait** 5 s")
    assert "<ol>" in shown
    assert "<code>M112</code>" in shown
    assert "<strong>Wait</strong>" in shown


def test_a_heading_a_rule_and_html_of_a_passage_are_only_text() -> None:
    shown = rendered("# Danger\n---\n<script>alert(1)</script>")
    assert "<h" not in shown and "<script>" not in shown


def test_line_breaks_of_a_passage_are_kept() -> None:
    assert rendered("first\nsecond").count("<br") == 1


def test_a_quote_is_marked_and_everything_is_escaped() -> None:
    shown = text.marked_html("a < b, set 42 bar & wait", "42 bar")
    assert "<mark>42 bar</mark>" in shown
    assert "a &lt; b" in shown and "&amp; wait" in shown


def test_several_quotes_are_marked_in_the_order_of_the_text() -> None:
    shown = text.marked_html("open it: first, second, third", "third", "open it:")
    assert "<mark>open it:</mark> first, second, <mark>third</mark>" in shown


def test_a_quote_that_is_not_in_the_passage_leaves_it_unmarked() -> None:
    assert "<mark>" not in text.marked_html("one two", "three")
    assert "<mark>" not in text.marked_html("one two", "")


def test_a_long_label_is_cut_and_has_one_line() -> None:
    label = text.as_label("a\nb " * 40, 20)
    assert "\n" not in label
    assert len(label) <= 20 and label.endswith("…")


@pytest.mark.parametrize(
    ("size", "said"), [(0, "0 bytes"), (999, "999 bytes"), (1_500, "1.5 KB"), (98_362_432, "98 MB"), (1_117_320_768, "1.1 GB")]
)
def test_sizes_are_said_in_powers_of_ten(size: int, said: str) -> None:
    assert text.size(size) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0041, "4 ms"), (0.84, "0.84 s"), (6.31, "6.3 s"), (45, "45 s"), (240, "4 min"), (7_800, "2 h 10 min")]
)
def test_durations_are_said_in_the_unit_that_fits(seconds: float, said: str) -> None:
    assert text.duration(seconds) == said


def test_counts_agree_with_their_noun() -> None:
    assert (text.count(1, "page"), text.count(1200, "passage")) == ("1 page", "1,200 passages")


def as_html(answer: str) -> str:
    return MarkdownIt("commonmark").enable("table").render(text.answer_as_markdown(answer))


def test_a_row_shows_each_field_on_a_line_of_its_own() -> None:
    shown = as_html("Characteristic: Mass without oil; Unit: kg; HX 200: 24; Note: a | b * c; d")
    assert shown.count("<br />") == 3
    assert "<strong>HX 200</strong>: 24<br />" in shown
    assert "<strong>Note</strong>: a | b * c; d</p>" in shown


def test_rows_with_the_same_labels_are_one_table() -> None:
    shown = as_html("The alarms are:\nCode: E-17; Meaning: Oil low\nCode: E-18; Meaning: Guard | open\n\nStop at once.")
    assert shown.startswith("<p>The alarms are:</p>") and shown.strip().endswith("<p>Stop at once.</p>")
    assert shown.count("<table>") == 1 and shown.count("<tr>") == 3
    assert "<th>Code</th>" in shown and "<td>Guard | open</td>" in shown


def test_what_is_no_row_is_shown_as_any_text() -> None:
    for answer in ("Wait; note: do not open it.", "1. Stop.\n2. Wait *here*.", "```\nA: 1; B: 2\n```"):
        assert text.answer_as_markdown(answer) == text.as_markdown(answer)
