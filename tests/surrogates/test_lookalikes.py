import pytest

from surrogates import gates
from surrogates.lookalikes import look_alikes
from surrogates.wording import Rarity

QUESTIONS = [
    "What does alarm E-17 mean?",
    "What is the torque for a 2.5 mm screw?",
    "What does error 9 mean?",
    "How do I install the filter?",
    "What is the maximum pressure of the P200 at 80 °C?",
    "How do I turn on the heater before start-up?",
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_look_alike_differs_and_no_gate_lets_it_pass(question: str) -> None:
    made = list(look_alikes(question))
    assert made
    for other in made:
        assert other.text != question
        assert gates.refusal(other.text, question, question, Rarity.of(QUESTIONS)) is not None


def test_look_alikes_are_the_same_for_the_same_seed() -> None:
    assert list(look_alikes(QUESTIONS[0], 3)) == list(look_alikes(QUESTIONS[0], 3))


def test_a_question_with_nothing_to_change_has_none() -> None:
    assert list(look_alikes("What is a relief valve?")) == []


def test_every_kind_is_made() -> None:
    assert {other.kind for question in QUESTIONS for other in look_alikes(question)} == {"number", "unit", "code", "polarity"}


def test_a_question_that_names_both_sides_already_is_not_turned() -> None:
    assert [other.kind for other in look_alikes("How do I lock or unlock the door?")] == []
