"""Documents that say different things: both are shown, what came into the library last first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from surrogates.gates import negation_agrees
from surrogates.opposites import polarity_agrees
from surrogates.quantities import signature
from surrogates.wording import Rarity, content

if TYPE_CHECKING:
    from surrogates.answer import Answer
    from surrogates.quotes import Quote

REVISED = 0.6
"""Least share of the words of the shorter sentence, without what has digits, that the longer one has too: a new value keeps its words."""
TURNED = 0.75
"""The same of the longer sentence, where no value differs but one denies what the other says."""
LEAST_WORDS = 3
ABOUT = 0.5
"""Least share of the question, by rarity, that both say with their headings."""
AS_MUCH = 0.1
"""How much less of the question than the answer a rival may say."""
RANKED = 20
"""Sentences, the best for the question first, that are looked through for rivals."""
SHOWN = 2
DIFFER = "Documents differ here. What came into the library last stands first."


def rivals(question: str, quote: Quote, ranked: Sequence[Quote], rarity: Rarity) -> list[Quote]:
    """Sentences of other documents that say what `quote` says with another value or the other way round; the best of each document."""
    found: dict[int, Quote] = {}
    for other in ranked[:RANKED]:
        if other.passage.document_id != quote.passage.document_id and _contradicts(question, quote, other, rarity):
            found.setdefault(other.passage.document_id, other)
    return list(found.values())[:SHOWN]


def beside(answer: Answer, question: str, ranked: Sequence[Quote], rarity: Rarity) -> Answer:
    """A written answer with what other documents say against it; `ranked` are sentences for the question, the best first."""
    own = next((quote for quote in ranked if answer.citations and _is_cited(quote, answer)), None)
    against = [] if answer.route != "engine" or own is None else rivals(question, own, ranked, rarity)
    if own is None or not against:
        return answer
    said = [
        (own.passage.revision_id, answer.text, answer.citations),
        *((each.passage.revision_id, each.text, (each.citation(),)) for each in against),
    ]
    said.sort(key=lambda entry: -entry[0])
    return replace(
        answer,
        text="\n\n".join(text for _, text, _ in said),
        citations=tuple(citation for _, _, citations in said for citation in citations),
        notes=(DIFFER, *answer.notes),
    )


def _is_cited(quote: Quote, answer: Answer) -> bool:
    first = answer.citations[0]
    return quote.passage.id == first.passage_id and (quote.text in first.quote or first.quote in quote.text)


def _contradicts(question: str, quote: Quote, other: Quote, rarity: Rarity) -> bool:
    mine, theirs = _words(quote.text), _words(other.text)
    shared, (shorter, longer) = len(mine & theirs), sorted((len(mine), len(theirs)))
    if shared < LEAST_WORDS or not _are_of_the_same(question, quote, other, rarity):
        return False
    if _values_differ(quote.text, other.text):
        return shared >= REVISED * shorter
    is_turned = not negation_agrees(quote.text, other.text) or not polarity_agrees(quote.text, other.text, other.text)
    return is_turned and shared >= TURNED * longer


def _values_differ(one: str, other: str) -> bool:
    first, second = signature(one), signature(other)
    return (bool(first.quantities) and bool(second.quantities) and first.quantities != second.quantities) or (
        bool(first.codes) and bool(second.codes) and first.codes != second.codes
    )


def _are_of_the_same(question: str, quote: Quote, other: Quote, rarity: Rarity) -> bool:
    """Whether the other one says as much of what is asked, headings included, and names no other model."""
    asked = _words(question)
    codes, others = (signature(" ".join(each.passage.heading)).codes for each in (quote, other))
    said, shown = (f"{' '.join(each.passage.heading)} {each.text}" for each in (quote, other))
    here, there = rarity.share(asked, _words(said)), rarity.share(asked, _words(shown))
    return (
        (codes == others or not codes or not others)
        and signature(question).codes <= signature(shown).codes
        and there >= max(ABOUT, here - AS_MUCH)
    )


def _words(text: str) -> frozenset[str]:
    return frozenset(word for word in content(text) if not any(letter.isdigit() for letter in word))
