"""A question turned into its contrary - maximum into minimum, "does not start" into "does start" - to see whether a place answers the
question rather than its contrary.

Sentence vectors put a question next to its contrary, and words alone do not tell a place that speaks of a side from one that answers it in
other words ("limited to 200 bar"). How much better the place fits the question than its contrary tells more than either.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from surrogates.opposites import turned

_AUXILIARIES = "is|are|was|were|do|does|did|can|could|will|would|should|must|may|might|has|have|had|need"
# what denies, and what stands there when it does not; apostrophes are often left out
_DENIALS = (
    (r"\bwon['’]?t\b", "will"),  # noqa: RUF001 - manuals and telephones print it
    (r"\b(?:can['’]?t|cannot)\b", "can"),  # noqa: RUF001
    (rf"\b({_AUXILIARIES})n['’]?t\b", r"\1"),  # noqa: RUF001
    (r"\bwithout\b", "with"),
    (r"\b(?:not|never|no)\s+(?=\w)", ""),
    (r"\bnothing\b", "something"),
    (r"\bnone\b", "some"),
    (r"\bneither\b", "either"),
    (r"\bnor\b", "or"),
)
_OPENING = re.compile(rf"\b(?:{_AUXILIARIES})\s+(?:i|you|we|it|they|the\s+\w+)\b", re.IGNORECASE)
_WITH = re.compile(r"\bwith\b", re.IGNORECASE)
_AUXILIARY = re.compile(rf"\b(?:{_AUXILIARIES})\b", re.IGNORECASE)


@dataclass(frozen=True)
class Contraries:
    """`other_side` names the other side of an antonym pair, `affirmed` denies nothing; None where the question has no such word."""

    other_side: str | None
    affirmed: str | None


NONE = Contraries(None, None)


def contraries(question: str) -> Contraries:
    """What the question would ask if it named the other side, and if it denied nothing."""
    return Contraries(turned(question), affirmed(question))


def affirmed(question: str) -> str | None:
    """The question without its denials; None where it has none.

    >>> affirmed("Why does the pump not start without oil?"), affirmed("How do I start it?")
    ('Why does the pump start with oil?', None)
    """
    plain = question
    for denial, affirmation in _DENIALS:
        plain = re.sub(denial, affirmation, plain, flags=re.IGNORECASE)
    return plain if plain != question else None


def denied(question: str) -> str | None:
    """The question with a denial put into it; None where it denies already, or has no place for one.

    >>> denied("How do I start the pump?"), denied("relief pressure")
    ('How do I not start the pump?', None)
    """
    if affirmed(question) is not None:
        return None
    for place, denial in ((_OPENING, " not"), (_WITH, "out"), (_AUXILIARY, " not")):
        changed = place.sub(lambda match, denial=denial: match.group() + denial, question, count=1)  # type: ignore[misc]
        if changed != question:
            return changed
    return None
