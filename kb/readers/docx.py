"""DOCX: headings by style or outline level, lists, tables where they stand, text boxes, footnotes."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kb.blocks import Block, Reading, UnreadableDocument
from kb.readers.headers import table_blocks
from kb.readers.limits import ReaderLimits

STYLE_LEVEL = re.compile(r"^(?:heading|überschrift|titre|título|titolo|kop|nagłówek|rubrik)\s*(\d)$", re.IGNORECASE)
TOC_STYLE = re.compile(r"^(?:toc|verzeichnis|tm)\s*\d|^table of (?:figures|contents)|^toc heading", re.IGNORECASE)
CODE_STYLE = re.compile(r"code|preformatted|listing|macro text", re.IGNORECASE)
LIST_STYLE = re.compile(r"list (?:bullet|number|paragraph)|aufzählung", re.IGNORECASE)
BULLET_TEXT = re.compile(r"^\s*([-\u2013•·▪*]|\(?\d{1,3}[.)]|[a-z]\))\s+")
DEEPEST = 40


def read_docx(path: Path, limits: ReaderLimits) -> Reading:
    """Read a Word document.

    Raises:
        UnreadableDocument: it is not a whole Word document.
    """
    import docx
    from docx.opc.exceptions import PackageNotFoundError

    try:
        document = docx.Document(str(path))
        walk = _Walk(document)
    except (PackageNotFoundError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise UnreadableDocument(f"the file is a damaged Word document ({error}); open it in Word and save it again") from error
    walk.container(document.element.body, document, 0)
    walk.footnotes()
    return Reading("docx", tuple(walk.blocks))


@dataclass
class _Walk:
    document: Any
    blocks: list[Block] = field(default_factory=list)
    group: int = 0
    in_list: bool = False
    numbers: dict[tuple[str, int], int] = field(default_factory=dict)

    def container(self, element: Any, parent: Any, depth: int) -> None:
        """Paragraphs and tables of a body, a cell, a text box or a content control, in order."""
        from docx.oxml.ns import qn
        from docx.table import Table
        from docx.text.paragraph import Paragraph

        if depth > DEEPEST:
            raise UnreadableDocument("the document nests tables or text boxes too deeply; simplify it and save it again")
        for child in element.iterchildren():
            if child.tag == qn("w:p"):
                self._paragraph(Paragraph(child, parent), depth)
            elif child.tag == qn("w:tbl"):
                self._table(Table(child, parent), depth)
            elif child.tag == qn("w:sdt"):
                for content in child.iterchildren(qn("w:sdtContent")):
                    self.container(content, parent, depth + 1)

    def footnotes(self) -> None:
        """Footnotes and endnotes, after the text."""
        from docx.oxml import parse_xml
        from docx.oxml.ns import qn

        for part in self.document.part.package.iter_parts():
            if str(part.partname) in ("/word/footnotes.xml", "/word/endnotes.xml"):
                for note in parse_xml(part.blob).iterchildren():
                    text = " ".join("".join(node.text or "" for node in note.iter(qn("w:t"))).split())
                    if text:
                        self.blocks.append(Block("paragraph", f"Note: {text}"))

    def _paragraph(self, paragraph: Any, depth: int) -> None:
        text = _text(paragraph)
        for box in _text_boxes(paragraph):
            self.container(box, paragraph._parent, depth + 1)
        style = _style_name(paragraph)
        if not text.strip() or TOC_STYLE.search(style):
            return
        level = _heading_level(paragraph, style)
        if level:
            self.in_list = False
            self.blocks.append(Block("heading", " ".join(text.split()), level=level))
        elif CODE_STYLE.search(style):
            self._code(text)
        elif (mark := self._list_mark(paragraph, style, text)) is not None:
            self._item(mark, text, paragraph)
        else:
            self.in_list = False
            self.blocks.append(Block("paragraph", text))

    def _code(self, text: str) -> None:
        if self.blocks and self.blocks[-1].kind == "code":
            text = f"{self.blocks.pop().text}\n{text}"
        self.blocks.append(Block("code", text))

    def _item(self, mark: str, text: str, paragraph: Any) -> None:
        if not self.in_list:
            self.group += 1
            self.in_list = True
        self.blocks.append(Block("list_item", f"{mark}{text}", level=_numbering(paragraph)[1], group=self.group))

    def _list_mark(self, paragraph: Any, style: str, text: str) -> str | None:
        """What stands before the item's text: "- ", "3. ", "" when the text brings its own; None when this is no item."""
        list_id, level = _numbering(paragraph)
        if not list_id and not LIST_STYLE.search(style):
            return "" if BULLET_TEXT.match(text) else None
        if BULLET_TEXT.match(text):
            return ""
        if not list_id or self._format(list_id, level) in ("bullet", "none", ""):
            return "- "
        for key in [key for key in self.numbers if key[0] == list_id and key[1] > level]:
            del self.numbers[key]
        self.numbers[list_id, level] = self.numbers.get((list_id, level), 0) + 1
        return f"{self.numbers[list_id, level]}. "

    def _format(self, list_id: str, level: int) -> str:
        """The number format of a list's level, as numbering.xml has it."""
        from docx.oxml.ns import qn

        try:
            numbering = self.document.part.numbering_part.element
        except (KeyError, NotImplementedError):
            return ""
        abstract = next(
            (num.find(qn("w:abstractNumId")).get(qn("w:val")) for num in numbering.iter(qn("w:num")) if num.get(qn("w:numId")) == list_id),
            None,
        )
        for entry in numbering.iter(qn("w:abstractNum")):
            if entry.get(qn("w:abstractNumId")) == abstract:
                for step in entry.iter(qn("w:lvl")):
                    if step.get(qn("w:ilvl")) == str(level) and step.find(qn("w:numFmt")) is not None:
                        return str(step.find(qn("w:numFmt")).get(qn("w:val")))
        return ""

    def _table(self, table: Any, depth: int) -> None:
        rows = [list(row.cells) for row in table.rows]
        self.in_list = False
        if _is_layout(rows):
            for row in rows:
                for cell in row:
                    self.container(cell._tc, cell, depth + 1)
            return
        self.group += 1
        texts = [
            [_cell_text(cell) if number == 0 or not _goes_on(row, at) else "" for at, cell in enumerate(row)]
            for number, row in enumerate(rows)
        ]
        stands_out = bool(rows) and _stands_out(table, rows[0])
        self.blocks += table_blocks(texts, self.group, self._caption(), stands_out)

    def _caption(self) -> str:
        """A caption paragraph right above the table, e.g. "Table 3: Alarms"."""
        last = self.blocks[-1] if self.blocks else None
        return (
            last.text if last and last.kind == "paragraph" and re.match(r"^(?:table|tabelle|tableau|tab\.)\s*\d", last.text, re.I) else ""
        )


def _text(paragraph: Any) -> str:
    """The paragraph's words with links and tracked insertions, without deletions and field codes; tabs become spaces."""
    from docx.oxml.ns import qn

    words = []
    for node in paragraph._p.iter(qn("w:t"), qn("w:tab"), qn("w:br"), qn("w:noBreakHyphen")):
        if any(parent.tag in (qn("w:txbxContent"), qn("w:tabs")) for parent in _parents(node, paragraph._p)):
            continue
        words.append({qn("w:t"): node.text or "", qn("w:br"): "\n", qn("w:noBreakHyphen"): "-"}.get(node.tag, "\t"))
    lines = (" ".join(line.split()) for line in "".join(words).split("\n"))
    return "\n".join(line for line in lines if line)


def _parents(node: Any, top: Any) -> Iterator[Any]:
    node = node.getparent()
    while node is not None and node is not top:
        yield node
        node = node.getparent()


def _text_boxes(paragraph: Any) -> list[Any]:
    """Contents of text boxes anchored here; a box is stored twice (new form and fallback), the first one counts."""
    from docx.oxml.ns import qn

    fallback = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
    boxes = []
    for box in paragraph._p.iter(qn("w:txbxContent")):
        above = [parent.tag for parent in _parents(box, paragraph._p)]
        if fallback not in above and qn("w:txbxContent") not in above:
            boxes.append(box)
    return boxes


def _style_name(paragraph: Any) -> str:
    try:
        return str(paragraph.style.name or "")
    except (AttributeError, KeyError):
        return ""


def _heading_level(paragraph: Any, style: str) -> int:
    """1-9, 0 for text. Titles count as level 1; custom styles count by their outline level or what they are based on."""
    if style.lower() in ("title", "titel", "titre"):
        return 1
    current = paragraph.style
    for _ in range(10):
        if current is None:
            return 0
        match = STYLE_LEVEL.match(str(current.name or ""))
        if match:
            return int(match.group(1))
        level = _outline_level(current.element)
        if level is not None:
            return level
        current = getattr(current, "base_style", None)
    return 0


def _outline_level(style_element: Any) -> int | None:
    from docx.oxml.ns import qn

    found = next(iter(style_element.iter(qn("w:outlineLvl"))), None)
    value = int(found.get(qn("w:val"))) if found is not None else 9
    return value + 1 if value < 9 else None


def _numbering(paragraph: Any) -> tuple[str, int]:
    """(list id, level from 0) that the paragraph or its style names; "" when it is no list."""
    from docx.oxml.ns import qn

    for element in (paragraph._p, getattr(paragraph.style, "element", None)):
        found = None if element is None else next(iter(element.iter(qn("w:numPr"))), None)
        if found is not None:
            number, level = found.find(qn("w:numId")), found.find(qn("w:ilvl"))
            list_id = "" if number is None else str(number.get(qn("w:val")))
            return ("" if list_id == "0" else list_id), int(level.get(qn("w:val"))) if level is not None else 0
    return "", 0


def _goes_on(row: list[Any], at: int) -> bool:
    """Whether this is the cell before it, which spans several columns."""
    return at > 0 and row[at]._tc is row[at - 1]._tc


def _cell_text(cell: Any) -> str:
    from docx.oxml.ns import qn
    from docx.text.paragraph import Paragraph

    lines = [_text(Paragraph(node, cell)) for node in cell._tc.iter(qn("w:p"))]
    return "\n".join(line for line in lines if line)


def _is_layout(rows: list[list[Any]]) -> bool:
    """A frame around text rather than data: one column, or a single row of long cells."""
    width = max((len({id(cell._tc) for cell in row}) for row in rows), default=0)
    return width < 2 or (len(rows) == 1 and any(len(_cell_text(cell)) > 300 for cell in rows[0]))


def _stands_out(table: Any, first: list[Any]) -> bool:
    """Whether the first row is marked as header, or all its words are bold, or it is shaded and the second is not."""
    from docx.oxml.ns import qn

    if next(iter(table.rows[0]._tr.iter(qn("w:tblHeader"))), None) is not None:
        return True
    runs = [run for cell in first for paragraph in cell.paragraphs for run in paragraph.runs if run.text.strip()]
    if runs and all(run.bold or (run.style and run.style.font.bold) for run in runs):
        return True
    shaded = [any(True for _ in row._tr.iter(qn("w:shd"))) for row in table.rows[:2]]
    return len(shaded) == 2 and shaded[0] and not shaded[1]
