"""PDF as blocks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kb.blocks import Reading, UnreadableDocument
from kb.readers.limits import ReaderLimits
from kb.readers.pdf.reader import read_pdf
from kb.readers.pdf.words import Frame

LIMITS = ReaderLimits()


def read(path: Path) -> Reading:
    return read_pdf(path, LIMITS, lambda done, total: None)


@pytest.fixture
def canvas_pdf(tmp_path: Path) -> Callable[..., Path]:
    """Makes a one-page PDF by a function that draws on a reportlab canvas."""

    def made(draw: Callable[..., None], **options: object) -> Path:
        from reportlab.pdfgen import canvas

        path = tmp_path / "made.pdf"
        sheet = canvas.Canvas(str(path), **options)
        draw(sheet)
        sheet.save()
        return path

    return made


def test_headings_text_and_tables_of_a_manual(pdf: Path) -> None:
    blocks = read(pdf).blocks
    assert [(block.kind, block.text, block.level) for block in blocks] == [
        ("heading", "1 Safety", 1),
        (
            "paragraph",
            "Never reach into the press while it moves. The emergency stop cuts the hydraulic pressure within 200 milliseconds.",
            0,
        ),
        ("heading", "1.1 Lock-out", 2),
        ("paragraph", "Before any work on the tool the main switch must be locked and tagged.", 0),
        ("heading", "2 Alarms", 1),
        ("paragraph", "Table 1: Alarm codes", 0),
        ("table_row", "Code: A-04; Meaning: Guard door open; Remedy: Close the guard door", 0),
        ("table_row", "Code: A-09; Meaning: Die not clamped; Remedy: Clamp the die", 0),
        ("paragraph", "Acknowledge an alarm with the blue button.", 0),
        ("heading", "3 Service", 1),
        ("paragraph", "Call the maker before the die is changed.", 0),
    ]


def test_pages_without_text_are_counted_and_named(pdf: Path) -> None:
    reading = read(pdf)
    assert (reading.pages, reading.pages_without_text) == (4, (4,))


def test_a_table_row_has_its_caption_and_its_box_on_the_page(pdf: Path) -> None:
    row = next(block for block in read(pdf).blocks if "A-04" in block.text)
    ((page, left, top, right, bottom),) = row.boxes
    assert row.caption == "Table 1: Alarm codes"
    assert page == 2 and 70 < left < 75 and 480 < right < 484 and 841 - 682 < top < bottom < 841 - 650


def test_two_columns_are_read_one_after_the_other(canvas_pdf: Callable[..., Path]) -> None:
    def draw(sheet: object) -> None:
        for column in range(2):
            for line in range(12):
                sheet.drawString(72 + 240 * column, 700 - 13 * line, f"Column {column} line {line} with some words to fill it.")  # type: ignore[attr-defined]

    text = " ".join(block.text for block in read(canvas_pdf(draw)).blocks)
    assert text.index("Column 0 line 11") < text.index("Column 1 line 0")


def test_columns_that_line_up_without_rules_are_a_table(canvas_pdf: Callable[..., Path]) -> None:
    def draw(sheet: object) -> None:
        rows = [("Code", "Meaning", "Reaction"), ("E01", "Overheat", "Stop"), ("E02", "Low voltage", "Warn"), ("E03", "Door open", "Stop")]
        for number, row in enumerate(rows):
            for column, cell in enumerate(row):
                sheet.drawString(72 + 150 * column, 700 - 16 * number, cell)  # type: ignore[attr-defined]

    assert "Code: E02; Meaning: Low voltage; Reaction: Warn" in [block.text for block in read(canvas_pdf(draw)).blocks]


def test_a_turned_page_is_read_upright_and_its_boxes_lie_on_the_page_as_shown(canvas_pdf: Callable[..., Path]) -> None:
    def draw(sheet: object) -> None:
        sheet.setPageSize((600, 800))  # type: ignore[attr-defined]
        sheet.setPageRotation(90)  # type: ignore[attr-defined]
        sheet.drawString(72, 500, "Turn the valve to the right.")  # type: ignore[attr-defined]

    (block,) = read(canvas_pdf(draw)).blocks
    ((_, left, top, right, bottom),) = block.boxes
    assert block.text == "Turn the valve to the right."
    assert 0 <= left < right <= 600 and 0 <= top < bottom <= 800 and bottom - top > right - left


@pytest.mark.parametrize("turned", [0, 90, 180, 270])
def test_a_frame_places_boxes_and_takes_them_back(turned: int) -> None:
    frame = Frame(10, 20, 410, 820, turned)
    box = (50.0, 100.0, 90.0, 160.0)
    assert frame.unplace(*frame.place(*box)) == pytest.approx(box)
    left, top, right, bottom = frame.place(*box)
    assert 0 <= left < right <= frame.size[0] and 0 <= top < bottom <= frame.size[1]


def test_an_encrypted_pdf_says_so(canvas_pdf: Callable[..., Path]) -> None:
    from reportlab.lib.pdfencrypt import StandardEncryption

    with pytest.raises(UnreadableDocument, match="encrypted"):
        read(canvas_pdf(lambda sheet: sheet.drawString(72, 700, "secret"), encrypt=StandardEncryption("password")))


def test_a_scan_says_how_many_pages_have_no_text(canvas_pdf: Callable[..., Path]) -> None:
    with pytest.raises(UnreadableDocument, match="scanned; 1 page without text") as refused:
        read(canvas_pdf(lambda sheet: sheet.rect(100, 100, 200, 200, fill=1)))
    assert (refused.value.pages, refused.value.pages_without_text) == (1, (1,))


def test_a_broken_pdf_says_so(tmp_path: Path, pdf: Path) -> None:
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(pdf.read_bytes()[:900])
    with pytest.raises(UnreadableDocument, match=r"broken|no pages"):
        read(broken)


def test_a_pdf_without_pages_says_so(tmp_path: Path) -> None:
    import pypdfium2

    empty = tmp_path / "empty.pdf"
    document = pypdfium2.PdfDocument.new()
    document.save(empty)
    document.close()
    with pytest.raises(UnreadableDocument, match="no pages"):
        read(empty)


def test_too_many_pages_are_refused_with_the_figures(pdf: Path) -> None:
    with pytest.raises(UnreadableDocument, match="4 pages, the limit is 2"):
        read_pdf(pdf, ReaderLimits(pages=2), lambda done, total: None)
