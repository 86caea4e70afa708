"""Quotes: the units of retrieved passages that answer a question best, word for word."""

from __future__ import annotations

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


def with_context(quote: Quote) -> list[Quote]:
    """The quote with what it cannot be understood without: a step with all steps of its run, an item with the line that leads to it."""
    all_spans = spans(quote.passage.text)
    at = next(index for index, span in enumerate(all_spans) if span.start == quote.start)
    if all_spans[at].is_step:
        return [_join(quote, all_spans, *_run(all_spans, at))]
    if all_spans[at].is_item and (lead := _lead_in(all_spans, at, quote.passage.text)) is not None:
        return [Quote(quote.passage, all_spans[lead].start, all_spans[lead].end, quote.score), quote]
    return [quote]


def _run(all_spans: list[Span], at: int) -> tuple[int, int]:
    """First and last span of the steps around `at`, the line that leads to them included."""
    first = last = at
    while first > 0 and all_spans[first - 1].is_step:
        first -= 1
    while last + 1 < len(all_spans) and all_spans[last + 1].is_step:
        last += 1
    return max(first - 1, 0), last


def _lead_in(all_spans: list[Span], at: int, text: str) -> int | None:
    """The span before the list that `at` belongs to, when it announces the list."""
    for index in range(at - 1, -1, -1):
        if not all_spans[index].is_item:
            return index if text[: all_spans[index].end].endswith(":") else None
    return None


def _join(quote: Quote, all_spans: list[Span], first: int, last: int) -> Quote:
    return Quote(quote.passage, all_spans[first].start, all_spans[last].end, quote.score)
