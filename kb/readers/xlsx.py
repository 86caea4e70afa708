"""XLSX: a sheet is a heading, its rows carry the sheet's header; formulas count by the values that were last computed."""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kb.blocks import Block, Reading, UnreadableDocument
from kb.readers.headers import table_blocks
from kb.readers.limits import ReaderLimits

MAX_COLUMNS = 200


def read_xlsx(path: Path, limits: ReaderLimits) -> Reading:
    """Read a workbook; hidden sheets are left out.

    Raises:
        UnreadableDocument: it is not a whole workbook, or has more rows than `limits.rows`.
    """
    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with path.open("rb") as content:
            workbook = openpyxl.load_workbook(content, read_only=True, data_only=True)
            blocks = [block for group, sheet in enumerate(workbook.worksheets, start=1) for block in _sheet(sheet, group * 1000, limits)]
            workbook.close()
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise UnreadableDocument(f"the file is a damaged workbook ({error}); open it in Excel and save it again") from error
    return Reading("xlsx", tuple(blocks))


def _sheet(sheet: Any, group: int, limits: ReaderLimits) -> list[Block]:
    if sheet.sheet_state != "visible":
        return []
    blocks = [Block("heading", str(sheet.title), level=1)]
    for number, rows in enumerate(_regions(_rows(sheet, limits)), start=1):
        blocks += table_blocks(_without_empty_columns(rows), group + number)
    return blocks if len(blocks) > 1 else []


def _rows(sheet: Any, limits: ReaderLimits) -> Iterator[list[str]]:
    for number, row in enumerate(sheet.iter_rows(max_col=MAX_COLUMNS, values_only=True)):
        if number >= limits.rows:
            raise UnreadableDocument(f"the sheet {sheet.title} has more than {limits.rows:,} rows; split the file")
        yield [_cell(value) for value in row]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    return str(value).strip()


def _regions(rows: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    """Tables of a sheet: two empty rows or more part them."""
    region: list[list[str]] = []
    empty = 0
    for row in rows:
        if any(row):
            if empty >= 2 and region:
                yield region
                region = []
            region.append(row)
            empty = 0
        else:
            empty += 1
    if region:
        yield region


def _without_empty_columns(rows: list[list[str]]) -> list[list[str]]:
    width = max(len(row) for row in rows)
    padded = [row + [""] * (width - len(row)) for row in rows]
    used = [column for column in range(width) if any(row[column] for row in padded)]
    return [[row[column] for column in used] for row in padded]
