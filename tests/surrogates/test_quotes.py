"""Quotes and what they bring along."""

from __future__ import annotations

from pathlib import Path

import pytest

from kb.records import Passage
from surrogates.quotes import Quote, asks_for_a_way, compose, option, rank_units, with_context
from surrogates.units import spans
from surrogates.wording import Rarity

STEPS = "To change the filter:\n1. Stop the pump. Wait.\n2. Open the\nhousing.\n3. Swap the element.\nKeep the old one."
OPTIONS = (
    "Sounds are set here.\nFrom the menu, tap Sounds for these options:\nVolume: Set how loud it is.\nThis needs a key.\n"
    "Tone: Choose a tone."
)
TABLE = "Code: E-17; Alarm: Nozzle temperature deviation; Remedy: Measure the heater band\nCode: E-18; Alarm: Zone 1 too cold; Remedy: Wait"


def passage(text: str, id_: int = 1, heading: tuple[str, ...] = ("Press",)) -> Passage:
    return Passage(id_, 1, "press.md", 1, 1, "General", "prose", heading, text, None, None, (), 0, len(text), "")


def quote(text: str, part: str) -> Quote:
    start = text.index(part)
    span = next(span for span in spans(text) if span.start <= start < span.end)
    return Quote(passage(text), span.start, span.end)


def composed(question: str, text: str, part: str) -> list[str]:
    return [piece.text for piece in compose(question, quote(text, part))]


def test_a_step_brings_all_steps_and_the_line_that_leads_to_them() -> None:
    assert composed("How do I change the filter?", STEPS, "Swap") == [STEPS.removesuffix("\nKeep the old one.")]


def test_an_option_brings_its_own_sentences_and_what_leads_to_the_list_but_not_its_neighbours() -> None:
    assert composed("How can I choose a tone?", OPTIONS, "Tone") == [OPTIONS[: OPTIONS.index("\nVolume")], "Tone: Choose a tone."]
    assert composed("How loud?", OPTIONS, "Volume") == [OPTIONS[: OPTIONS.index("\nTone")]]


def test_a_table_row_is_quoted_alone() -> None:
    assert composed("What does E-18 mean?", TABLE, "E-18") == [TABLE.splitlines()[1]]


def test_a_sentence_that_refers_back_brings_the_one_before() -> None:
    text = "The relief valve protects the pump. It opens at 210 bar. Oil then flows to the tank."
    assert composed("What pressure does it open at?", text, "210") == ["The relief valve protects the pump. It opens at 210 bar."]
    assert composed("What protects the pump?", text, "protects") == ["The relief valve protects the pump."]


def in_context(question: str, text: str, part: str, limit: int) -> list[str]:
    best = quote(text, part)
    return [piece.text for piece in with_context(best, compose(question, best), limit)]


def test_a_sentence_comes_with_as_many_around_it_as_fit() -> None:
    text = "The valve protects the pump. Turn the screw. The valve opens at 210 bar. Seal it. Write the date on the tag."
    assert in_context("Which pressure?", text, "210", 6) == ["The valve opens at 210 bar."]
    assert in_context("Which pressure?", text, "210", 8) == ["The valve opens at 210 bar. Seal it."]
    assert in_context("Which pressure?", text, "210", 11) == ["Turn the screw. The valve opens at 210 bar. Seal it."]
    assert in_context("Which pressure?", text, "210", 60) == [text]
    assert in_context("Which date?", text, "Write", 3) == ["Write the date on the tag."]  # longer than the limit by itself


def test_steps_beside_a_sentence_are_left_out() -> None:
    text = "1. Stop the pump.\n2. Turn the screw.\nThe valve opens at 210 bar. Seal it.\n1. Start the pump."
    assert in_context("Which pressure?", text, "210", 60) == ["The valve opens at 210 bar. Seal it."]


def test_an_item_of_a_list_comes_with_those_around_it() -> None:
    text = "- Problem: The programmer is slow.\n- Solution: Set low_latency on the port."
    assert in_context("Why is it slow?", text, "slow", 60) == [text]
    assert in_context("Why is it slow?", text, "slow", 7) == ["- Problem: The programmer is slow."]


@pytest.mark.parametrize(("text", "part"), [(STEPS, "Swap"), (OPTIONS, "Tone"), (OPTIONS, "Volume"), (TABLE, "E-18")])
def test_steps_options_and_rows_come_without_what_stands_around_them(text: str, part: str) -> None:
    assert in_context("How do I do it?", text, part, 200) == composed("How do I do it?", text, part)


def test_every_piece_stands_word_for_word_in_the_passage() -> None:
    for text in (STEPS, OPTIONS, TABLE):
        for span in spans(text):
            best = Quote(passage(text), span.start, span.end)
            for piece in with_context(best, compose("How is it done?", best)):
                assert piece.text
                assert piece.text in text


@pytest.mark.parametrize(
    "question", ["How do I set it?", "Where can I find the option?", "What should I do when it stops?", "Can I lock it?"]
)
def test_questions_for_a_way_are_told(question: str) -> None:
    assert asks_for_a_way(question)


@pytest.mark.parametrize(
    "question", ["How many bolts are there?", "What is the torque?", "How often must I oil it?", "How high is the pressure?"]
)
def test_questions_for_a_fact_are_told(question: str) -> None:
    assert not asks_for_a_way(question)


@pytest.mark.models
def test_the_row_about_a_code_comes_before_sentences_that_mention_it(default_encoder: Path) -> None:
    from kb.encoder import Encoder

    mention = passage("E-17 is often mixed up with E-18. E-17 may follow a power cut, and so may E-18.", 2)
    ranked = rank_units("What does E-17 mean?", [mention, passage(TABLE)], Rarity.of([TABLE, mention.text]), Encoder(default_encoder))
    assert ranked[0].text == TABLE.splitlines()[0]


def test_a_named_option_is_shown_with_all_its_sentences_and_what_leads_to_the_list() -> None:
    text = OPTIONS.replace("This needs a key.", "This needs a key. Ask for it. Keep it. Do not lend it.")
    pieces = [piece.text for piece in option(quote(text, "Volume"))]
    assert pieces == [text.removesuffix("\nTone: Choose a tone.")]
    assert option(quote(text, "Tone"))[-1].text == "Tone: Choose a tone."


@pytest.mark.parametrize(
    ("text", "part"),
    [
        pytest.param("Volume: Set how loud it is.\nIt beeps twice.", "Volume", id="the only one of its kind"),
        pytest.param("MODEL: Pump RS 15\nLOAD: 24.0 Percent\nSTATUS: On the line", "MODEL", id="a listing of values"),
        pytest.param("Note: Stop it first.\n- Lamp: Shines when it runs.\n- Horn: Sounds when it stops.", "Lamp", id="a marked item"),
        pytest.param(TABLE, "E-17", id="a table row"),
        pytest.param(OPTIONS, "This needs", id="a sentence behind a name"),
    ],
)
def test_what_is_no_named_option_is_left_to_its_surroundings(text: str, part: str) -> None:
    assert option(quote(text, part)) == []
