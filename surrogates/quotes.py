"""Quotes: the units of retrieved passages that answer a question best, word for word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from surrogates.answer import Citation
from surrogates.units import Span, spans
from surrogates.wording import Rarity, content

if TYPE_CHECKING:
    from kb.encoder import Encoder
    from kb.records import Passage

LEXICAL_WEIGHT = 0.6  # against the sentence vectors' cosine; flat between .4 and .8 on xquad, see docs/benchmarks/asking.md
HEADING_WEIGHT = 0.3  # what a content word of the question counts that only the heading has
RANK_PENALTY = 0.05  # for each rank of the passage in the search
SHORT_WORDS = 90  # a passage that is quoted whole
LEAD_WORDS = 40
ENTRY_SENTENCES = 3
NAMED = re.compile(r"[^\W_][^.:;!?]{0,60}:\s+\S")
REFERS_BACK = re.compile(r"(?:it|this|these|those|they|he|she|its|their|such)\b", re.IGNORECASE)
WAY = re.compile(
    r"\b(?:how|can i|can you|could i|where (?:can|do|could|should) (?:i|you|we)|where i can|possible to|procedure|steps|instructions?"
    r"|what (?:should|must|do|can) (?:i|you|we) do)\b",
    re.IGNORECASE,
)
AMOUNT = re.compile(
    r"\bhow (?:many|much|often|long|far|high|big|large|old|hot|cold|fast|deep|wide|thick|heavy|tight|strong|few)\b", re.IGNORECASE
)


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


def rank_units(question: str, passages: Sequence[Passage], rarity: Rarity, encoder: Encoder, *, favour: str = "") -> list[Quote]:
    """Every unit of the passages (best passage first), the one that answers best in front.

    `favour` is text that speaks for what it shares words with: the engine's own answer, as far as it is one.
    """
    found = [(rank, passage, span) for rank, passage in enumerate(passages) for span in spans(passage.text)]
    if not found:
        return []
    texts = [passage.text[span.start : span.end] for _, passage, span in found]
    vectors = encoder.encode([question, *texts])  # [1 + units, dimension]
    cosines = vectors[1:] @ vectors[0]  # [units]
    wanted, favoured = content(question), content(favour)
    quotes = []
    for (rank, passage, span), text, cosine in zip(found, texts, cosines, strict=True):
        words = content(text)
        headed = words.union(*(content(title) for title in passage.heading))
        lexical = (1 - HEADING_WEIGHT) * rarity.share(wanted, words) + HEADING_WEIGHT * rarity.share(wanted, headed)
        score = LEXICAL_WEIGHT * lexical + (1 - LEXICAL_WEIGHT) * float(cosine) - RANK_PENALTY * rank
        if favoured:
            score += rarity.share(words, favoured)
        quotes.append(Quote(passage, span.start, span.end, score))
    return sorted(quotes, key=lambda quote: -quote.score)


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
        chosen = _run(pieces, at)
    elif entries[at]:
        chosen = [*_lead(pieces, first_entry, text), *_entry(entries, at)]
    elif asks_for_a_way(question):
        chosen = list(range(first_entry)) if at < first_entry else [*_around(pieces, at)]
        if len(text.split()) <= SHORT_WORDS:
            chosen = list(range(len(pieces)))
    else:
        chosen = [at - 1, at] if at > 0 and REFERS_BACK.match(quote.text) else [at]
    return [Quote(quote.passage, pieces[run[0]].start, pieces[run[-1]].end, quote.score) for run in _runs(chosen)]


def asks_for_a_way(question: str) -> bool:
    """Whether the question wants to know how something is done, rather than a fact."""
    return bool(WAY.search(question)) and not AMOUNT.search(question)


def _is_entry(text: str, span: Span) -> bool:
    return span.is_item or bool(NAMED.match(text[span.start : span.end]))


def _run(pieces: Sequence[Span], at: int) -> list[int]:
    """The steps around `at` and the line that leads to them."""
    first = last = at
    while first > 0 and pieces[first - 1].is_step:
        first -= 1
    while last + 1 < len(pieces) and pieces[last + 1].is_step:
        last += 1
    return list(range(max(first - 1, 0), last + 1))


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
