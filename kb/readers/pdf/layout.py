"""Words -> lines in reading order: rows, columns, and what crosses them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from kb.readers.pdf.words import Word

SEGMENT_GAP = 0.75
"""A gap wider than this share of the line height parts two segments of a row (a space is about 0.2)."""
GUTTER_PT = 5.0
COLUMN_LINES = 4
Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Segment:
    """Neighbouring words of one row with no wide gap between them."""

    words: tuple[Word, ...]
    row: int

    @cached_property
    def bounds(self) -> Bounds:
        """(left, top, right, bottom)"""
        return bounds_of([word.box for word in self.words])

    @cached_property
    def text(self) -> str:
        """The words with single spaces, right-to-left scripts in their own order."""
        return " ".join(word.text for word in (reversed(self.words) if is_right_to_left(self.words) else self.words))

    @cached_property
    def size(self) -> float:
        """Line height of the widest-set words, in points."""
        weights: dict[float, int] = {}
        for word in self.words:
            weights[word.size] = weights.get(word.size, 0) + len(word.text)
        return max(weights, key=lambda size: (weights[size], size))

    @cached_property
    def bold(self) -> bool:
        """Whether at least nine in ten letters are bold."""
        return sum(len(word.text) for word in self.words if word.bold) >= 0.9 * sum(len(word.text) for word in self.words)


@dataclass(frozen=True)
class Line:
    """A row within its column. `segments` keeps the wide gaps, which tell tables."""

    segments: tuple[Segment, ...]

    @cached_property
    def whole(self) -> Segment:
        """All words as one segment."""
        return Segment(tuple(word for segment in self.segments for word in segment.words), self.segments[0].row)

    @property
    def text(self) -> str:
        """The line's words."""
        return self.whole.text

    @property
    def bounds(self) -> Bounds:
        """(left, top, right, bottom)"""
        return self.whole.bounds


def bounds_of(boxes: Sequence[Bounds]) -> Bounds:
    """The box around boxes."""
    return min(box[0] for box in boxes), min(box[1] for box in boxes), max(box[2] for box in boxes), max(box[3] for box in boxes)


def is_right_to_left(words: Sequence[Word]) -> bool:
    """Whether most letters are Arabic, Hebrew or the like."""
    letters = [unicodedata.bidirectional(character) for word in words for character in word.text if character.isalpha()]
    return sum(direction in ("R", "AL") for direction in letters) > len(letters) / 2


def reading_order(words: Sequence[Word]) -> list[list[Line]]:
    """Lines of a page, column after column; each inner list is one column or band, top to bottom. Turned words come last."""
    upright = [word for word in words if word.angle == 0]
    columns = [lines_of(column) for column in _columns(segments(upright))]
    turned = _turned_lines([word for word in words if word.angle != 0])
    return columns + ([turned] if turned else [])


def segments(words: Sequence[Word]) -> list[Segment]:
    """Rows of words, cut at wide gaps; sorted by row, then from left to right."""
    found = []
    for number, row in enumerate(_rows(words)):
        row.sort(key=lambda word: word.left)
        start = 0
        for place in range(1, len(row) + 1):
            if place == len(row) or row[place].left - row[place - 1].right > SEGMENT_GAP * min(row[place].size, row[place - 1].size):
                found.append(Segment(tuple(row[start:place]), number))
                start = place
    return found


def _rows(words: Sequence[Word]) -> list[list[Word]]:
    rows: list[list[Word]] = []
    middle = size = 0.0
    for word in sorted(words, key=lambda word: word.middle):
        if rows and word.middle - middle < 0.45 * min(size, word.size):
            row = rows[-1]
            row.append(word)
            middle += (word.middle - middle) / len(row)
            size = max(size, word.size) if len(row) < 3 else size
        else:
            rows.append([word])
            middle, size = word.middle, word.size
    return rows


def lines_of(column: Sequence[Segment]) -> list[Line]:
    """Segments of one column as lines."""
    lines: list[list[Segment]] = []
    for segment in sorted(column, key=lambda segment: (segment.row, segment.bounds[0])):
        if lines and lines[-1][-1].row == segment.row:
            lines[-1].append(segment)
        else:
            lines.append([segment])
    return [Line(tuple(line)) for line in lines]


def _columns(items: list[Segment], depth: int = 0) -> list[list[Segment]]:
    """Split into columns at a gutter of text; what crosses the gutter parts the page into bands."""
    gutter = _gutter(items) if depth < 3 else None
    if gutter is None:
        return [items] if items else []
    columns: list[list[Segment]] = []
    left: list[Segment] = []
    right: list[Segment] = []
    crossing: list[Segment] = []
    for item in sorted(items, key=lambda item: (item.row, item.bounds[0])):
        if item.bounds[0] < gutter < item.bounds[2]:
            columns += _columns(left, depth + 1) + _columns(right, depth + 1)
            left, right = [], []
            crossing.append(item)
            continue
        if crossing:
            columns.append(crossing)
            crossing = []
        (left if item.bounds[2] <= gutter else right).append(item)
    return columns + ([crossing] if crossing else []) + _columns(left, depth + 1) + _columns(right, depth + 1)


def _gutter(items: Sequence[Segment]) -> float | None:
    """x of a vertical gap with columns of prose on both sides, None when there is none."""
    if len(items) < 2 * COLUMN_LINES:
        return None
    left, _, right, _ = bounds_of([item.bounds for item in items])
    width = int(right - left) + 1
    if width < 150:
        return None
    cover = [0] * (width + 1)
    for item in items:
        for x in range(max(int(item.bounds[0] - left), 0), min(int(item.bounds[2] - left) + 1, width)):
            cover[x] += 1
    low = max(cover) * 0.15
    best: tuple[int, int] | None = None
    start = None
    for x in range(int(width * 0.2), int(width * 0.8)):
        if cover[x] <= low:
            start = x if start is None else start
            if x - start >= GUTTER_PT and (best is None or x - start > best[1] - best[0]):
                best = (start, x)
        else:
            start = None
    if best is None:
        return None
    middle = left + (best[0] + best[1]) / 2
    before = [item for item in items if item.bounds[2] <= middle]
    after = [item for item in items if item.bounds[0] >= middle]
    return middle if _is_prose(before) and _is_prose(after) else None


def _is_prose(items: Sequence[Segment]) -> bool:
    """Whether these segments look like columns of text: several lines of several words, most about as wide as the widest."""
    widths = sorted(item.bounds[2] - item.bounds[0] for item in items)
    if len(items) < COLUMN_LINES:
        return False
    usual = widths[int(0.9 * (len(widths) - 1))]
    full = sum(width >= 0.6 * usual for width in widths)
    return full >= 0.4 * len(items) and sum(len(item.words) for item in items) >= 4 * len(items)


def _turned_lines(words: Sequence[Word]) -> list[Line]:
    runs: dict[tuple[int, int], list[Word]] = {}
    for word in words:
        runs.setdefault((word.angle, word.run), []).append(word)
    return [Line((Segment(tuple(run), 1_000_000 + number),)) for number, run in enumerate(runs.values())]
