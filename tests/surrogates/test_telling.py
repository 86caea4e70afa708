"""Instant answers told with what they need."""

from __future__ import annotations

from kb.records import Passage
from surrogates.quotes import Quote
from surrogates.telling import told
from tests.surrogates.sections import Section

SCREEN = (
    "You can set up the screen.\nFrom Settings, tap Display for these options:\nBrightness: Set how bright it is.\nTone: Choose a tone."
)


def quoted(passage: Passage, text: str) -> Quote:
    start = passage.text.index(text)
    return Quote(passage, start, start + len(text))


def test_an_option_is_told_with_the_way_to_it_where_the_question_asks_how() -> None:
    section = Section(SCREEN)
    text, quotes = told("How do I choose a tone?", "Tone: Choose a tone.", [quoted(section.passages[0], "Tone: Choose a tone.")], section)  # type: ignore[arg-type]
    assert text == SCREEN.replace("Brightness: Set how bright it is.\n", "")
    assert [quote.text for quote in quotes] == [SCREEN[: SCREEN.index("\nBrightness")], "Tone: Choose a tone."]


def test_a_step_is_told_with_all_steps_of_the_section() -> None:
    section = Section("1. Stop it.\n2. Pull it.", "3. Push it.")
    text, quotes = told("How is it done?", "3. Push it.", [quoted(section.passages[1], "3. Push it.")], section)  # type: ignore[arg-type]
    assert text == "1. Stop it.\n2. Pull it.\n3. Push it."
    assert [quote.passage.id for quote in quotes] == [1, 2]


def test_what_is_no_quote_word_for_word_stays_as_it_is() -> None:
    section = Section("Code: E-17; Cause: Heater")
    quotes = [quoted(section.passages[0], section.passages[0].text)]
    assert told("What causes E-17?", "E-17 - Cause: Heater", quotes, section) == ("E-17 - Cause: Heater", quotes)  # type: ignore[arg-type]


def test_nothing_that_was_quoted_is_left_out() -> None:
    section = Section("It is red. It is hot. It is loud.")
    quotes = [quoted(section.passages[0], section.passages[0].text)]
    assert told("Which colour is it?", section.passages[0].text, quotes, section) == (section.passages[0].text, quotes)  # type: ignore[arg-type]
