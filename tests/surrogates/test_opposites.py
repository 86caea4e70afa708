"""Which side of a pair of opposites a question takes."""

import pytest

from surrogates.opposites import opposite, polarity_agrees, turned


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        ("How do I lock the door?", "How do I lock or unlock the door?"),
        ("How do I export contacts?", "How do I import contacts or export them?"),
        ("How do I delete a card?", "How do I add, delete and rename cards?"),
        ("Is power on or off?", "What does the ON/OFF switch do?"),
        ("How do I print on glass?", "How do I print on a glass bed?"),
        ("Which of the following parts wear?", "Which parts wear?"),
    ],
)
def test_one_side_is_covered_where_both_are_offered(asked: str, known: str) -> None:
    assert polarity_agrees(asked, known, known)


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        ("What is the hide button to hide the keyboard?", "What is the show button to hide the keyboard?"),
        ("Where is one side low?", "Why is one side high, one side low?"),
        ("What is the stay off lock screen?", "What is the stay on lock screen?"),
        ("How do I heat the bed until it is printed?", "How do I heat the bed after it is printed?"),
        ("How do I hide the button?", "How do I show the button that hides the panel, and hide the panel?"),
    ],
)
def test_both_sides_in_one_thing_offer_no_choice(asked: str, known: str) -> None:
    assert not polarity_agrees(asked, known, f"{known} on off")


def test_the_opposite_keeps_the_capital_and_unknown_words_have_none() -> None:
    assert turned("Maximum pressure?") == "Minimum pressure?"
    assert opposite("valve") is None and turned("What is a valve?") is None
