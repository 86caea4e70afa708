"""Blocks -> passages: pieces of one section, about 120-180 words, that can be found, read and quoted alone."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from kb.blocks import Block, Box

READER_VERSION = "1"
"""Part of every passage; counts up when readers or this module cut differently."""

SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]?\s+(?=[\"'(\[]?[A-Z0-9ÄÖÜÉÈÀ])|\n")
ABBREVIATION = re.compile(
    r"\b(?:e\.g|i\.e|etc|cf|vs|fig|figs|no|nos|approx|max|min|resp|bzw|z\.B|d\.h|ca|Nr|Abb|Dr|Mr|Mrs|St|Vol|pp?)\.$", re.IGNORECASE
)
CAPTION = re.compile(r"^(?:table|tab\.|tabelle|tableau|figure|fig\.|abb\.)\s*[\dA-Z]", re.IGNORECASE)


@dataclass(frozen=True)
class Cutting:
    """Sizes in words (six characters count as one where words are longer, as in code and tables)."""

    target: int = 180
    code: int = 300
    """Code blocks stay whole up to here."""
    lead_in: int = 40
    """A longer paragraph before a list is not repeated as its lead-in."""

    def __post_init__(self) -> None:
        if not 20 <= self.target <= self.code:
            raise ValueError(f"target is {self.target}, expected 20 to {self.code} words")


@dataclass(frozen=True)
class Draft:
    """A passage before it has an id. `quote_start:quote_end` are characters of the revision's plain text (`plain_text`)."""

    ordinal: int
    kind: str
    heading: tuple[str, ...]
    text: str
    boxes: tuple[Box, ...]
    quote_start: int
    quote_end: int

    @property
    def quote_sha256(self) -> str:
        """Hash of the text as UTF-8."""
        return hashlib.sha256(self.text.encode("utf-8")).hexdigest()

    @property
    def pages(self) -> tuple[int | None, int | None]:
        """First and last page, None where the kind has no pages."""
        pages = [int(box[0]) for box in self.boxes]
        return (min(pages), max(pages)) if pages else (None, None)


@dataclass(frozen=True)
class _Unit:
    """What is never cut: a sentence group, an item, a row, a code block. `lead_in` is context to repeat where a cut separates it."""

    kind: str
    text: str
    boxes: tuple[Box, ...]
    start: int
    lead_in: str = ""
    group: int = 0

    @property
    def size(self) -> int:
        return size(self.text)


@dataclass
class _Section:
    heading: tuple[str, ...]
    blocks: list[tuple[Block, int]] = field(default_factory=list)
    title: tuple[Block, int] | None = None


def size(text: str) -> int:
    """Words of a text; long ones (code, part numbers) count by their characters."""
    return max(len(text.split()), math.ceil(len(text) / 6))


def plain_text(blocks: Sequence[Block]) -> str:
    """The revision's plain text, which quote offsets count in: every block's text, headings too, one line break between."""
    return "\n".join(block.text for block in blocks)


def cut(blocks: Sequence[Block], cutting: Cutting = Cutting()) -> list[Draft]:
    """Passages of a document in reading order.

    None crosses a heading. Pieces of a section are of even length rather than full ones and a rest. Tables stand in passages of
    their own, captions and list lead-ins are repeated where a cut separates them. A heading with nothing under it is a passage itself.
    """
    drafts: list[Draft] = []
    for section in _sections(blocks):
        for run in _runs(_units(section, cutting)):
            for piece in _pieces(run, cutting.target):
                drafts.append(_draft(len(drafts), section.heading, piece))
    return drafts


def _sections(blocks: Sequence[Block]) -> Iterator[_Section]:
    path: list[tuple[int, str]] = []
    section = _Section(())
    start = 0
    for block in blocks:
        if block.kind == "heading":
            if section.blocks or (section.title and block.level <= path[-1][0]):
                yield section
            path = [entry for entry in path if entry[0] < block.level] + [(block.level, " ".join(block.text.split()))]
            section = _Section(tuple(text for _, text in path), title=(block, start))
        elif block.text.strip():
            section.blocks.append((block, start))
        start += len(block.text) + 1
    if section.blocks or section.title:
        yield section


def _units(section: _Section, cutting: Cutting) -> list[_Unit]:
    if not section.blocks and section.title:
        block, start = section.title
        return [_Unit("prose", block.text, block.boxes, start)]
    units: list[_Unit] = []
    lead_in = ""
    group = 0
    for block, start in section.blocks:
        if block.kind == "paragraph":
            lead_in = block.text if size(block.text) <= cutting.lead_in else sentences(block.text)[-1]
            lead_in = lead_in if lead_in.rstrip().endswith(":") or CAPTION.match(lead_in) else ""
            group = 0
        elif block.group != group:
            group = block.group
        if block.kind not in ("paragraph", "list_item", "table_row") and not block.group:
            lead_in = ""
        units += _split(block, start, cutting, lead_in)
    return units


def _split(block: Block, start: int, cutting: Cutting, lead_in: str) -> Iterator[_Unit]:
    kinds = {"paragraph": "prose", "list_item": "list", "table_row": "table", "code": "code"}
    if block.kind == "table_row":
        lead_in = block.caption or lead_in
    elif block.kind == "paragraph":
        lead_in = ""
    whole = _Unit(kinds[block.kind], block.text, block.boxes, start, lead_in, block.group)
    limit = cutting.code if block.kind == "code" else cutting.target
    if whole.size <= limit:
        yield whole
        return
    parts = _lines(block.text, limit) if block.kind in ("code", "table_row") else _sentence_groups(block.text, limit)
    for text, offset in parts:
        yield replace(whole, text=text, start=start + offset)


def sentences(text: str) -> list[str]:
    """The sentences of a text, in order; a line break ends one too. Abbreviations such as "e.g." do not."""
    return [text[start:end].strip() for start, end in _sentence_spans(text) if text[start:end].strip()] or [text]


def _sentence_spans(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for match in SENTENCE_END.finditer(text):
        if match.group(0) != "\n" and ABBREVIATION.search(text, max(0, match.start() - 12), match.start()):
            continue
        yield start, match.end()
        start = match.end()
    yield start, len(text)


def _sentence_groups(text: str, limit: int) -> Iterator[tuple[str, int]]:
    """Runs of sentences of at most `limit` words, of even length, with their offsets; a giant sentence is cut at words."""
    spans = [piece for span in _sentence_spans(text) for piece in _word_spans(text, *span, limit)]
    yield from _gathered(text, spans, limit)


def _lines(text: str, limit: int) -> Iterator[tuple[str, int]]:
    spans, start = [], 0
    for line in text.splitlines(keepends=True):
        spans += list(_word_spans(text, start, start + len(line), limit))
        start += len(line)
    yield from _gathered(text, spans, limit)


def _word_spans(text: str, start: int, end: int, limit: int) -> Iterator[tuple[int, int]]:
    width = limit * 6
    while size(text[start:end]) > limit:
        stop = text.rfind(" ", start + 1, min(start + width, end))
        stop = stop + 1 if stop > start else min(start + width, end)
        if stop >= end:
            break
        yield start, stop
        start = stop
    yield start, end


def _gathered(text: str, spans: Sequence[tuple[int, int]], limit: int) -> Iterator[tuple[str, int]]:
    sizes = [size(text[start:end]) for start, end in spans]
    for first, last in _even(sizes, limit):
        start, end = spans[first][0], spans[last - 1][1]
        lead = len(text[start:end]) - len(text[start:end].lstrip("\n "))
        if text[start:end].strip():
            yield text[start:end].strip("\n ") if lead else text[start:end].rstrip("\n "), start + lead


def _even(sizes: Sequence[int], limit: int) -> Iterator[tuple[int, int]]:
    """Cut a row of sizes into runs [first, last) of at most `limit` and of about equal sum."""
    aim = sum(sizes) / max(1, math.ceil(sum(sizes) / limit))
    first, held = 0, 0
    for number, amount in enumerate(sizes):
        if number > first and (held + amount > limit or held + amount / 2 >= aim):
            yield first, number
            first, held = number, 0
        held += amount
    if first < len(sizes):
        yield first, len(sizes)


def _runs(units: Sequence[_Unit]) -> Iterator[list[_Unit]]:
    """Tables apart from prose, one run a table; everything else together."""
    run: list[_Unit] = []
    for unit in units:
        if run and (unit.kind == "table" or run[-1].kind == "table") and (unit.kind, unit.group) != (run[-1].kind, run[-1].group):
            yield run
            run = []
        run.append(unit)
    if run:
        yield run


def _pieces(run: Sequence[_Unit], target: int) -> Iterator[list[_Unit]]:
    for first, last in _even([unit.size for unit in run], target):
        yield list(run[first:last])


def _draft(ordinal: int, heading: tuple[str, ...], units: Sequence[_Unit]) -> Draft:
    first = units[0]
    text = "\n".join(unit.text for unit in units)
    if first.lead_in and first.lead_in not in text:
        text = f"{first.lead_in}\n{text}"
    sizes: dict[str, int] = {}
    for unit in units:
        sizes[unit.kind] = sizes.get(unit.kind, 0) + unit.size
    boxes = tuple(dict.fromkeys(box for unit in units for box in unit.boxes))
    end = units[-1].start + len(units[-1].text)
    return Draft(ordinal, max(sizes, key=lambda kind: sizes[kind]), heading, text, boxes, first.start, end)
