"""Questions in two parts and their joined answers."""

from __future__ import annotations

import pytest

from surrogates.answer import Answer, Citation, Timings
from surrogates.parts import join, split


def given(text: str, place: int, route: str = "engine", engine_s: float | None = 1.0, total_s: float = 1.0) -> Answer:
    citation = Citation("pump.md", 1, 1, 1, place, None, ("Pump",), text)
    return Answer(text, route, None, (citation,), Timings(total_s, engine=engine_s))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        ("What is the oil volume? How often is the oil changed?", ("What is the oil volume", "How often is the oil changed?")),
        ("where is the spare fuse; what rating has the main fuse", ("where is the spare fuse", "what rating has the main fuse")),
        ("How do I open the cover and how do I close it?", ("How do I open the cover", "How do I open the cover, how do I close it?")),
        ("Why does the motor get hot and what should I do?", ("Why does the motor get hot and what should I do?",)),
        ("What is the difference between M104 and M109?", ("What is the difference between M104 and M109?",)),
        ("a?b? c? d? e? f?", ("a?b? c? d? e? f?",)),
    ],
)
def test_each_part_can_be_asked_alone(question: str, parts: tuple[str, ...]) -> None:
    assert split(question) == parts


def test_both_answers_come_with_both_places_and_the_time_of_both() -> None:
    joined = join(("a", "b"), (given("4 litres.", 1, total_s=1.0), given("Every year.", 2, engine_s=2.0, total_s=3.5)))
    assert joined.text == "4 litres.\n\nEvery year."
    assert [citation.passage_id for citation in joined.citations] == [1, 2]
    assert (joined.seconds.total, joined.seconds.engine) == (3.5, 3.0)
    assert joined.notes == ()


def test_what_is_said_already_is_not_said_again() -> None:
    assert join(("a", "b"), (given("4 litres. Every year.", 1), given("Every year.", 1))).text == "4 litres. Every year."


def test_a_declined_part_is_named_and_the_other_answered() -> None:
    joined = join(("How much oil", "which colour"), (given("4 litres.", 1), given("Not found.", 2, "declined", None)))
    assert (joined.text, joined.route) == ("4 litres.", "engine")
    assert "which colour" in joined.notes[0]


def test_parts_that_are_all_declined_are_declined() -> None:
    assert join(("a", "b"), (given("Not found.", 1, "declined"), given("Not found.", 2, "declined"))).route == "declined"
