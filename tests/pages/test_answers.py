"""What goes into the clipboard and the small print of an answer."""

from __future__ import annotations

from dataclasses import replace

from pages.elements.answers import as_plain_text, timings
from surrogates.answer import Answer, Citation, Timings, by_place

PLACE = Citation("pump.pdf", 1, 1, 2, 5, 4, ("Maintenance", "Oil"), "Change the oil.")
ANSWER = Answer("Every 2,000 h.", "engine", None, (PLACE,), Timings(2.51, first_token=0.31, search=0.004))


def test_a_copied_answer_names_its_sources_with_revision_page_and_heading() -> None:
    assert as_plain_text(ANSWER) == "Every 2,000 h.\n[1] pump.pdf (revision 2), page 4, Maintenance / Oil"


def test_a_passage_that_is_quoted_twice_is_one_source() -> None:
    twice = replace(ANSWER, citations=(PLACE, replace(PLACE, passage_id=9), replace(PLACE, quote="Use oil A.")))
    assert [[each.quote for each in place] for place in by_place(twice.citations)] == [
        ["Change the oil.", "Use oil A."],
        ["Change the oil."],
    ]
    assert as_plain_text(twice).count("pump.pdf") == 2


def test_the_small_print_has_only_the_steps_that_were_taken() -> None:
    assert timings(ANSWER.seconds) == "search 4 ms · first words 0.31 s · all 2.5 s"
    assert timings(Timings(0.02)) == "all 20 ms"
