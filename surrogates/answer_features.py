"""What a place adds to a question, and what it leaves unsaid: features of the confidence, beside those that say how alike both are.

A place can match a question in every word because it says the same and nothing more, as the line of a log does that a manual repeats
before it tells what to do. It can lack the number that is asked for. And it can leave the one word unsaid that makes the question another.
"""

from __future__ import annotations

import re
from collections.abc import Set

import numpy as np
from numpy.typing import NDArray

from surrogates.quotes import AMOUNT
from surrogates.wording import content

ADDED = (
    *("asks_value", "unit_without_value", "shown_without_value", "echo", "new_words"),
    *("unsaid_shown", "unsaid_unit", "unsaid_passage", "unsaid_words"),
)
"""Whether a value is asked for, and not in the unit, and not shown; the share of the unit's words that the question has, and how many it
has not; the share of the question's words that what is shown, the unit and the passage do not say, headings included; how many are not
shown. Words count alike here, however rare."""
VALUE = re.compile(
    r"\b(?:values?|defaults?|numbers?|limits?|ranges?|sizes?|lengths?|distances?|rates?|speeds?|frequency|frequencies|capacity|weight|gains?"
    r"|max|min|maximum|minimum|temp|temperatures?|voltages?|currents?|pressures?|torques?|resistance|percent|delays?|timeouts?|intervals?|baud|ports?"
    r"|(?:milli|micro)?seconds?|minutes?|hours?|days?|mm|inch(?:es)?|volts?|amps?|watts?)\b",
    re.IGNORECASE,
)
NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
LIST_NUMBER = re.compile(r"^\s*\d+[.)]\s", re.MULTILINE)
NEW_WORDS, UNSAID_WORDS = 20, 4
"""As many as are told apart."""


def added(question: str, unit: str, shown: str, passage: str, headed: Set[str]) -> NDArray[np.float64]:
    """`ADDED` of a unit, shown as `shown`; `headed` are the words of the headings. [len(ADDED)], shares and flags 0..1.

    >>> float(added("default timeout", "There is a default timeout.", "", "", set())[ADDED.index("unit_without_value")])
    1.0
    """
    asked, words = content(question), content(unit)
    asks = bool(AMOUNT.search(question) or VALUE.search(question))
    unsaid = [asked - content(text) - headed for text in (shown, unit, passage)]
    many = max(len(asked), 1)
    return np.asarray(
        (
            *(asks, asks and not _numbers(unit, question), asks and not _numbers(shown, question)),
            *(len(words & asked) / max(len(words), 1), min(len(words - asked), NEW_WORDS) / NEW_WORDS),
            *(len(each) / many for each in unsaid),
            min(len(unsaid[0]), UNSAID_WORDS) / UNSAID_WORDS,
        ),
        np.float64,
    )


def _numbers(text: str, question: str) -> set[str]:
    """Numbers that the question does not have itself; that of a list item is none."""
    return set(NUMBER.findall(LIST_NUMBER.sub("", text))) - set(NUMBER.findall(question))
