"""One page of a PDF as lines and tables in reading order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from kb.blocks import Box
from kb.readers.pdf.layout import Bounds, Line, Segment, reading_order
from kb.readers.pdf.tables import Table, has_rules, inside, ruled_tables
from kb.readers.pdf.words import Frame, PageWords, Word, frame_of, page_words

UNREADABLE_SHARE = 0.4
"""A page with more unmapped characters than this reads as rubbish and counts as one without text."""
TABLE_MARK = "\ufdd0"
"""A character no document holds: the word that stands for a table while the layout finds its place."""


@dataclass(frozen=True)
class Page:
    """`columns` hold lines and tables in reading order. Boxes are in the page as it was laid out; `box` gives them as displayed."""

    number: int
    width: float
    height: float
    columns: tuple[tuple[Line | Table, ...], ...]
    has_text: bool
    laid_out: Frame
    shown: Frame

    def box(self, bounds: Bounds) -> Box:
        """Bounds as a block's box."""
        left, top, right, bottom = self.shown.place(*self.laid_out.unplace(*bounds))
        return self.number, round(left, 1), round(top, 1), round(right, 1), round(bottom, 1)


def read_page(page: Any, number: int, plumber: Callable[[int], Any]) -> Page:
    """Read a pypdfium2 page. `plumber(number)` opens the same page in pdfplumber, which is only done where lines are ruled."""
    shown = frame_of(page)
    found, frame = _upright(page, shown)
    letters = sum(character.isalnum() for word in found.words for character in word.text)
    if not letters or found.unmapped > UNREADABLE_SHARE:
        return Page(number, found.width, found.height, (), False, frame, shown)
    tables: list[Table] = []
    if frame == shown and has_rules(page):
        tables = ruled_tables(plumber(number), [word for word in found.words if word.angle in (0, 90, 270)], _media(page), shown)
    columns = _laid_out(found, tables)
    return Page(number, found.width, found.height, tuple(tuple(column) for column in columns), True, frame, shown)


def _upright(page: Any, shown: Frame) -> tuple[PageWords, Frame]:
    """The words seen so that most of them stand upright, and the frame that does this."""
    found = page_words(page, shown)
    angles = Counter[int]()
    for word in found.words:
        angles[word.angle] += len(word.text)
    angle, weight = angles.most_common(1)[0] if angles else (0, 0)
    if angle == 0 or weight < 0.6 * angles.total():
        return found, shown
    frame = replace(shown, turned=(shown.turned - angle) % 360)
    return page_words(page, frame), frame


def _media(page: Any) -> Frame:
    left, bottom, right, top = page.get_mediabox()
    return Frame(left, bottom, right, top, page.get_rotation() % 360)


def _laid_out(found: PageWords, tables: list[Table]) -> list[list[Line | Table]]:
    """Reading order with each ruled table taking part as one wide word."""
    free = [word for word in found.words if not any(inside(table, word) for table in tables)]
    stand_ins = [Word(TABLE_MARK + str(number), *table.bounds, 10.0, False) for number, table in enumerate(tables)]
    columns: list[list[Line | Table]] = []
    for column in reading_order(free + stand_ins):
        items: list[Line | Table] = []
        for line in column:
            items += _parts(line, tables)
        columns.append(items)
    return columns


def _parts(line: Line, tables: list[Table]) -> list[Line | Table]:
    """The tables that a line stands for, after what else is in the line."""
    rest = tuple(word for word in line.whole.words if not word.text.startswith(TABLE_MARK))
    marked = [tables[int(word.text[1:])] for word in line.whole.words if word.text.startswith(TABLE_MARK)]
    if not marked:
        return [line]
    return [*([Line((Segment(rest, line.segments[0].row),))] if rest else []), *marked]
