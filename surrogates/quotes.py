"""Quotes: the units of retrieved passages that answer a question best, word for word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from surrogates.answer import Citation
from surrogates.quantities import Signature, signature
from surrogates.units import Span, is_row, spans
from surrogates.wording import Rarity, content

if TYPE_CHECKING:
    from kb.encoder import Encoder
    from kb.records import Passage

LEXICAL_WEIGHT = 0.5  # against the sentence vectors' cosine; see docs/benchmarks/asking.md
HEADING_WEIGHT = 0.3  # what a content word of the question counts that only the heading has
RANK_PENALTY = 0.05  # for each rank of the passage in the search
NAMED_EXACTLY = 0.4  # for the share of the question's numbers and codes that the unit or its heading has
KEYED_BY_IT = 0.4  # when the first cell of a row is what the question names: the row is about it
TITLE_FOR_A_WAY = 0.1  # for the share of the words that the passage's own heading has, when the question asks how: headings name tasks
ROW_FOR_A_WAY = 0.15  # less, when the question asks how: a row names a task, the section tells it
EXPECTED_KIND = 0.1  # when the unit has a quantity of the kind asked for: how often, how many
FEWEST_OPTIONS = 2
SHORT_WORDS = 90  # a passage that is quoted whole
LEAD_WORDS = 40
CONTEXT_WORDS = 60  # of a quote with what stands around it; see docs/benchmarks/asking.md
ENTRY_SENTENCES = 3
STEP_SENTENCES = 3  # that may stand between one numbered step and the next
NAMED = re.compile(r"[^\W_][^.:;!?]{0,60}:\s+\S")
OPTION = re.compile(r"[^\W\d_a-z][^.:;!?\n]{0,50}:\s+[^\W_a-z]\S*(?:\s+\S+){2,}[.!]$")
"""One of several things that a sentence describes by name, as a manual does with the choices of a menu: "Trash: View deleted notes."."""
REFERS_BACK = re.compile(r"(?:it|this|these|those|they|he|she|its|their|such)\b", re.IGNORECASE)
WAY = re.compile(
    r"\b(?:how|can i|can you|could i|where (?:can|do|could|should) (?:i|you|we)|where i can|possible to|procedure|steps|instructions?"
    r"|what (?:should|must|do|can) (?:i|you|we) do)\b",
    re.IGNORECASE,
)
AMOUNT = re.compile(
    r"\bhow (?:many|much|often|long|far|high|big|large|old|hot|cold|fast|deep|wide|thick|heavy|tight|strong|few)\b", re.IGNORECASE
)

DURATION = re.compile(r"\b(?:how (?:often|long|old)|which interval|what interval)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Quote:
    """`passage.text[start:end]`, and how well it answers (only comparable within one question)."""

    passage: Passage
    start: int
    end: int
    score: float = 0.0

    @property
    def text(self) -> str:
        """The quoted words."""
        return self.passage.text[self.start : self.end]

    def citation(self) -> Citation:
        """The place as an answer carries it."""
        passage = self.passage
        return Citation(
            document=passage.document,
            document_id=passage.document_id,
            revision_id=passage.revision_id,
            revision=passage.revision,
            passage_id=passage.id,
            page=passage.page_first,
            heading=tuple(passage.heading),
            quote=self.text,
            boxes=tuple(tuple(box) for box in passage.boxes),
        )


@dataclass(frozen=True)
class _Asked:
    words: frozenset[str]
    named: Signature
    wants_way: bool
    wants_kind: str | None  # the dimension of the quantity asked for, "" for any

    @property
    def exact(self) -> frozenset[str]:
        return self.named.codes | self.named.quantities


def rank_units(question: str, passages: Sequence[Passage], rarity: Rarity, encoder: Encoder) -> list[Quote]:
    """Every unit of the passages (best passage first), the one that answers best in front."""
    found = [(rank, passage, span) for rank, passage in enumerate(passages) for span in spans(passage.text)]
    if not found:
        return []
    texts = [passage.text[span.start : span.end] for _, passage, span in found]
    vectors = encoder.encode([question, *texts])  # [1 + units, dimension]
    cosines = vectors[1:] @ vectors[0]  # [units]
    asked = _Asked(content(question), signature(question), asks_for_a_way(question), expected_kind(question))
    quotes = [
        Quote(passage, span.start, span.end, _score(asked, passage, span, float(cosine), rarity) - RANK_PENALTY * rank)
        for (rank, passage, span), cosine in zip(found, cosines, strict=True)
    ]
    return sorted(quotes, key=lambda quote: -quote.score)


def _score(asked: _Asked, passage: Passage, span: Span, cosine: float, rarity: Rarity) -> float:
    text = passage.text[span.start : span.end]
    words = content(text)
    headed = words.union(*(content(title) for title in passage.heading))
    lexical = (1 - HEADING_WEIGHT) * rarity.share(asked.words, words) + HEADING_WEIGHT * rarity.share(asked.words, headed)
    score = LEXICAL_WEIGHT * lexical + (1 - LEXICAL_WEIGHT) * cosine
    held = signature("\n".join([*passage.heading[-1:], text]))
    if asked.wants_kind is not None and any(value.startswith(asked.wants_kind) for value in held.quantities):
        score += EXPECTED_KIND
    if asked.exact:
        score += NAMED_EXACTLY * len(asked.exact & (held.codes | held.quantities)) / len(asked.exact)
        key = signature(text.partition(";")[0]) if ";" in text else Signature(frozenset(), frozenset())
        score += KEYED_BY_IT * bool(asked.exact & (key.codes | key.quantities))
    if asked.wants_way:
        title = content("\n".join(passage.heading[-1:]))
        score += TITLE_FOR_A_WAY * rarity.share(asked.words, title) - ROW_FOR_A_WAY * is_row(text)
    return score


def compose(question: str, quote: Quote) -> list[Quote]:
    """The quote with what it needs to be an answer, in the passage's order; each piece stands word for word in the passage.

    An entry of a list or of "name: text" lines brings the lines that lead to the list; a step brings all steps of its run; the answer to
    a question for a way of doing brings the whole of a short passage; a sentence that refers back brings the one before it.
    """
    text, pieces = quote.passage.text, spans(quote.passage.text)
    at = next(index for index, span in enumerate(pieces) if span.start == quote.start)
    entries = [_is_entry(text, span) for span in pieces]
    first_entry = entries.index(True) if True in entries else len(pieces)
    if pieces[at].is_step:
        chosen = _run(pieces, at, text)
    elif entries[at]:
        chosen = [*_lead(pieces, first_entry, text), *_entry(entries, at)]
    elif asks_for_a_way(question):
        chosen = list(range(first_entry)) if at < first_entry else [*_around(pieces, at)]
        if len(text.split()) <= SHORT_WORDS:
            chosen = list(range(len(pieces)))
    else:
        chosen = [at - 1, at] if at > 0 and REFERS_BACK.match(quote.text) else [at]
    return [Quote(quote.passage, pieces[run[0]].start, pieces[run[-1]].end, quote.score) for run in _runs(chosen)]


def with_context(best: Quote, composed: Sequence[Quote], limit: int = CONTEXT_WORDS) -> list[Quote]:
    """What `compose` made of a sentence with those around it, as many as `limit` words hold: what is asked for often stands beside it.

    Steps, rows and options that a line names stay as they are; steps beside a sentence are left out, since some of them mislead.
    """
    text, units = best.passage.text, spans(best.passage.text)
    at = next(index for index, span in enumerate(units) if span.start == best.start)
    stands_alone = units[at].is_step or is_row(best.text) or (bool(NAMED.match(best.text)) and not units[at].is_item)
    if len(composed) != 1 or stands_alone:
        return list(composed)
    steps = [index for index, span in enumerate(units) if span.is_step]
    after, before = [index for index in steps if index > at], [index for index in steps if index < at]
    start, end = widened(
        text, composed[0].start, composed[0].end, limit, (before[-1] + 1 if before else 0, after[0] if after else len(units))
    )
    return [replace(composed[0], start=start, end=end)]


def widened(text: str, start: int, end: int, limit: int, within: tuple[int, int] | None = None) -> tuple[int, int]:
    """The units `text[start:end]` of a passage with whole ones around them, behind and before in turn, as many as `limit` words hold.

    `within` is the first unit that may come in, and the first behind that may not.
    """
    units = spans(text)
    lowest, behind = within or (0, len(units))
    first = next(index for index, span in enumerate(units) if span.start == start)
    last = next(index for index, span in enumerate(units) if span.end == end)

    def fits(one: int, other: int) -> bool:
        return one >= lowest and other < behind and len(text[units[one].start : units[other].end].split()) <= limit

    while fits(first, last + 1) or fits(first - 1, last):
        last += fits(first, last + 1)
        first -= fits(first - 1, last)
    return units[first].start, units[last].end


def option(quote: Quote) -> list[Quote]:
    """One of several options that a passage describes by name, with what leads to them, without its neighbours; nothing for other quotes.

    All sentences up to the next line that begins with a name are the option's own.
    """
    text, pieces = quote.passage.text, spans(quote.passage.text)
    named = [not span.is_item and bool(NAMED.match(text[span.start : span.end])) for span in pieces]
    options = [found and bool(OPTION.match(text[span.start : span.end])) for found, span in zip(named, pieces, strict=True)]
    at = next(index for index, span in enumerate(pieces) if span.start == quote.start)
    if not options[at] or is_row(quote.text) or sum(options) < FEWEST_OPTIONS:
        return []
    behind = next((index for index in range(at + 1, len(pieces)) if named[index]), len(pieces))
    chosen = [*_lead(pieces, named.index(True), text), *range(at, behind)]
    return [Quote(quote.passage, pieces[run[0]].start, pieces[run[-1]].end, quote.score) for run in _runs(chosen)]


def asks_for_a_way(question: str) -> bool:
    """Whether the question wants to know how something is done, rather than a fact."""
    return bool(WAY.search(question)) and not AMOUNT.search(question)


def expected_kind(question: str) -> str | None:
    """The dimension that the answer's quantity should have, as `signature` names it; "" for any quantity, None when none is asked for.

    >>> expected_kind("How often is the oil changed?"), expected_kind("How many bolts are there?"), expected_kind("What is a bolt?")
    ('time', '', None)
    """
    if DURATION.search(question):
        return "time"
    return "" if AMOUNT.search(question) else None


def _is_entry(text: str, span: Span) -> bool:
    return span.is_item or bool(NAMED.match(text[span.start : span.end]))


def _run(pieces: Sequence[Span], at: int, text: str) -> list[int]:
    """The steps around `at` with what stands between and behind them, and the line before when it leads to them."""
    first = last = at
    for index in range(at - 1, -1, -1):
        if first - index > STEP_SENTENCES:
            break
        first = index if pieces[index].is_step else first
    for index in range(at + 1, len(pieces)):
        if index - last > STEP_SENTENCES:
            break
        last = index if pieces[index].is_step or _goes_on(pieces[index - 1], text) else last
    leads = first > 0 and text[: pieces[first - 1].end].endswith(":")
    return list(range(first - leads, last + 1))


def _goes_on(span: Span, text: str) -> bool:
    """Whether a line break cut the sentence."""
    return not text[: span.end].endswith((".", "!", "?", ":", ";"))


def _lead(pieces: Sequence[Span], first_entry: int, text: str) -> list[int]:
    """What stands before the list, from its end backwards as far as it is short."""
    lead: list[int] = []
    size = 0
    for index in range(first_entry - 1, -1, -1):
        size += len(text[pieces[index].start : pieces[index].end].split())
        if size > LEAD_WORDS:
            break
        lead.insert(0, index)
    return lead


def _entry(entries: Sequence[bool], at: int) -> list[int]:
    """The entry's own sentences: up to the next entry, at most `ENTRY_SENTENCES` more."""
    last = at
    while last + 1 < len(entries) and not entries[last + 1] and last - at < ENTRY_SENTENCES:
        last += 1
    return list(range(at, last + 1))


def _around(pieces: Sequence[Span], at: int) -> range:
    return range(max(at - 1, 0), min(at + 3, len(pieces)))


def _runs(chosen: Sequence[int]) -> list[list[int]]:
    """Neighbours together: [0, 1, 4] -> [[0, 1], [4]]."""
    runs: list[list[int]] = []
    for index in chosen:
        if runs and runs[-1][-1] == index - 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs
