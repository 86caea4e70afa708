"""Pages of lines and tables -> blocks: running headers dropped, headings found, paragraphs and lists put together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from kb.blocks import Block, Box, row_text
from kb.readers.headers import header_at
from kb.readers.pdf.layout import Line, bounds_of
from kb.readers.pdf.page import Page
from kb.readers.pdf.tables import LEADER, Table, aligned_tables

EDGE, NUMBER_EDGE = 0.12, 0.2
"""Share of the page's height at its top and bottom where running headers and footers stand, and page numbers."""
NUMBERED = re.compile(
    r"^(?:(?:chapter|section|part|kapitel|abschnitt|appendix|annex|anhang)\s+)?(\d{1,3}(?:\.\d{1,3}){0,4}|[A-Z](?:\.\d{1,3}){1,4})[.:]?\s+(?=\S*[^\W\d])",
    re.I,
)
COUNTED = re.compile(r"^(?:\(?\d{1,2}\)|(?:step|schritt)\s+\d)", re.I)
ITEM = re.compile(r"^(?:[-\u2013\u2022\u00b7\u25aa\u25a0\u25cf\u25cb\u25e6\uf0b7*]\s+|\(?\d{1,2}[.)]\s+|\(?[a-z][.)]\s+)(?=\S)")
BULLET = re.compile(r"^[\u2013\u2022\u00b7\u25aa\u25a0\u25cf\u25cb\u25e6\uf0b7*]\s+")
NO_HEADING = re.compile(BULLET.pattern + r"|^(?:table|tab\.|tabelle|tableau|figure|fig\.|abbildung|abb\.)\s*\d", re.I)
CAPTION = re.compile(r"^(?:table|tab\.|tabelle|tableau)\s*[\dA-Z]", re.I)
SENTENCE = re.compile(r"[.!?;,:]$")
PAGE_NUMBER = re.compile(r"^\W*(?:page|seite|p\.)?\s*#\s*(?:(?:of|von|/|-)\s*#)?\W*$")
COUNTER = re.compile(r"\d+|\b[ivxlc]+\b")
LONGEST_HEADING = 120
Style = tuple[float, bool]


@dataclass(frozen=True)
class Outline:
    """Bookmarks: level from 1 by their plain title, see `plain`."""

    levels: Mapping[str, int]


def plain(text: str) -> str:
    """A title without numbering, punctuation and case, to compare bookmarks with lines."""
    return "".join(character for character in re.sub(r"^[\d.\s]+", "", text.casefold()) if character.isalnum())


@dataclass(frozen=True)
class _Placed:
    """A line or table with its page and column (counted through the document)."""

    item: Line | Table
    page: Page
    column: int


def blocks_of(pages: Sequence[Page], outline: Outline) -> list[Block]:
    """The document's blocks in reading order, each with its boxes."""
    items = _with_aligned_tables(list(_without_contents(_without_furniture(pages))))
    lines = [placed for placed in items if isinstance(placed.item, Line)]
    if not items:
        return []
    styles = _Styles(lines, outline)
    builder = _Builder(styles, _usual_gap(lines))
    for place, placed in enumerate(items):
        before = items[place - 1] if place else None
        if isinstance(placed.item, Table):
            builder.table(placed)
        else:
            builder.line(placed, before)
    builder.flush()
    return builder.blocks


def _without_furniture(pages: Sequence[Page]) -> list[_Placed]:
    """Everything but page numbers and lines near the top or bottom edge that come again on other pages."""
    repeated = Counter(key for page in pages for key in {_edge_key(page, item) for column in page.columns for item in column} if key)
    enough = max(3, 0.15 * len(pages))
    everything: list[_Placed] = []
    kept: list[_Placed] = []
    columns = 0
    for page in pages:
        for column in page.columns:
            columns += 1
            for item in column:
                everything.append(_Placed(item, page, columns))
                key = _edge_key(page, item)
                is_running = (key is not None and repeated[key] >= enough) or (len(pages) > 1 and _is_page_number(page, item))
                if not is_running:
                    kept.append(everything[-1])
    return kept or everything


def _edge_key(page: Page, item: Line | Table) -> tuple[bool, str] | None:
    """(whether at the top, the text with numbers left open) of a line near an edge, None for everything else."""
    if isinstance(item, Table):
        return None
    is_top, is_bottom = item.bounds[3] < EDGE * page.height, item.bounds[1] > (1 - EDGE) * page.height
    return (is_top, COUNTER.sub("#", item.text.casefold())) if is_top or is_bottom else None


def _is_page_number(page: Page, item: Line | Table) -> bool:
    if isinstance(item, Table) or NUMBER_EDGE * page.height < item.bounds[1] < (1 - NUMBER_EDGE) * page.height:
        return False
    return bool(PAGE_NUMBER.match(COUNTER.sub("#", item.text.casefold())))


def _with_aligned_tables(items: Sequence[_Placed]) -> list[_Placed]:
    """Runs of lines that line up in columns become tables; only now, since running headers would have broken or joined them."""
    found: list[_Placed] = []
    run: list[_Placed] = []
    for placed in [*items, None]:
        if run and (placed is None or placed.column != run[0].column or isinstance(placed.item, Table)):
            lines = [entry.item for entry in run if isinstance(entry.item, Line)]
            found += [_Placed(item, run[0].page, run[0].column) for item in aligned_tables(lines)]
            run = []
        if placed is not None and isinstance(placed.item, Line):
            run.append(placed)
        elif placed is not None:
            found.append(placed)
    return found


def _without_contents(items: Sequence[_Placed]) -> Iterator[_Placed]:
    """Leave out tables of contents: lines with dot leaders, where a page has several."""
    by_page: dict[int, list[_Placed]] = {}
    for placed in items:
        by_page.setdefault(placed.page.number, []).append(placed)
    for entries in by_page.values():
        leaders = [isinstance(entry.item, Line) and bool(LEADER.search(entry.item.text)) for entry in entries]
        for entry, is_leader in zip(entries, leaders, strict=True):
            if not (is_leader and sum(leaders) >= 3):
                yield entry


def _usual_gap(lines: Sequence[_Placed]) -> float:
    """The usual gap between two lines of a paragraph, as a share of the line height."""
    gaps = []
    for before, after in pairwise(lines):
        if before.column == after.column:
            assert isinstance(before.item, Line) and isinstance(after.item, Line)
            gap = (after.item.bounds[1] - before.item.bounds[3]) / max(after.item.whole.size, 1.0)
            if -0.6 < gap < 1.0:
                gaps.append(gap)
    return median(sorted(gaps)[: max(1, len(gaps) * 2 // 3)]) if gaps else 0.0


class _Styles:
    """Which lines are headings, and how deep, judged over the whole document."""

    def __init__(self, lines: Sequence[_Placed], outline: Outline) -> None:
        self._outline = outline
        weights: Counter[Style] = Counter()
        for placed in lines:
            assert isinstance(placed.item, Line)
            weights[_style(placed.item)] += len(placed.item.text)
        self.body: Style = weights.most_common(1)[0][0] if weights else (10.0, False)
        self._chapter_depth = 0
        self._levels = self._ranked([placed.item for placed in lines if isinstance(placed.item, Line)])

    def level(self, line: Line) -> int:
        """1.. for a heading, 0 for text.

        Ask in reading order: an unnumbered heading in the style of numbered ones lies below the last of them.
        """
        text = line.text
        named = self._outline.levels.get(plain(text), 0) if len(text) <= LONGEST_HEADING and _style(line)[0] >= self.body[0] else 0
        depth = _depth(text)
        if depth and (named or self.stands_out(line)):
            self._chapter_depth = depth
            return depth
        if named or not self.stands_out(line):
            return named
        level = self._levels.get(_style(line), 6)
        return min(max(level, self._chapter_depth + 1), 9) if level > 1 or COUNTED.match(text) else level

    def stands_out(self, line: Line) -> bool:
        """Whether a line is set like a heading: larger than the text, or short and bold where the text is not."""
        text = line.text
        size, bold = _style(line)
        letters = sum(character.isalpha() for character in text)
        if letters < 2 or letters < 0.4 * len(text.replace(" ", "")) or len(text) > LONGEST_HEADING or NO_HEADING.match(text):
            return False
        if size >= 1.12 * self.body[0]:
            return not text.endswith((",", ";")) and (len(text.split()) <= 14 or not text.endswith("."))
        return bold and not self.body[1] and size >= 0.95 * self.body[0] and len(text.split()) <= 12 and not SENTENCE.search(text)

    def _ranked(self, lines: Sequence[Line]) -> dict[Style, int]:
        """Level of each heading style: by the bookmarks or numbers of its lines where they tell, else one below the next larger style."""
        known: dict[Style, list[int]] = {}
        for line in lines:
            if self.stands_out(line):
                depth = self._outline.levels.get(plain(line.text), 0) or _depth(line.text)
                known.setdefault(_style(line), []).extend([depth] if depth else [])
        levels: dict[Style, int] = {}
        previous = 0
        for style in sorted(known, key=lambda style: (-style[0], not style[1])):
            previous = round(median(known[style])) if known[style] else min(previous + 1, 6)
            levels[style] = previous
        return levels


def _style(line: Line) -> Style:
    return line.whole.size, line.whole.bold


def _depth(text: str) -> int:
    """Depth of a numbered title: "2.3.1 Valves" has 3, "2.0 Valves" 1; 0 for others."""
    match = NUMBERED.match(text)
    return len(re.sub(r"(\.0)+$", "", match.group(1)).split(".")) if match else 0


@dataclass
class _Builder:
    styles: _Styles
    usual_gap: float
    blocks: list[Block] = field(default_factory=list)
    pending: list[_Placed] = field(default_factory=list)
    kind: str = "paragraph"
    level: int = 0
    group: int = 0
    was_item: bool = False
    header: list[str] = field(default_factory=list)

    def line(self, placed: _Placed, before: _Placed | None) -> None:
        assert isinstance(placed.item, Line)
        level = self.styles.level(placed.item)
        if level:
            if not (self.kind == "heading" and self.pending and self._goes_on_as_heading(placed)):
                self.flush()
            self._begin("heading", placed, level) if not self.pending else self.pending.append(placed)
        elif ITEM.match(placed.item.text):
            self.flush()
            self._begin("list_item", placed)
        elif self.pending and self.kind != "heading" and self._goes_on(placed):
            self.pending.append(placed)
        else:
            self.flush()
            self._begin("paragraph", placed)

    def table(self, placed: _Placed) -> None:
        """Rows of a table; one that goes on from the page before keeps its header and group."""
        self.flush()
        table = placed.item
        assert isinstance(table, Table)
        rows, bounds = list(table.rows), list(table.row_bounds)
        last = self.blocks[-1] if self.blocks else None
        caption = last.text if last and last.kind == "paragraph" and CAPTION.match(last.text) else ""
        goes_on = bool(last and last.kind == "table_row" and last.boxes and last.boxes[-1][0] == placed.page.number - 1)
        if goes_on and last and self.header and len(rows[0]) == len(self.header):
            caption = last.caption
            at = 0 if list(rows[0]) == self.header else None
            rows, bounds = rows[1 if at == 0 else 0 :], bounds[1 if at == 0 else 0 :]
        else:
            self.group += 1
            at = header_at(rows, table.first_stands_out)
            for row, box in zip(rows[: at or 0], bounds, strict=False):
                self.blocks.append(Block("paragraph", row_text([], list(dict.fromkeys(row))), boxes=(placed.page.box(box),)))
            self.header = [] if at is None else list(rows[at])
            rows, bounds = (rows, bounds) if at is None else (rows[at + 1 :], bounds[at + 1 :])
        for row, box in zip(rows, bounds, strict=True):
            text = row_text(self.header, row)
            if text:
                self.blocks.append(Block("table_row", text, group=self.group, caption=caption, boxes=(placed.page.box(box),)))
        self.was_item = False

    def flush(self) -> None:
        """End the block under way."""
        if not self.pending:
            return
        text = joined([placed.item.text for placed in self.pending if isinstance(placed.item, Line)])
        is_item = self.kind == "list_item"
        if is_item and not self.was_item:
            self.group += 1
        self.was_item = is_item
        if any(character.isalnum() for character in text):
            group = self.group if is_item else 0
            kind = self.kind
            text = BULLET.sub("- ", text) if is_item else text
            self.blocks.append(Block(kind, text, level=self.level, group=group, boxes=_boxes(self.pending)))  # type: ignore[arg-type]
        self.pending = []

    def _begin(self, kind: str, placed: _Placed, level: int = 0) -> None:
        self.kind, self.level, self.pending = kind, level, [placed]

    def _gap(self, placed: _Placed) -> float:
        """Gap to the line before as a share of the line height, beyond the usual one."""
        before = self.pending[-1].item
        assert isinstance(before, Line) and isinstance(placed.item, Line)
        return (placed.item.bounds[1] - before.bounds[3]) / max(placed.item.whole.size, 1.0) - self.usual_gap

    def _goes_on_as_heading(self, placed: _Placed) -> bool:
        before = self.pending[-1]
        assert isinstance(before.item, Line) and isinstance(placed.item, Line)
        same = before.column == placed.column and _style(before.item) == _style(placed.item) and self._gap(placed) < 0.5
        length = sum(len(entry.item.text) for entry in self.pending if isinstance(entry.item, Line))
        return same and length < 100 and not NUMBERED.match(placed.item.text) and not COUNTED.match(placed.item.text)

    def _goes_on(self, placed: _Placed) -> bool:
        before = self.pending[-1]
        assert isinstance(before.item, Line) and isinstance(placed.item, Line)
        if abs(_style(before.item)[0] - _style(placed.item)[0]) > 1.5:
            return False
        text = before.item.text
        if before.column != placed.column:
            return not re.search(r"[.!?:]$", text) and placed.item.text[:1].islower()
        left, right = before.item.bounds[0], placed.item.bounds[0]
        is_indented = right - left > 1.2 * placed.item.whole.size and self.kind == "paragraph" and bool(re.search(r"[.!?:]$", text))
        is_outdented = self.kind == "list_item" and right < self.pending[0].item.bounds[0] - 2 and bool(re.search(r"[.!?:]$", text))
        return -1.6 < self._gap(placed) < 0.3 and not is_indented and not is_outdented


def joined(lines: Sequence[str]) -> str:
    """Lines as one text; a word cut at a line's end is put together, "pres-" + "sure" -> "pressure"."""
    text = ""
    for line in lines:
        cut = re.search(r"[^\W\d_]-$", text) and line[:1].islower()
        text = text[:-1] + line if cut else f"{text} {line}" if text else line
    return text.strip()


def _boxes(placed: Sequence[_Placed]) -> tuple[Box, ...]:
    """One box a column that the block runs through."""
    boxes: list[Box] = []
    for column in dict.fromkeys(entry.column for entry in placed):
        inside = [entry for entry in placed if entry.column == column]
        boxes.append(inside[0].page.box(bounds_of([entry.item.bounds for entry in inside])))
    return tuple(boxes)
