"""The question as it was typed, made fit to be asked, and the topic that a follow-up takes over from the turn before."""

from __future__ import annotations

import re
import unicodedata

from surrogates.wording import content, words

MAX_CHARACTERS = 2_000
REFERRING = frozenset({"it", "its", "it's", "that", "this", "these", "those", "they", "them", "their", "one", "ones", "there", "same"})
CONTINUING = re.compile(r"^(and|or|but|also|then|what about|how about|what of)\b", re.IGNORECASE)
OWN_WORDS_AT_MOST = 2  # a question with more content words than this stands by itself


class QuestionRefused(ValueError):
    """The question cannot be asked; the message says why and what to do."""


def normalise(text: str) -> str:
    """One line of composed Unicode without control characters.

    Raises:
        QuestionRefused: nothing is left, or more than `MAX_CHARACTERS`.
    """
    composed = unicodedata.normalize("NFC", text)
    printable = "".join(" " if unicodedata.category(character).startswith("C") else character for character in composed)
    line = " ".join(printable.split())
    if not any(character.isalnum() for character in line):
        raise QuestionRefused("the question is empty; type what you want to know")
    if len(line) > MAX_CHARACTERS:
        raise QuestionRefused(
            f"the question has {len(line):,} characters, at most {MAX_CHARACTERS:,} can be asked; ask for one thing in a sentence or two"
        )
    return line


def with_topic(question: str, previous: str | None) -> str:
    """The text to search for: `question`, led by the `previous` one when it has no content of its own.

    "And its torque?" after "How do I fit the pump coupling?" is searched as both together; a question that names what it is about
    is searched as it stands.
    """
    if previous is None or not is_follow_up(question):
        return question
    return f"{previous} {question}"


def is_follow_up(question: str) -> bool:
    """Whether the question leans on the one before: it refers or continues, and says little itself."""
    leans = bool(CONTINUING.match(question)) or not REFERRING.isdisjoint(words(question))
    own = content(question)
    return not own or (leans and len(own) <= OWN_WORDS_AT_MOST)
