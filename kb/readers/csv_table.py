"""CSV and its relatives: one row a line of text that carries the header."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from kb.blocks import Block, Reading, UnreadableDocument, row_text
from kb.readers.decoding import decode
from kb.readers.limits import ReaderLimits

DELIMITERS = ",;\t|"
NUMBER = re.compile(r"^[-+]?[\d.,]+%?$")


def read_csv(path: Path, limits: ReaderLimits) -> Reading:
    """Read a table whose delimiter and quoting are found out.

    Raises:
        UnreadableDocument: it has more rows than `limits.rows`.
    """
    text = decode(path)
    csv.field_size_limit(1_000_000)
    try:
        rows = list(islice(csv.reader(io.StringIO(text, newline=""), _dialect(text), strict=False), limits.rows + 1))
    except csv.Error as error:
        raise UnreadableDocument(f"the table cannot be read: {error}; save it again as CSV with quoted text") from error
    if len(rows) > limits.rows:
        raise UnreadableDocument(f"the table has more than {limits.rows:,} rows; split the file")
    return Reading("csv", tuple(table_blocks(rows, group=1)))


def _dialect(text: str) -> type[csv.Dialect]:
    """The delimiter that divides the first lines most evenly; Python's sniffer guesses letters where cells hold sentences."""
    lines = [line for line in text.split("\n")[:200] if line.strip()]
    best, best_score = ",", 0.0
    for delimiter in DELIMITERS:
        counts = [len(row) for row in csv.reader(lines, delimiter=delimiter)]
        usual = max(set(counts), key=counts.count)
        score = (usual > 1) * counts.count(usual) / len(counts) + usual / 1000
        if score > best_score:
            best, best_score = delimiter, score

    class Found(csv.excel):
        delimiter = best
        skipinitialspace = True

    return Found


def table_blocks(rows: Sequence[Sequence[str]], group: int, caption: str = "") -> list[Block]:
    """Rows of one table as blocks: the header is the first row that names its columns, lines above it are the table's title."""
    full = [row for row in rows if any(cell.strip() for cell in row)]
    if not full:
        return []
    at = _header_at(full)
    above = [Block("paragraph", row_text([], row)) for row in full[: at or 0]]
    header = [] if at is None else [cell.strip() for cell in full[at]]
    body = full if at is None else full[at + 1 :]
    if not body:
        return [*above, Block("table_row", row_text([], header), group=group, caption=caption)]
    return above + [Block("table_row", row_text(header, row), group=group, caption=caption) for row in body]


def _header_at(rows: Sequence[Sequence[str]]) -> int | None:
    """Index of the header: the first of the top rows that is as wide as the table and holds names rather than numbers."""
    width = max(sum(bool(cell.strip()) for cell in row) for row in rows[:50])
    for number, row in enumerate(rows[:10]):
        cells = [cell.strip() for cell in row if cell.strip()]
        if len(cells) >= max(2, width * 0.6) or width == 1:
            named = sum(not NUMBER.match(cell) and len(cell) <= 80 for cell in cells)
            return number if named >= len(cells) * 0.7 and len(rows) > number + 1 else None
    return None
