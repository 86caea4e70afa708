"""Which row of a table names its columns."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kb.blocks import Block, row_text

VALUE = re.compile(r"^[-+±<>≤≥~]?\s*[\d.,]+\s*\S{0,8}$")
LONGEST_NAME = 80


def header_at(rows: Sequence[Sequence[str]], first_stands_out: bool | None = None) -> int | None:
    """Index of the header row among the first ten, None when the table has none.

    It is as wide as the table and holds names rather than values. `first_stands_out` says whether the first row is set apart (bold,
    shaded, marked as header), None where the format cannot tell; a table of two columns whose first row is not is label and value.
    """
    filled = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    width = max((len(cells) for cells in filled[:50]), default=0)
    if width < 2 or (width == 2 and first_stands_out is False):
        return None
    for number, cells in enumerate(filled[:10]):
        if len(cells) >= max(2, width * 0.6):
            named = sum(not VALUE.match(cell) and len(cell) <= LONGEST_NAME for cell in cells)
            is_header = named >= len(cells) * 0.7 and len(set(cells)) > len(cells) / 2 and len(rows) > number + 1
            return number if is_header or (first_stands_out and number == 0 and len(rows) > 1) else None
    return None


def table_blocks(rows: Sequence[Sequence[str]], group: int, caption: str = "", first_stands_out: bool | None = None) -> list[Block]:
    """Rows of one table as blocks; what stands above the header is the table's title and becomes paragraphs."""
    full = [row for row in rows if any(cell.strip() for cell in row)]
    if not full:
        return []
    at = header_at(full, first_stands_out)
    above = [Block("paragraph", row_text([], row)) for row in full[: at or 0]]
    header = [] if at is None else [cell.strip() for cell in full[at]]
    body = full if at is None else full[at + 1 :]
    return above + [Block("table_row", row_text(header, row), group=group, caption=caption) for row in body]
