"""Procedures complete: the steps before and after a quoted one, where the section goes on in the next passage too.

Steps belong together when their numbers count on (3, 4, 5); a list of its own inside a step may stand between them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from surrogates.quotes import Quote, asks_for_a_way
from surrogates.units import Span, spans

if TYPE_CHECKING:
    from kb.library import Library
    from kb.records import Passage

PASSAGES_AROUND = 4
INNER_LISTS = 2  # one in the other that may stand inside a step
BETWEEN_WORDS = 150  # that may stand from the beginning of one step to that of the next
LONGEST_WORDS = 600  # what is longer is a chapter with numbered sections; its quote stays as it is
REPEATED_UNITS = 3  # at a passage's beginning that may repeat the caption or lead-in of the passage before
NUMBER = re.compile(r"^\s*(?:\(?(\d{1,2})[.)]\s|step\s+(\d{1,2})\b)", re.IGNORECASE)


@dataclass(frozen=True)
class _Unit:
    """A sentence, item or row of the section; `number` is that of the step that begins here, None elsewhere."""

    passage: Passage
    span: Span
    number: int | None

    @property
    def text(self) -> str:
        return self.passage.text[self.span.start : self.span.end]


def complete(question: str, best: Quote, composed: Sequence[Quote], library: Library) -> list[Quote]:
    """What `compose` made of the `best` unit, with all steps of its procedure in the passages of the section, in order.

    Only for questions that want to know how something is done; what has no steps, or whose passage is gone, stays as it is.
    """
    if not asks_for_a_way(question) or not composed:
        return list(composed)
    try:
        units = _section(best.passage, library.context(best.passage.id, PASSAGES_AROUND))
    except KeyError:
        return list(composed)
    held = [index for index, unit in enumerate(units) if any(_holds(quote, unit) for quote in composed)]
    start = _entry(units, held, best)
    chosen = sorted({*held, *_steps(units, start)}) if start is not None else held
    if len(chosen) == len(held) or sum(len(units[index].text.split()) for index in chosen) > LONGEST_WORDS:
        return list(composed)
    return _quotes(units, chosen, best.score)


def has_steps(quotes: Sequence[Quote]) -> bool:
    """Whether more than one step is quoted."""
    return sum(NUMBER.match(line) is not None for quote in quotes for line in quote.text.splitlines()) > 1


def _section(passage: Passage, neighbours: Sequence[Passage]) -> list[_Unit]:
    """The units of the passages around that have the same heading, without what a passage repeats of the one before."""
    at = next(index for index, neighbour in enumerate(neighbours) if neighbour.id == passage.id)
    first = last = at
    while first > 0 and neighbours[first - 1].heading == passage.heading:
        first -= 1
    while last + 1 < len(neighbours) and neighbours[last + 1].heading == passage.heading:
        last += 1
    units: list[_Unit] = []
    before: frozenset[str] = frozenset()
    for each in neighbours[first : last + 1]:
        own = _units(each)
        repeated = 0
        while repeated < min(REPEATED_UNITS, len(own)) and own[repeated].text in before:
            repeated += 1
        units += own[repeated:]
        before = before | {unit.text for unit in own}
    return units


def _units(passage: Passage) -> list[_Unit]:
    found: list[_Unit] = []
    line = -1
    for span in spans(passage.text):
        match = NUMBER.match(passage.text[span.start : span.end]) if span.is_step and span.line != line else None
        found.append(_Unit(passage, span, int(match.group(1) or match.group(2)) if match else None))
        line = span.line
    return found


def _holds(quote: Quote, unit: _Unit) -> bool:
    return quote.passage.id == unit.passage.id and quote.start <= unit.span.start < quote.end


def _entry(units: Sequence[_Unit], held: Sequence[int], best: Quote) -> int | None:
    """The step that the best unit belongs to or that what is quoted leads to; None without one."""
    at = next((index for index in held if units[index].passage.id == best.passage.id and units[index].span.start == best.start), None)
    if at is None:
        return None
    if units[at].span.is_step:
        return next(index for index in range(at, -1, -1) if units[index].number is not None or index == 0)
    if held[-1] + 1 < len(units) and units[held[-1]].text.endswith(":"):
        return held[-1] + 1
    return next((index for index in held if units[index].number is not None), None)


def _steps(units: Sequence[_Unit], entry: int) -> range:
    """From the first to the last step of the list that `entry` belongs to, with the line that leads to it and what the last step holds."""
    starts = [index for index, unit in enumerate(units) if unit.number is not None]
    if entry not in starts:
        return range(entry, _items_end(units, entry))
    first = last = starts.index(entry)
    while (before := _before(units, starts, first)) is not None:
        first = before
    while (after := _after(units, starts, last)) is not None:
        last = after
    begin, end = starts[first], _step_end(units, starts[last])
    return range(begin - (begin > 0 and units[begin - 1].text.endswith(":")), end)


def _after(units: Sequence[_Unit], starts: Sequence[int], at: int, inside: int = 0) -> int | None:
    """Where in `starts` the next step is, past a list inside this one; None after the last. `inside` counts the lists around."""
    wanted = (units[starts[at]].number or 0) + 1
    following = at + 1
    if following < len(starts) and units[starts[following]].number == 1 != wanted and inside < INNER_LISTS:
        while (inner := _after(units, starts, following, inside + 1)) is not None:
            following = inner
        following += 1
    if following >= len(starts) or units[starts[following]].number != wanted:
        return None
    words = sum(len(unit.text.split()) for unit in units[starts[following - 1] : starts[following]])
    return following if words <= BETWEEN_WORDS else None


def _before(units: Sequence[_Unit], starts: Sequence[int], at: int) -> int | None:
    number = units[starts[at]].number or 0
    candidates = (index for index in range(at - 1, -1, -1) if units[starts[index]].number == number - 1)
    return next((index for index in candidates if _after(units, starts, index) == at), None)


def _step_end(units: Sequence[_Unit], start: int) -> int:
    """Behind the step's own line, a sentence that a line break cut, and the items that it announces."""
    end = start + 1
    while end < len(units) and units[end].number is None and (_same_line(units[end - 1], units[end]) or _is_cut(units[end - 1])):
        end += 1
    return _items_end(units, end) if units[end - 1].text.endswith(":") else end


def _items_end(units: Sequence[_Unit], start: int) -> int:
    end = start
    while end < len(units) and units[end].span.is_item:
        end += 1
    return end


def _same_line(one: _Unit, other: _Unit) -> bool:
    return one.passage.id == other.passage.id and one.span.line == other.span.line


def _is_cut(unit: _Unit) -> bool:
    return not unit.text.endswith((".", "!", "?", ":", ";", ")"))


def _quotes(units: Sequence[_Unit], chosen: Sequence[int], score: float) -> list[Quote]:
    """Neighbours in one passage are one quote."""
    quotes: list[Quote] = []
    for place, index in enumerate(chosen):
        unit = units[index]
        goes_on = place > 0 and chosen[place - 1] == index - 1 and units[index - 1].passage.id == unit.passage.id
        start = quotes.pop().start if goes_on else unit.span.start
        quotes.append(Quote(unit.passage, start, unit.span.end, score))
    return quotes
