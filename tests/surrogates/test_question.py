"""Questions as typed, and follow-ups."""

from __future__ import annotations

import pytest

from surrogates.question import MAX_CHARACTERS, QuestionRefused, normalise, with_topic


def test_white_space_and_control_characters_become_single_spaces() -> None:
    assert normalise("  what\tis\n\x00alarm\u200b E-17 ? ") == "what is alarm E-17 ?"


def test_composed_and_decomposed_letters_are_one_question() -> None:
    assert normalise("u\u0308ber") == normalise("\u00fcber")


@pytest.mark.parametrize("empty", ["", "   ", "\n\t", "???", "\x00\x01"])
def test_a_question_without_letters_or_digits_is_refused(empty: str) -> None:
    with pytest.raises(QuestionRefused, match="empty"):
        normalise(empty)


def test_a_question_that_is_too_long_is_refused_with_its_length_and_the_limit() -> None:
    with pytest.raises(QuestionRefused, match=r"10,000 characters, at most 2,000"):
        normalise("x" * 10_000)
    assert normalise("x" * MAX_CHARACTERS)


@pytest.mark.parametrize("question", ["And its torque?", "what about the filter?", "Why?", "How do I do that?", "and for the second one?"])
def test_a_question_without_content_of_its_own_is_searched_with_the_one_before(question: str) -> None:
    assert with_topic(question, "How do I fit the pump coupling?") == f"How do I fit the pump coupling? {question}"


@pytest.mark.parametrize(
    "question",
    [
        "What does alarm E-17 mean on the moulding machine?",
        "When must the hydraulic oil be changed?",
        "Does the pump need its shaft seal greased every year?",
    ],
)
def test_a_question_that_names_its_topic_is_searched_as_it_stands(question: str) -> None:
    assert with_topic(question, "How do I fit the pump coupling?") == question


def test_the_first_question_of_a_chat_is_searched_as_it_stands() -> None:
    assert with_topic("And its torque?", None) == "And its torque?"
