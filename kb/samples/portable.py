"""A manual as PDF: cover, outline, ruled tables with repeated header rows, running header and page numbers."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, KeepTogether, PageTemplate, Paragraph, Spacer, Table, TableStyle

from kb.samples.make import Manual, Part

MARGIN = 20 * mm
WIDTH = A4[0] - 2 * MARGIN
BODY = ParagraphStyle("body", fontName="Helvetica", fontSize=10, leading=14, spaceAfter=6)
CELL = ParagraphStyle("cell", parent=BODY, fontSize=9, leading=11.5, spaceAfter=0)
HEAD_CELL = ParagraphStyle("head cell", parent=CELL, fontName="Helvetica-Bold")
STEP = ParagraphStyle("step", parent=BODY, leftIndent=8 * mm, bulletIndent=1 * mm, spaceAfter=3)
WARNING = ParagraphStyle("warning", parent=BODY, fontName="Helvetica-Bold", leading=13.5, spaceAfter=0)
HEADINGS = {
    1: ParagraphStyle("h1", parent=BODY, fontName="Helvetica-Bold", fontSize=17, leading=22, spaceBefore=14, spaceAfter=8),
    2: ParagraphStyle("h2", parent=BODY, fontName="Helvetica-Bold", fontSize=12.5, leading=17, spaceBefore=8, spaceAfter=5),
}
INK = colors.HexColor("#1d3b53")


class _Template(BaseDocTemplate):  # type: ignore[misc]  # reportlab has no types
    """Puts each heading into the outline as it is drawn, since only then is its page known."""

    def afterFlowable(self, flowable: Flowable) -> None:
        """Called by the layout after each piece."""
        level = {"h1": 0, "h2": 1}.get(flowable.style.name) if isinstance(flowable, Paragraph) else None
        if level is not None:
            key = f"heading-{self.canv.getPageNumber()}-{flowable.getPlainText()}"
            self.canv.bookmarkPage(key)
            self.canv.addOutlineEntry(flowable.getPlainText(), key, level)


def write_pdf(manual: Manual, path: Path) -> None:
    """Lay the manual out on A4 and write it to `path`."""
    facts = manual.facts
    document = _Template(str(path), pagesize=A4, title=f"{facts['title']}: {facts['subtitle']}", author=facts["company"], invariant=1)
    frame = Frame(MARGIN, 22 * mm, WIDTH, A4[1] - 46 * mm, leftPadding=0, rightPadding=0)
    document.addPageTemplates(PageTemplate(frames=[frame], onPage=lambda canvas, _: _running(canvas, facts)))
    document.build(_cover(facts) + _story(manual.parts))


def _running(canvas: Canvas, facts: dict[str, str]) -> None:
    canvas.saveState()
    canvas.setFont("Helvetica", 8)
    canvas.setFillColor(colors.HexColor("#555555"))
    top, bottom = A4[1] - 14 * mm, 12 * mm
    canvas.drawString(MARGIN, top, f"{facts['company']}  |  {facts['title']}")
    canvas.drawRightString(A4[0] - MARGIN, top, facts["document"])
    canvas.line(MARGIN, top - 2 * mm, A4[0] - MARGIN, top - 2 * mm)
    canvas.drawString(MARGIN, bottom, facts["edition"])
    canvas.drawRightString(A4[0] - MARGIN, bottom, f"Page {canvas.getPageNumber()}")
    canvas.restoreState()


def _cover(facts: dict[str, str]) -> list[Flowable]:
    title = ParagraphStyle("title", parent=BODY, fontName="Helvetica-Bold", fontSize=24, leading=29, textColor=INK, spaceAfter=2)
    subtitle = ParagraphStyle("subtitle", parent=BODY, fontSize=13, leading=18, spaceAfter=14)
    return [Paragraph(escape(facts["title"]), title), Paragraph(escape(f"{facts['subtitle']}, {facts['document']}"), subtitle)]


def _story(parts: tuple[Part, ...]) -> list[Flowable]:
    """Headings, and the sentence before a table, are kept with what follows, so that none stands alone at the foot of a page."""
    story: list[Flowable] = []
    waiting: list[Flowable] = []
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        pieces = _flowables(part)
        leads_in = part.kind == "paragraph" and following is not None and following.kind == "table"
        if part.kind == "heading" or leads_in:
            waiting += pieces
            continue
        short = part.kind != "table" or len(part.rows) <= 9
        story += [KeepTogether(waiting + pieces)] if short else _with_first_rows(waiting, pieces)
        waiting = []
    return story


def _with_first_rows(headings: list[Flowable], pieces: list[Flowable]) -> list[Flowable]:
    """A long table may break over pages; its heading asks for room for the first rows."""
    for heading in headings:
        heading.keepWithNext = True
    return headings + pieces


def _flowables(part: Part) -> list[Flowable]:
    if part.kind == "heading":
        return [Paragraph(escape(part.text), HEADINGS[part.level])]
    if part.kind == "numbered":
        steps = [Paragraph(escape(row[0]), STEP, bulletText=f"{number}.") for number, row in enumerate(part.rows, 1)]
        return [*steps, Spacer(1, 4)]
    if part.kind == "warning":
        return [_box(part.text), Spacer(1, 8)]
    if part.kind == "table":
        return [_ruled(part.rows), Spacer(1, 10)]
    return [Paragraph(escape(part.text), BODY)]


def _box(text: str) -> Table:
    style = [("BOX", (0, 0), (-1, -1), 1.2, colors.HexColor("#b45309")), ("BACKGROUND", (0, 0), (-1, -1), colors.HexColor("#fff7ed"))]
    return Table([[Paragraph(escape(text), WARNING)]], colWidths=[WIDTH], style=TableStyle([*style, ("TOPPADDING", (0, 0), (-1, -1), 5)]))


def _ruled(rows: tuple[tuple[str, ...], ...]) -> Table:
    cells = [[Paragraph(escape(text), CELL if number else HEAD_CELL) for text in row] for number, row in enumerate(rows)]
    style = TableStyle(
        [
            ("GRID", (0, 0), (-1, -1), 0.5, colors.HexColor("#8a99a6")),
            ("BACKGROUND", (0, 0), (-1, 0), colors.HexColor("#e3ebf1")),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("TOPPADDING", (0, 0), (-1, -1), 3),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 4),
        ]
    )
    return Table(cells, colWidths=_widths(rows), repeatRows=1, style=style)


def _widths(rows: tuple[tuple[str, ...], ...]) -> list[float]:
    """Column widths in points that sum to the page's: each at least its longest word, the rest shared by the length of the texts."""
    columns = list(zip(*rows, strict=True))
    least = [max(stringWidth(word, "Helvetica-Bold", 9) for text in column for word in text.split()) + 14 for column in columns]
    wish = [max(stringWidth(text, "Helvetica", 9) for text in column) + 14 for column in columns]
    spare = WIDTH - sum(least)
    share = [max(want - need, 0.0) for want, need in zip(wish, least, strict=True)]
    total = sum(share) or 1.0
    return [need + spare * part / total for need, part in zip(least, share, strict=True)]
