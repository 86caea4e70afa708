"""CSV and its relatives: one row a line of text that carries the header."""

from __future__ import annotations

import csv
import io
from itertools import islice
from pathlib import Path

from kb.blocks import Reading, UnreadableDocument
from kb.readers.decoding import decode
from kb.readers.headers import table_blocks
from kb.readers.limits import ReaderLimits

DELIMITERS = ",;\t|"


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
