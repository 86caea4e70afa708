"""Look-alikes: a question changed so that it needs another answer - another number, unit, code or the opposite word."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from surrogates.opposites import turned

Kind = Literal["number", "unit", "code", "polarity"]
_NUMBER = re.compile(r"(?<![\w.$#-])\d+(?:\.\d+)?(?![\w.]*[A-Za-z]\d)")
_CODE = re.compile(r"(?<!\w)(?=[\w$#./-]*\d)(?=[\w$#./-]*[A-Za-z$#])[\w$#][\w./-]*\w")
_OTHER_UNIT = {
    "mm": "cm", "cm": "mm", "m": "mm", "bar": "psi", "psi": "bar", "V": "mV", "A": "mA", "mA": "A", "kW": "W", "W": "kW",
    "kg": "g", "g": "kg",
    "seconds": "minutes", "minutes": "hours", "hours": "days", "days": "weeks", "Nm": "N", "rpm": "Hz", "Hz": "kHz", "MB": "GB", "GB": "MB",
    "C": "F", "°C": "°F", "ms": "s", "l": "ml", "litres": "millilitres", "percent": "degrees",
}  # fmt: skip
_UNIT = re.compile(r"(?<=\d)\s?(?:" + "|".join(sorted(map(re.escape, _OTHER_UNIT), key=len, reverse=True)) + r")\b")


@dataclass(frozen=True)
class LookAlike:
    """`text` looks like the question that it was made from and means something else."""

    text: str
    kind: Kind


def look_alikes(question: str, seed: int = 0) -> Iterator[LookAlike]:
    """At most one of each kind; the same ones for the same seed.

    >>> [other.text for other in look_alikes("What is the maximum pressure?")]
    ['What is the minimum pressure?']
    """
    chance = random.Random(f"{seed}:{question}")
    changed_code = _CODE.sub(lambda match: _other_digits(match.group(), chance), question, count=1)
    if changed_code != question:
        yield LookAlike(changed_code, "code")
    changed_number = _NUMBER.sub(lambda match: _other_digits(match.group(), chance), question, count=1)
    if changed_number != question:
        yield LookAlike(changed_number, "number")
    changed_unit = _UNIT.sub(lambda match: _other_unit(match.group()), question, count=1)
    if changed_unit != question:
        yield LookAlike(changed_unit, "unit")
    changed_word = turned(question)
    if changed_word is not None:
        yield LookAlike(changed_word, "polarity")


def _other_digits(text: str, chance: random.Random) -> str:
    """The same text with one digit of its last number changed; a leading digit never becomes 0."""
    digits = [place for place, character in enumerate(text) if character.isdigit()]
    place = digits[-1] if chance.random() < 0.7 else chance.choice(digits)
    others = [digit for digit in "123456789" if digit != text[place]]
    return text[:place] + chance.choice(others) + text[place + 1 :]


def _other_unit(text: str) -> str:
    unit = text.strip()
    return text.replace(unit, _OTHER_UNIT[unit])
