"""Which pairs may enter the bank: each check is small and names the reason for a drop."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from surrogates.gates import has_referents, is_one_question
from surrogates.opposites import sides_are_shown
from surrogates.pairs import Pair
from surrogates.quantities import signature, unsupported
from surrogates.wording import Rarity, content, language, words

if TYPE_CHECKING:
    from kb.library import Library
    from kb.records import Passage

ROUND_TRIP_WITHIN = 3
ABOUT_SHARE = 0.6
LONGEST_QUESTION = 200
_SPEAKS_OF_THE_TEXT = re.compile(
    r"\b(?:passage|paragraph|excerpt|author|the (?:text|document|article|section|sentence|following|above|given)"
    r"|according to|mentioned|described|difference between|best way|main (?:purpose|idea|topic|point))\b",
    re.IGNORECASE,
)
_OPENS = re.compile(
    r"^(?:how|what|where|when|why|which|who|whose|can|could|does|do|did|is|are|was|should|must|may|will)\b"
    r"|^(?:at|in|on|for|to|by|from|with|after|before|under|until|since|of) (?:what|which|how|whom?|when|where)\b"
    r"|^what's\b|^where's\b|^who's\b|^how's\b",
    re.IGNORECASE,
)
_INSTRUCTS_THE_MODEL = re.compile(
    r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:previous|above|prior|earlier|all|any|your)\b.{0,20}"
    r"\b(?:instruction|prompt|rule|context|question|guideline)"
    r"|\byou are (?:now )?(?:a|an|the) (?:ai|assistant|chatbot|language model|helpful)\b|\b(?:system|hidden) prompt\b"
    r"|\bas an ai\b|\bregardless of the question\b|\b(?:always|only) (?:answer|reply|respond) (?:with|that)\b|<\|[\w ]+\|>",
    re.IGNORECASE,
)


@dataclass
class Tally:
    """How many pairs were made and kept, and why the others were dropped."""

    made: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def drop(self, reason: str) -> None:
        """Count one pair that was dropped."""
        self.made += 1
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def keep(self, count: int = 1) -> None:
        """Count pairs that were kept."""
        self.made += count
        self.kept += count

    def add(self, other: Tally) -> None:
        """Add another tally to this one."""
        self.made += other.made
        self.kept += other.kept
        for reason, count in other.dropped.items():
            self.dropped[reason] = self.dropped.get(reason, 0) + count


def instructs_the_model(text: str) -> bool:
    """Whether a text tries to tell a language model what to do; it is never teaching data."""
    return _INSTRUCTS_THE_MODEL.search(text) is not None


def is_malformed(question: str) -> bool:
    """No question that a person would ask: no question word, nothing named, several at once, or about "the passage"."""
    said = words(question)
    return (
        not 3 <= len(said) <= 40
        or len(question) > LONGEST_QUESTION
        or "\n" in question
        or not question.endswith("?")
        or not _OPENS.match(question)
        or _SPEAKS_OF_THE_TEXT.search(question) is not None
        or not (content(question) or signature(question).codes)
        or not is_one_question(question)
        or not has_referents(question)
        or len(set(said)) * 2 < len(said)
    )


def reason_to_drop(pair: Pair, passages: Sequence[Passage], rarity: Rarity, about_share: float = ABOUT_SHARE) -> str | None:
    """The first check, of those that need no search, that the pair fails; `passages` are those that it rests on.

    `about_share` is how much of what the question names they must say; people name things in words of their own.
    """
    shown = "\n".join(f"{' '.join(passage.heading)}\n{passage.text}" for passage in passages)
    by_id = {passage.id: passage for passage in passages}
    quoted = "\n".join(by_id[quote.passage_id].text[quote.start : quote.end] for quote in pair.quotes)
    if is_malformed(pair.question):
        return "malformed"
    if instructs_the_model(pair.answer) or instructs_the_model(pair.question):
        return "instruction"
    if not quoted.strip() or not _is_grounded(pair, shown) or len(words(pair.answer)) < 2:
        return "not grounded"
    if pair.source != "structure" and (
        unsupported(pair.question, shown)
        or not sides_are_shown(pair.question, shown)
        or not is_about(pair.question, shown, rarity, about_share)
    ):
        return "not about the passage"
    if language(pair.question) not in (None, language(quoted)) and language(quoted) is not None:
        return "another language"
    if set(words(pair.answer)) <= set(words(pair.question)):
        return "says nothing new"
    return None


def _is_grounded(pair: Pair, shown: str) -> bool:
    """Whether numbers, units and codes of the answer stand in the passage; a row in words takes a number and its unit from two cells."""
    if pair.source == "structure":
        return set(words(pair.answer)) <= set(words(shown))
    return not unsupported(pair.answer, shown)


def is_about(question: str, shown: str, rarity: Rarity, least: float = ABOUT_SHARE) -> bool:
    """Whether the passage says most of what the question names."""
    return rarity.share(content(question), content(shown)) >= least


def finds_its_passage(library: Library, pair: Pair, collection: str | None) -> bool:
    """Whether live search puts a passage of the pair among the first three for its question."""
    wanted = {quote.passage_id for quote in pair.quotes}
    return any(hit.passage.id in wanted for hit in library.search(pair.question, collection, limit=ROUND_TRIP_WITHIN))


def without_repeats(pairs: Sequence[Pair], tally: Tally) -> list[Pair]:
    """One pair a question; questions that got different answers from one section are dropped altogether."""
    by_question: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_question.setdefault(" ".join(words(pair.question)), []).append(pair)
    kept = []
    for same in by_question.values():
        answers = {" ".join(words(pair.answer)) for pair in same}
        if len(answers) > 1 and not any(all(other in answer for other in answers) for answer in answers):
            for _ in same:
                tally.drop("ambiguous")
            continue
        kept.append(max(same, key=lambda pair: len(pair.answer)))
        for _ in same[1:]:
            tally.drop("duplicate")
    return kept
