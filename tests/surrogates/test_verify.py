"""Written answers against their passages."""

from __future__ import annotations

import pytest

from kb.records import Passage
from surrogates.quotes import Quote
from surrogates.units import spans
from surrogates.verify import settle, tidy, verify
from surrogates.wording import Rarity

PUMP = (
    "The relief valve is set to 210 bar at the factory. Tighten the flange bolts to 85 Nm in a cross pattern.\n"
    "Replace the return filter every 500 hours. Code F-204 reports a clogged return filter."
)
QUESTION = "What is the relief valve set to?"


def passage(text: str, id_: int = 1, heading: tuple[str, ...] = ("Hydraulic pump", "Maintenance")) -> Passage:
    return Passage(id_, 1, "pump.md", 1, 1, "General", "prose", heading, text, 3, 3, (), 0, len(text), "")


RARITY = Rarity.of([PUMP, "The cooling fan runs at night.", "A belt drives the conveyor in the packing hall."])


def check(written: str, question: str = QUESTION):  # type: ignore[no-untyped-def]
    return verify(written, question, [passage(PUMP)], RARITY)


def test_a_sentence_of_the_passage_stays_and_is_quoted() -> None:
    verified = check("The relief valve is set to 210 bar.")
    assert verified.text == "The relief valve is set to 210 bar."
    assert [quote.text for quote in verified.quotes] == ["The relief valve is set to 210 bar at the factory."]
    assert verified.replaced == 0


@pytest.mark.parametrize(
    "wrong",
    [
        "The relief valve is set to 240 bar at the factory.",
        "The relief valve is set to 210 psi at the factory.",
        "Code F-240 reports a clogged return filter.",
        "The relief valve is set to 210 BAR at the FACTORY.",
        "The relief valve is set to 0.210 kbar at the factory.",
        "Tighten the two flange bolts to 85 Nm in a cross pattern.",
        "Replace the return filter every 5000 hours.",
        "Do not tighten the flange bolts to 85 Nm in a cross pattern.",
        "Tighten the flange bolts to 85 Nm when code F-204 reports.",
        "Loosen the flange bolts to 85 Nm in a cross pattern.",
    ],
)
def test_what_the_passage_does_not_say_brings_the_quote_instead(wrong: str) -> None:
    verified = check(wrong)
    assert verified.replaced == 1
    assert verified.text in PUMP


ROWS = (
    "Joint: Mounting flange; Thread: M12 (HX 200), M16 (HX 300); HX 200: 98 Nm; HX 300: 240 Nm\n"
    "Joint: Rear cover; Thread: M10 (HX 200), M12 (HX 300); HX 200: 68 Nm; HX 300: 115 Nm"
)


@pytest.mark.parametrize(
    "altered",
    [
        "Joint: Mounting flange; Thread: M12 (HX 300), M16 (HX 300); HX 200: 98 Nm; HX 300: 240 Nm",
        "Joint: Mounting flange; HX 300: 98 Nm",
        "The torque of the mounting flange of the HX 300 is 115 Nm",
        "The mounting flange of the HX 300 takes 98 Nm",
    ],
)
def test_a_value_under_another_label_brings_the_row_instead(altered: str) -> None:
    question = "Which torque does the mounting flange of the HX 300 take?"
    verified = verify(altered, question, [passage(ROWS, heading=("Tightening torques",))], Rarity.of([ROWS, PUMP]))
    assert verified.text in ("", ROWS.splitlines()[0])


def test_fields_of_a_row_may_be_left_out() -> None:
    written = "Joint: Mounting flange; HX 300: 240 Nm"
    verified = verify(written, "Which torque does the HX 300's mounting flange take?", [passage(ROWS)], Rarity.of([ROWS, PUMP]))
    assert verified.text == written


def test_a_value_of_the_neighbour_is_no_value_of_this_one() -> None:
    prose = "The HX 200 needs 98 Nm and the HX 300 needs 240 Nm."
    verified = verify("The HX 200 needs 240 Nm.", "What does the HX 200 need?", [passage(prose)], Rarity.of([prose, PUMP]))
    assert verified.text == prose


def test_a_number_of_the_question_may_be_said_again() -> None:
    question = "My pump ran 600 hours, when is the filter due?"
    assert check("Your pump ran 600 hours, replace the return filter every 500 hours.", question).replaced == 0


def test_an_invented_sentence_is_left_out() -> None:
    assert check("Our customers love this wonderful product.").text == ""


def test_quotes_stand_word_for_word_in_their_passage() -> None:
    for quote in check("Tighten the bolts of the flange to 85 Nm. Replace the filter every 500 hours.").quotes:
        assert quote.text in PUMP


def test_a_loop_is_cut_at_its_first_repetition() -> None:
    assert tidy("Open the valve. Wait. Open the valve. Wait. Open the valve.") == "Open the valve. Wait."


def test_an_unfinished_last_sentence_is_cut_unless_it_is_all_there_is() -> None:
    assert tidy("Open the valve. Then turn the", is_finished=False) == "Open the valve."
    assert tidy("Then turn the", is_finished=False) == "Then turn the"


@pytest.mark.parametrize("written", ["Answer: Open the valve.", "Excerpt 1: Open the valve.", "Open the valve.\n\nQuestion: What else?"])
def test_echoes_of_the_prompt_are_cut(written: str) -> None:
    assert tidy(written) == "Open the valve."


def test_nothing_written_is_nothing() -> None:
    assert tidy(" \n ") == ""


QUOTES = [Quote(passage(PUMP), span.start, span.end) for span in spans(PUMP)][:1]
SET_TO = "The relief valve is set to 210 bar at the factory."


@pytest.mark.parametrize(
    "written",
    [
        "The relief valve is set to 240 bar at the factory.",
        "Tighten the flange bolts to 85 Nm in a cross pattern.",
        "Our customers love this wonderful product.",
        "",
    ],
)
def test_a_text_that_is_wrong_or_says_something_else_gives_way_to_the_quote(written: str) -> None:
    settled = settle(written, QUESTION, QUOTES, [passage(PUMP)], RARITY)
    assert settled.text == SET_TO
    assert settled.replaced


def test_a_text_that_holds_and_says_what_the_quote_says_is_shown_as_written() -> None:
    written = "At the factory, the relief valve is set to 210 bar. Replace the return filter every 500 hours."
    assert settle(written, QUESTION, QUOTES, [passage(PUMP)], RARITY).text == written


def test_steps_are_quoted_even_where_what_was_written_holds() -> None:
    steps = "1. Stop the pump.\n2. Drain the tank.\n3. Unscrew the strainer."
    quotes = [Quote(passage(steps), 0, len(steps))]
    assert settle(steps.replace("2. Drain the tank.\n", ""), "How is it done?", quotes, [passage(steps)], RARITY).text == steps


def test_without_passages_nothing_is_settled() -> None:
    assert settle("Anything.", QUESTION, [], [], RARITY).text == ""
