"""A manual as DOCX, with Word's own heading, list and table styles."""

from __future__ import annotations

import datetime
import io
import zipfile
from pathlib import Path
from typing import Any

import docx
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Cm, Pt

from kb.samples.make import Manual, Part

EPOCH = (1980, 1, 1, 0, 0, 0)


def write_docx(manual: Manual, path: Path) -> None:
    """Write the manual to `path`, with fixed dates so that the same text gives the same file."""
    document = docx.Document()
    _page(document, manual.facts)
    document.add_heading(manual.facts["title"], level=0)
    document.add_paragraph(f"{manual.facts['subtitle']}, {manual.facts['document']}, {manual.facts['edition']}", style="Subtitle")
    for part in manual.parts:
        _add(document, part)
    buffer = io.BytesIO()
    document.save(buffer)
    _with_fixed_dates(buffer, path)


def _page(document: Any, facts: dict[str, str]) -> None:
    properties = document.core_properties
    properties.title, properties.author = f"{facts['title']}: {facts['subtitle']}", facts["company"]
    properties.created = properties.modified = datetime.datetime(2025, 6, 2, tzinfo=datetime.UTC)
    section = document.sections[0]
    section.page_width, section.page_height = Cm(21), Cm(29.7)
    section.left_margin = section.right_margin = Cm(2)
    section.header.paragraphs[0].text = f"{facts['company']}\t\t{facts['document']}"
    footer = section.footer.paragraphs[0]
    footer.text = f"{facts['edition']}\t\tPage "
    _field(footer.add_run(), "PAGE")
    document.styles["Normal"].font.name = "Calibri"
    document.styles["Normal"].font.size = Pt(10.5)


def _field(run: Any, name: str) -> None:
    """A field that Word fills in, such as the page number."""
    for kind, text in (("begin", None), (None, name), ("end", None)):
        element = OxmlElement("w:instrText" if text else "w:fldChar")
        if text:
            element.text = text
        else:
            element.set(qn("w:fldCharType"), kind)
        run._r.append(element)


def _add(document: Any, part: Part) -> None:
    if part.kind == "heading":
        document.add_heading(part.text, level=part.level)
    elif part.kind == "numbered":
        _add_steps(document, part.rows)
    elif part.kind == "table":
        _add_table(document, part.rows)
    else:
        document.add_paragraph(part.text, style="Intense Quote" if part.kind == "warning" else None)


def _add_steps(document: Any, rows: tuple[tuple[str, ...], ...]) -> None:
    """Each procedure counts from 1: a new numbering instance of the list style, restarted."""
    numbering = document.part.numbering_part.numbering_definitions._numbering
    style_number = document.styles["List Number"].element.pPr.numPr.numId.val
    abstract = numbering.num_having_numId(style_number).abstractNumId.val
    instance = numbering.add_num(abstract)
    instance.add_lvlOverride(ilvl=0).add_startOverride(1)
    for (text,) in rows:
        paragraph = document.add_paragraph(text, style="List Number")
        properties = paragraph._p.get_or_add_pPr().get_or_add_numPr()
        properties.get_or_add_numId().val = instance.numId
        properties.get_or_add_ilvl().val = 0


def _add_table(document: Any, rows: tuple[tuple[str, ...], ...]) -> None:
    table = document.add_table(rows=0, cols=len(rows[0]), style="Table Grid")
    widths = _widths(rows)
    for number, texts in enumerate(rows):
        row = table.add_row()
        for cell, text, width in zip(row.cells, texts, widths, strict=True):
            cell.width = width
            run = cell.paragraphs[0].add_run(text)
            run.font.size, run.bold = Pt(9), number == 0
    header = table.rows[0]._tr.get_or_add_trPr()
    header.append(OxmlElement("w:tblHeader"))
    document.add_paragraph()


def _widths(rows: tuple[tuple[str, ...], ...]) -> list[Any]:
    """Column widths that sum to 17 cm, shared by the length of the longest text, at least 1.6 cm each."""
    longest = [min(max(len(text) for text in column), 60) for column in zip(*rows, strict=True)]
    spare = 17.0 - 1.6 * len(longest)
    return [Cm(1.6 + spare * length / sum(longest)) for length in longest]


def _with_fixed_dates(buffer: io.BytesIO, path: Path) -> None:
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(zipfile.ZipInfo(name, EPOCH), source.read(name), zipfile.ZIP_DEFLATED)
