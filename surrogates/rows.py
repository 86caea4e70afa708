"""Pairs from table rows: a row answers for its key, a cell for its column and key.

kb writes a row as "Header: value; Header: value" and a row without header as "value | value".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from surrogates.pairs import Pair, Quote
from surrogates.wording import content, words

if TYPE_CHECKING:
    from kb.records import Passage

_HEADER = re.compile(r"(?:^|; )(?P<name>[^:;]{1,60}): ")
_CODE_COLUMN = re.compile(r"\b(?:code|codes|no|nr|number|num|id|#)\b\.?|\bin v\S+|[()]", re.IGNORECASE)
_PREFIXED_CODE = re.compile(r"^(?P<mark>[^\w\s])\s*-?\s*code", re.IGNORECASE)
_GENERIC_KEY = re.compile(
    r"^(?:parameter|property|properties|item|characteristic|specification|feature|quantity|description|data|name|value|attribute|field)s?$",
    re.IGNORECASE,
)
_VALUE_COLUMN = re.compile(r"^(?:value|values|data|specification|setting|rating|nominal|description|details?|result)s?$", re.IGNORECASE)
_MEANING = re.compile(r"\b(?:meaning|message|description|text|definition|designation|fault|error|alarm)\b", re.IGNORECASE)
_REMEDY = re.compile(
    r"\b(?:remed(?:y|ies)|action|actions|solution|corrective|correction|fix|measure|measures|what to do|rectification)\b", re.IGNORECASE
)
_CAUSE = re.compile(r"\b(?:causes?|reasons?)\b", re.IGNORECASE)
_INTERVAL = re.compile(r"\b(?:interval|frequency|every|when|schedule)\b", re.IGNORECASE)
_CODE_LIKE = re.compile(r"^[$#]?[A-Za-z]{0,6}[-_ ]?\d+(?:[.\-/]\w+)*[A-Za-z]?$")
_UNIT_COLUMN = re.compile(r"^units?$", re.IGNORECASE)


@dataclass(frozen=True)
class Row:
    """One line of a table; `cells` are (header, value) in order, headers empty where the table has none."""

    start: int
    line: str
    cells: tuple[tuple[str, str], ...]


def row_pairs(passage: Passage) -> Iterator[Pair]:
    """All pairs that the rows of a passage give."""
    if passage.kind != "table":
        return
    for row in read_rows(passage.text):
        quote = Quote(passage.id, row.start, row.start + len(row.line))
        for question, answer in _asked(row):
            yield Pair(question, answer, (quote,), "structure")


def read_rows(text: str) -> list[Row]:
    """The rows of a table passage; a header counts when at least half of the lines have it, so that a colon in a cell makes no column."""
    lines = _lines(text)
    found = Counter(name for _, line in lines for name in {match.group("name") for match in _HEADER.finditer(line)})
    headers = {name for name, n in found.items() if n * 2 >= len(lines)}
    rows = []
    for start, line in lines:
        cells = _headed_cells(line, headers) if headers else _plain_cells(line)
        if len(cells) >= 2:
            rows.append(Row(start, line, cells))
    return rows


def _lines(text: str) -> list[tuple[int, str]]:
    lines, start = [], 0
    for line in text.split("\n"):
        if "; " in line or " | " in line or _HEADER.match(line):
            lines.append((start, line))
        start += len(line) + 1
    return lines


def _headed_cells(line: str, headers: set[str]) -> tuple[tuple[str, str], ...]:
    marks = [match for match in _HEADER.finditer(line) if match.group("name") in headers]
    if not marks:
        return ()
    ends = [match.start() for match in marks[1:]] + [len(line)]
    return tuple((mark.group("name").strip(), line[mark.end() : end].strip()) for mark, end in zip(marks, ends, strict=True))


def _plain_cells(line: str) -> tuple[tuple[str, str], ...]:
    return tuple(("", cell.strip()) for cell in line.split(" | "))


def _asked(row: Row) -> Iterator[tuple[str, str]]:
    (key_header, key), *cells = row.cells
    if not key or len(words(key)) > 8:
        return
    if _CODE_LIKE.match(key):
        yield from _asked_of_code(row, code_name(key_header, key), cells)
    elif content(key):
        yield from _asked_of_name(row, key_header, key, cells)


def code_name(header: str, key: str) -> str:
    """What people call a coded row.

    >>> code_name("Alarm Code", "9"), code_name("Code", "E-17"), code_name("$-Code", "100")
    ('alarm 9', 'E-17', '$100')
    """
    prefixed = _PREFIXED_CODE.match(header)
    if prefixed:
        return f"{prefixed.group('mark')}{key}"
    kind = " ".join(_CODE_COLUMN.sub(" ", header).split()).casefold()
    return f"{kind} {key}".strip() if len(kind.split()) <= 2 and not _GENERIC_KEY.match(kind) else key


def _asked_of_code(row: Row, name: str, cells: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    whole = row.line
    yield f"What does {name} mean?", whole
    for header, value in cells:
        if not value or not header or _UNIT_COLUMN.match(header):
            continue
        told = f"{name} - {header}: {value}"
        if _REMEDY.search(header):
            yield f"What is the remedy for {name}?", told
            yield f"How do I fix {name}?", told
        elif _CAUSE.search(header):
            yield f"What causes {name}?", told
        elif not _MEANING.search(header) and content(header):
            yield f"What is the {_lower(header)} of {name}?", told


def _asked_of_name(row: Row, key_header: str, key: str, cells: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    valued = [(header, value) for header, value in cells if value and not _UNIT_COLUMN.match(header)]
    unit = next((value for header, value in cells if _UNIT_COLUMN.match(header)), "")
    for header, value in valued:
        told = f"{key}, {header}: {value}" if header and not _VALUE_COLUMN.match(header) else f"{key}: {value}"
        told = f"{told} {unit}" if unit and re.match(r"^[-+±<>≤≥~]?\s*\d", value) else told
        yield _cell_question(key_header, key, header), told
        if _REMEDY.search(header):
            yield f"What should I do about {_lower(key)}?", told


def _cell_question(key_header: str, key: str, header: str) -> str:
    if not header or _VALUE_COLUMN.match(header):
        return f"What is the {_lower(key)}?"
    if _REMEDY.search(header):
        return f"What is the remedy for {_lower(key)}?"
    if _CAUSE.search(header):
        return f"What causes {_lower(key)}?"
    if _INTERVAL.search(header):
        return f"How often: {_lower(key)}?" if " " in key else f"What is the {_lower(header)} of {_lower(key)}?"
    if _GENERIC_KEY.match(key_header) or _CODE_LIKE.match(header):
        return f"What is the {_lower(key)} of {header}?"
    return f"What is the {_lower(header)} of {_lower(key)}?"


def _lower(name: str) -> str:
    return name if name[1:2].isupper() or any(character.isdigit() for character in name.split()[0]) else name[0].lower() + name[1:]
