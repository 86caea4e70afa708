"""Tables of a page: by their ruled lines (pdfplumber), or by columns that line up where nothing is ruled."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kb.readers.pdf.layout import Bounds, Line, Segment, bounds_of, segments
from kb.readers.pdf.words import Frame, Word

MOST_PATHS = 4000
"""A page with more drawn objects is a drawing, whose lines are no table."""
FRAMED_WORDS = 45
"""Cells with more words on average are frames around text, not a table."""
COLUMN_GAP = 0.9
"""Share of the line height that parts the columns of an unruled table."""
MARK = re.compile(r"^(?:[-–•·▪■●○◦*]|\(?\d{1,3}[.)]?|\(?[a-zA-Z][.)])$")  # noqa: RUF001 - the dash is a bullet
LEADER = re.compile(r"(?:\.\s?){4,}")


@dataclass(frozen=True)
class Table:
    """Rows of cell texts, the box of each row and of the whole, and whether the first row is set apart from the second."""

    rows: tuple[tuple[str, ...], ...]
    row_bounds: tuple[Bounds, ...]
    bounds: Bounds
    first_stands_out: bool


def has_rules(page: Any) -> bool:
    """Whether a pypdfium2 page draws enough straight lines or boxes for a table, and not so many that it is a drawing."""
    import pypdfium2.raw as pdfium

    across = down = 0
    for seen, drawn in enumerate(page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_PATH], max_depth=3)):
        if seen > MOST_PATHS:
            return False
        left, bottom, right, top = drawn.get_bounds()
        width, height = right - left, top - bottom
        across += width > 15 and (height < 3 or height > 6)
        down += height > 6 and (width < 3 or width > 15)
    return across >= 2 and down >= 2


def ruled_tables(plumber_page: Any, words: Sequence[Word], media: Frame, shown: Frame) -> list[Table]:
    """Tables by their lines, as pdfplumber finds them, filled with `words`; boxes in the displayed page `shown`."""
    found: list[Table] = []
    for raw in plumber_page.filter(_is_line).find_tables():
        grid = [[None if cell is None else shown.place(*media.unplace(*cell)) for cell in row.cells] for row in raw.rows]
        table = _filled(grid, words)
        if table and not any(_overlap(table.bounds, other.bounds) for other in found):
            found.append(table)
    return found


def _is_line(drawn: dict[str, Any]) -> bool:
    """Boxes that are only filled shade a cell or a line of text; their edges rule nothing."""
    return drawn["object_type"] != "rect" or bool(drawn["stroke"]) or min(drawn["width"], drawn["height"]) < 3


def _filled(grid: list[list[Bounds | None]], words: Sequence[Word]) -> Table | None:
    cells = [cell for row in grid for cell in row if cell]
    if len(grid) < 2 or max(len(row) for row in grid) < 2 or len(cells) < 4:
        return None
    contents = {cell: [word for word in words if _holds(cell, word)] for cell in cells}
    texts = {cell: cell_text(inside) for cell, inside in contents.items()}
    if sum(bool(text) for text in texts.values()) < max(3, 0.25 * len(cells)):
        return None
    rows = [tuple(texts.get(cell, "") if cell else "" for cell in _spread(row, number, grid)) for number, row in enumerate(grid)]
    bounds = [bounds_of([cell for cell in row if cell]) for row in grid if any(row)]
    rows, bounds = _split_rows(rows, bounds, grid, contents)
    rows = _without_twin_columns(rows)
    if sum(len(text.split()) for row in rows for text in row) > FRAMED_WORDS * len(rows) * max(len(row) for row in rows):
        return None
    kept = [(row, box) for row, box in zip(rows, bounds, strict=False) if any(row)]
    heads = [[word for cell in row if cell for word in contents[cell]] for row in grid[:2]]
    return (
        Table(tuple(row for row, _ in kept), tuple(box for _, box in kept), bounds_of(bounds), _stands_out(*heads))
        if len(kept) > 1
        else None
    )


def _split_rows(
    rows: list[tuple[str, ...]], bounds: list[Bounds], grid: list[list[Bounds | None]], contents: dict[Bounds, list[Word]]
) -> tuple[list[tuple[str, ...]], list[Bounds]]:
    """Rows ruled as a group (every cell has as many lines as the others, side by side) are parted into the rows that they are."""
    parted: list[tuple[str, ...]] = []
    boxes: list[Bounds] = []
    for texts, box, row in zip(rows, bounds, grid, strict=False):
        columns = [_cell_lines(contents[cell]) if cell else [] for cell in row]
        counts = {len(lines) for lines in columns if lines}
        count = counts.pop() if len(counts) == 1 else 1
        if count < 2 or sum(bool(lines) for lines in columns) < 2 or len({cell for cell in row if cell}) < len(row):
            parted.append(texts)
            boxes.append(box)
            continue
        height = (box[3] - box[1]) / count
        parted += [tuple(lines[number] if lines else "" for lines in columns) for number in range(count)]
        boxes += [(box[0], box[1] + number * height, box[2], box[1] + (number + 1) * height) for number in range(count)]
    return parted, boxes


def _without_twin_columns(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Columns that only stray lines make (a repeated head over empty cells) are left out."""
    width = max(len(row) for row in rows)
    padded = [row + ("",) * (width - len(row)) for row in rows]
    heads = padded[0]
    kept = [at for at in range(width) if any(row[at] for row in padded[1:]) or (heads[at] and (at == 0 or heads[at] != heads[at - 1]))]
    return [tuple(row[column] for column in kept) for row in padded]


def _spread(row: list[Bounds | None], number: int, grid: list[list[Bounds | None]]) -> Iterator[Bounds | None]:
    """The row's cells; where one is missing, the cell from a row above that reaches down to it, or in the head the one that spans it."""
    present = [cell for cell in row if cell]
    if not present:
        return
    middle = (present[0][1] + present[0][3]) / 2
    for column, cell in enumerate(row):
        if cell is None:
            sides = [other[column] for other in grid if column < len(other)]
            side = next((other for other in sides if other), None)
            x = (side[0] + side[2]) / 2 if side else 0.0
            reachable = [other for line in grid[: number if number else 1] for other in line if other]
            cell = next((other for other in reachable if side and other[0] < x < other[2] and other[1] < middle < other[3]), None)
        yield cell


def _stands_out(first: Sequence[Word], second: Sequence[Word]) -> bool:
    bold_first = bool(first) and all(word.bold for word in first)
    return bold_first and not (bool(second) and all(word.bold for word in second))


def cell_text(words: Sequence[Word]) -> str:
    """A cell's words in reading order, a word cut at a line's end joined."""
    text = ""
    for line in _cell_lines(words):
        joins = text.endswith("-") and len(text) > 2 and text[-2].isalpha() and line[:1].islower()
        text = text[:-1] + line if joins else f"{text} {line}" if text else line
    return text


def _cell_lines(words: Sequence[Word]) -> list[str]:
    rows: dict[int, list[str]] = {}
    for segment in segments([word for word in words if word.angle == 0]):
        rows.setdefault(segment.row, []).append(segment.text)
    return [" ".join(row) for row in rows.values()] + [word.text for word in words if word.angle != 0]


def _holds(box: Bounds, word: Word) -> bool:
    return box[0] - 1 <= (word.left + word.right) / 2 <= box[2] + 1 and box[1] <= word.middle < box[3]


def _overlap(one: Bounds, other: Bounds) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def inside(table: Table, word: Word) -> bool:
    """Whether a word belongs to the table rather than to the text around it."""
    return _holds(table.bounds, word)


def aligned_tables(lines: Sequence[Line]) -> list[Line | Table]:
    """The lines of a column with runs of rows that line up in columns replaced by tables."""
    found: list[Line | Table] = []
    at = 0
    while at < len(lines):
        end = _run_end(lines, at)
        table = _aligned(lines[at:end]) if end - at >= 3 else None
        if table:
            found.append(table)
            at = end
        else:
            found.append(lines[at])
            at += 1
    return found


def _run_end(lines: Sequence[Line], start: int) -> int:
    """End of the run of table-like lines from `start`: rows with gaps, and single cells close between them."""
    if len(_cells(lines[start])) < 2:
        return start
    end = start + 1
    for place in range(start + 1, len(lines)):
        gap = lines[place].bounds[1] - lines[place - 1].bounds[3]
        if gap > 2.0 * lines[place].whole.size or LEADER.search(lines[place].text):
            break
        if len(_cells(lines[place])) >= 2:
            end = place + 1
        elif place - end >= 2:
            break
    return end


def _cells(line: Line) -> list[Segment]:
    """The line's segments with those joined again whose gap is narrower than between columns."""
    cells: list[Segment] = []
    for segment in line.segments:
        if cells and segment.bounds[0] - cells[-1].bounds[2] < COLUMN_GAP * segment.size:
            cells[-1] = Segment(cells[-1].words + segment.words, segment.row)
        else:
            cells.append(segment)
    return cells


def _aligned(lines: Sequence[Line]) -> Table | None:
    rows = [_cells(line) for line in lines]
    columns = _column_bounds([cell for row in rows for cell in row], len(rows))
    if len(columns) < 2:
        return None
    placed = [_placed(row, columns) for row in rows]
    full = sum(sum(bool(cells) for cells in row) >= 2 for row in placed)
    if full < 3 or full < 0.5 * len(rows) or _is_list(placed) or (len(columns) == 2 and not _is_label_and_value(placed)):
        return None
    merged = _merged(placed, lines)
    if len(merged) < 3 or not _says_something(merged):
        return None
    texts = tuple(tuple(" ".join(cell.text for cell in cells) for cells in row) for row, _ in merged)
    boxes = tuple(box for _, box in merged)
    heads = [[word for cells in row for cell in cells for word in cell.words] for row, _ in merged[:2]]
    return Table(texts, boxes, bounds_of(boxes), _stands_out(*heads))


def _column_bounds(cells: Sequence[Segment], rows: int) -> list[tuple[float, float]]:
    """[(left, right)] of the columns: stretches of x that are covered, parted by stretches that hardly any cell crosses."""
    left, _, right, _ = bounds_of([cell.bounds for cell in cells])
    width = int(right - left) + 2
    cover = [0] * width
    for cell in cells:
        for x in range(int(cell.bounds[0] - left), int(cell.bounds[2] - left) + 1):
            cover[x] += 1
    crossing = 0.08 * rows
    columns: list[tuple[float, float]] = []
    start = None
    for x in range(width):
        if cover[x] > crossing:
            start = x if start is None else start
        elif start is not None:
            columns.append((left + start, left + x))
            start = None
    if start is not None:
        columns.append((left + start, right))
    return columns


def _placed(row: Sequence[Segment], columns: Sequence[tuple[float, float]]) -> list[list[Segment]]:
    """The row's cells by column: each goes where it overlaps most."""
    placed: list[list[Segment]] = [[] for _ in columns]
    for cell in row:
        overlaps = [min(cell.bounds[2], right) - max(cell.bounds[0], left) for left, right in columns]
        placed[overlaps.index(max(overlaps))].append(cell)
    return placed


def _says_something(rows: Sequence[tuple[list[list[Segment]], Bounds]]) -> bool:
    """Whether most cells hold words or numbers: the brackets of a formula line up as well."""
    texts = [cell.text for row, _ in rows for cells in row for cell in cells]
    return sum(sum(character.isalnum() for character in text) >= 0.4 * len(text) for text in texts) >= 0.7 * len(texts)


def _is_list(rows: Sequence[Sequence[Sequence[Segment]]]) -> bool:
    """Bullets or numbers with their text beside them are a list, not a table."""
    first = [row[0][0].text for row in rows if row[0]]
    return len(rows[0]) == 2 and sum(bool(MARK.match(text)) for text in first) > len(first) / 2


def _is_label_and_value(rows: Sequence[Sequence[Sequence[Segment]]]) -> bool:
    """Two columns count as a table only when the left one holds short labels."""
    labels = [" ".join(cell.text for cell in row[0]) for row in rows if row[0]]
    return len(labels) >= 3 and sum(map(len, labels)) / len(labels) <= 40


def _merged(rows: Sequence[list[list[Segment]]], lines: Sequence[Line]) -> list[tuple[list[list[Segment]], Bounds]]:
    """Rows of the table; a line without a first cell close under another goes on with that one's cells."""
    merged: list[tuple[list[list[Segment]], Bounds]] = []
    for row, line in zip(rows, lines, strict=True):
        box = line.bounds
        near = bool(merged) and box[1] - merged[-1][1][3] < 0.35 * line.whole.size
        if merged and near and not row[0] and sum(bool(cells) for cells in row) < sum(bool(cells) for cells in merged[-1][0]):
            above, held = merged[-1]
            merged[-1] = ([old + new for old, new in zip(above, row, strict=True)], bounds_of([held, box]))
        else:
            merged.append((row, box))
    return merged
