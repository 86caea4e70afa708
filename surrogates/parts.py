"""Questions that ask for two things: each part by itself, and the answers to both as one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from surrogates.answer import Answer
from surrogates.gates import has_referents
from surrogates.quantities import signature
from surrogates.question import is_follow_up
from surrogates.wording import content

MOST = 3
NOT_ANSWERED = 'The documents do not seem to answer this part: "{part}"'
BOUNDARY = re.compile(
    r"\?\s+(?=\S)|\s*;\s+"
    r"|,?\s+and\s+(?:also\s+)?(?=(?:what|how|where|when|why|which|who|whose|is|are|does|do|can|should|will)\b)",
    re.IGNORECASE,
)
MACHINE = re.compile(r"\b(?:of|on|for|in|at|with)\s+(?:the|my|our|your|a|an)\s+([A-Z]{1,4}[ -]?\d[\w/-]*)")
"""What the whole question is about: "of the HX 200"; a code without an article is what its own part asks for."""
NAMES_LITTLE = 2
"""A part with fewer content words than this needs the first one to be understood."""


def split(question: str) -> tuple[str, ...]:
    """The parts of a question that asks for two or three things, each so that it can be asked alone; the question itself otherwise.

    >>> split("What does alarm P-12 mean and how is the strainer replaced?")
    ('What does alarm P-12 mean', 'how is the strainer replaced?')
    >>> split("Is there oil in the HX 200 and what is the torque of the cover bolts?")
    ('Is there oil in the HX 200', 'what is the torque of the cover bolts? (HX 200)')
    """
    pieces = [piece.strip() for piece in BOUNDARY.split(question) if content(piece)]
    if not 2 <= len(pieces) <= MOST:
        return (question,)
    return (pieces[0], *(_alone(piece, pieces[0]) for piece in pieces[1:]))


def _alone(part: str, first: str) -> str:
    """A later part with what it leaves to the first one to say: all of it, or the machine that both are about."""
    if is_follow_up(part) or not has_referents(part) or len(content(part)) < NAMES_LITTLE:
        return f"{first}, {part}"
    machines = [] if signature(part).codes else MACHINE.findall(first)
    return f"{part} ({', '.join(machines)})" if machines else part


def join(parts: Sequence[str], answers: Sequence[Answer]) -> Answer:
    """The answers to the parts in order as one; a part that was declined is named in a note, and all declined is declined."""
    given = [answer for answer in answers if answer.route != "declined"]
    if not given:
        return answers[0]
    texts: list[str] = []
    for answer in given:
        if not any(answer.text in text for text in texts):
            texts.append(answer.text)
    missing = [NOT_ANSWERED.format(part=part) for part, answer in zip(parts, answers, strict=False) if answer.route == "declined"]
    laps = [answer.seconds.engine for answer in given if answer.seconds.engine is not None]
    return replace(
        given[0],
        text="\n\n".join(texts),
        citations=tuple(dict.fromkeys(citation for answer in given for citation in answer.citations)),
        notes=tuple(dict.fromkeys([*(note for answer in given for note in answer.notes), *missing])),
        seconds=replace(given[0].seconds, total=answers[-1].seconds.total, engine=sum(laps) if laps else None),
    )
