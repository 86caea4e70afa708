"""DOCX and XLSX as blocks."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from docx import Document
from openpyxl import Workbook

from kb.blocks import UnreadableDocument
from kb.readers.docx import read_docx
from kb.readers.limits import ReaderLimits
from kb.readers.xlsx import read_xlsx

LIMITS = ReaderLimits()


def test_word_headings_lists_and_tables_come_in_place(tmp_path: Path) -> None:
    document = Document()
    document.add_heading("Pump", 1)
    document.add_paragraph("Check the oil.")
    document.add_paragraph("Drain", style="List Number")
    document.add_paragraph("Fill", style="List Number")
    table = document.add_table(rows=2, cols=3)
    for cell, text in zip(table.rows[0].cells, ["Code", "Meaning", "Remedy"], strict=True):
        cell.paragraphs[0].add_run(text).bold = True
    for cell, text in zip(table.rows[1].cells, ["E-17", "Low", "Fill"], strict=True):
        cell.text = text
    document.add_heading("Cooler", 2)
    document.save(str(tmp_path / "d.docx"))
    blocks = read_docx(tmp_path / "d.docx", LIMITS).blocks
    assert [(block.kind, block.text, block.level) for block in blocks] == [
        ("heading", "Pump", 1),
        ("paragraph", "Check the oil.", 0),
        ("list_item", "1. Drain", 0),
        ("list_item", "2. Fill", 0),
        ("table_row", "Code: E-17; Meaning: Low; Remedy: Fill", 0),
        ("heading", "Cooler", 2),
    ]


def test_a_word_table_of_labels_and_values_has_no_header(tmp_path: Path) -> None:
    document = Document()
    table = document.add_table(rows=2, cols=2)
    for row, texts in zip(table.rows, [("Maker", "Acme"), ("Torque", "42 Nm")], strict=True):
        for cell, text in zip(row.cells, texts, strict=True):
            cell.text = text
    document.save(str(tmp_path / "d.docx"))
    assert [block.text for block in read_docx(tmp_path / "d.docx", LIMITS).blocks] == ["Maker | Acme", "Torque | 42 Nm"]


def test_a_cell_that_spans_columns_comes_once(tmp_path: Path) -> None:
    document = Document()
    table = document.add_table(rows=3, cols=3)
    for row, texts in zip(table.rows, [("Part", "Size", "Price"), ("Frame", "", ""), ("Bolt", "M8", "2")], strict=True):
        for cell, text in zip(row.cells, texts, strict=True):
            cell.text = text
    table.rows[1].cells[0].merge(table.rows[1].cells[2])
    document.save(str(tmp_path / "d.docx"))
    assert [block.text for block in read_docx(tmp_path / "d.docx", LIMITS).blocks] == ["Frame", "Part: Bolt; Size: M8; Price: 2"]


def test_a_sheet_is_a_heading_and_its_rows_carry_the_header(tmp_path: Path) -> None:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Spares"
    for row in (["Part", "Stock", "Since"], ["Seal", 3, datetime.datetime(2024, 5, 1)], ["Filter", 0.1 + 0.2, None]):
        sheet.append(row)
    hidden = book.create_sheet("Secret")
    hidden.append(["x", "y"])
    hidden.sheet_state = "hidden"
    book.save(tmp_path / "b.xlsx")
    blocks = read_xlsx(tmp_path / "b.xlsx", LIMITS).blocks
    assert [block.text for block in blocks] == ["Spares", "Part: Seal; Stock: 3; Since: 2024-05-01", "Part: Filter; Stock: 0.3"]


def test_a_damaged_office_file_is_refused(tmp_path: Path) -> None:
    book = Workbook()
    book.save(tmp_path / "b.xlsx")
    data = (tmp_path / "b.xlsx").read_bytes()
    (tmp_path / "cut.xlsx").write_bytes(data[: len(data) // 2])
    with pytest.raises(UnreadableDocument, match="damaged"):
        read_xlsx(tmp_path / "cut.xlsx", LIMITS)
    with pytest.raises(UnreadableDocument, match="damaged"):
        read_docx(tmp_path / "cut.xlsx", LIMITS)
