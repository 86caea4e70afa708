"""The units of a passage that can be quoted: sentences, list items and table rows, by their offsets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

# a full stop after one of these does not end a sentence
ABBREVIATIONS = frozenset(
    """e.g i.e etc approx fig figs no nos max min vs cf resp incl excl dr mr mrs ms st dept ca art sec eq ref pos tab vol
    """.split()  # noqa: SIM905 - a list of words reads better as words
)
SENTENCE_END = re.compile(r"[.!?][\"'”’)\]]*(?=\s+[\"'“‘(\[]?[^\s\W_a-z]|\s*$|[A-Z][a-z])|[。!?]")  # noqa: RUF001
ITEM = re.compile(r"^\s*(?:[-*•·▪–—►]|\(?(?:\d{1,2}|[a-zA-Z])[.)]|(?:step|schritt)\s+\d+\b[.:)]?)\s+", re.IGNORECASE)  # noqa: RUF001
STEP = re.compile(r"^\s*(?:\(?\d{1,2}[.)]|step\s+\d+\b[.:)]?)\s+", re.IGNORECASE)
_FIELD = re.compile(r"(?:^|; )[^:;]{1,60}: (?=\S)")


@dataclass(frozen=True)
class Span:
    """`text[start:end]` of a passage. `line` counts the passage's lines; `is_item` and `is_step` speak of the line's mark."""

    start: int
    end: int
    line: int
    is_item: bool
    is_step: bool


@lru_cache(maxsize=1024)
def spans(text: str) -> tuple[Span, ...]:
    """Cut a passage's text into sentences, never across lines; a table's row stays whole. What stands between spans is white space."""
    found: list[Span] = []
    position = 0
    for line, content in enumerate(text.splitlines(keepends=True)):
        is_item, is_step = bool(ITEM.match(content)), bool(STEP.match(content))
        for start, end in _sentences(content):
            found.append(Span(position + start, position + end, line, is_item, is_step))
        position += len(content)
    return tuple(found)


def _sentences(line: str) -> list[tuple[int, int]]:
    if is_row(line):
        return [(_indent(line), len(line.rstrip()))]
    edges = [0, *(match.end() for match in SENTENCE_END.finditer(line) if _ends_sentence(line, match.start())), len(line)]
    pieces = [(start + _indent(line[start:end]), start + len(line[start:end].rstrip())) for start, end in pairwise(edges)]
    return [(start, end) for start, end in pieces if start < end]


def _ends_sentence(line: str, stop: int) -> bool:
    """Whether the mark at `stop` ends a sentence rather than an abbreviation, an initial or a list mark."""
    if line[stop] != ".":
        return True
    before = re.split(r"[\s(]", line[:stop])[-1].lower().strip(".")
    if len(before) == 1 and before.isalpha():
        return False
    if before.isdigit() and not line[: stop - len(before)].strip():
        return False
    return before not in ABBREVIATIONS


def _indent(piece: str) -> int:
    return len(piece) - len(piece.lstrip())


def is_row(text: str) -> bool:
    """Whether a unit is a table's row, as kb writes one: "label: value; label: value".

    >>> is_row("Code v1.1: 9; Meaning: homing fails. Look at the switch."), is_row("Wait; note: do not open it.")
    (True, False)
    """
    return len(_FIELD.findall(text)) >= 2
