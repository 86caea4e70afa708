"""What a question finds in a unit of a passage: the features that the reader ranks by, and the matches that the verifier reads.

Late interaction (arXiv:2004.12832): each token of the question looks for its best match among the tokens of the unit, of what stands beside
it and of the headings. Words and numbers in common, the live search's scores and how near the bank's questions about that very place are
go with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from surrogates.gates import denies
from surrogates.opposites import sides
from surrogates.quantities import Signature, signature
from surrogates.quotes import asks_for_a_way, expected_kind
from surrogates.units import Span, is_row, spans
from surrogates.verifier import WEIGHT_SCALE, TokenMatches
from surrogates.wording import FUNCTION_WORDS, WORD, Rarity, content, fold, stem

if TYPE_CHECKING:
    from kb.records import Hit, Passage
    from surrogates.interaction import PassageTokens, QuestionTokens

FUNCTION_WEIGHT = 0.3
"""What a word counts that carries grammar, where others count by rarity."""
Table = NDArray[np.float64]
BESIDE = 2
"""Units before and behind one that count as near it."""
NAMES = (
    *("dense", "fused", "rank", "bm25", "headed", "titled", "title_asked", "covered"),
    *("passage_match", "passage_weighed", "passage_least", "title_match", "bank_passage"),
    *("match", "weighed", "with_title", "least", "meaning", "said", "said_headed", "bank"),
    *("kind", "exact", "inexact", "keyed", "row", "step", "row_for_way", "length", "first"),
)
"""Features of a unit: the first two lines are its passage's, about 0..1. `match` is the mean, `least` the least best match of a word."""
CONTRAST = (
    *("has_other_side", "other_side_lead", "side_said", "sides_silent", "only_other_shown", "unsaid_bound", "unsaid_undoing"),
    *("has_denial", "denial_lead", "denial_said"),
)
"""Whether a unit answers the question rather than its contrary: by how much it fits better, in the ranker's score, and what words say."""
LEADS = (-2.0, 3.0)
"""What a lead over the contrary is cut to."""


@dataclass(frozen=True)
class Known:
    """A bank question about a place of a passage: characters `start` to `end`, and its cosine with the user's question."""

    row: int
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class Question:
    """What is computed once for a question. `weights` [n] weigh its tokens and add up to 1."""

    text: str
    tokens: QuestionTokens
    weights: NDArray[np.float64]
    words: frozenset[str]
    named: Signature
    wants_way: bool
    wants_kind: str | None

    @classmethod
    def of(cls, text: str, tokens: QuestionTokens, rarity: Rarity) -> Question:
        """Read the question's words."""
        weights = _weights(text, tokens, rarity)
        return cls(text, tokens, weights, content(text), signature(text), asks_for_a_way(text), expected_kind(text))

    @cached_property
    def meaning(self) -> NDArray[np.float32]:
        """The mean of its tokens, of unit length, [w]."""
        mean = self.tokens.vectors.mean(axis=0)
        return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), np.float32)

    @cached_property
    def exact(self) -> frozenset[str]:
        """The codes and quantities that it names."""
        return self.named.codes | self.named.quantities


@dataclass(frozen=True)
class Found:
    """A hit as it is read: one over its rank in the search and in full text, its tokens, and the bank's questions about it."""

    hit: Hit
    rank: float
    bm25: float
    tokens: PassageTokens
    known: Sequence[Known]


@dataclass(frozen=True)
class Page:
    """A passage with what its units have in common: match of each question token with each of its tokens, [q, n]."""

    found: Found
    match: NDArray[np.float32]
    title_match: NDArray[np.float32]  # [q], best match in its own heading; -1 without one
    headed: frozenset[str]
    shared: tuple[float, ...]

    @property
    def passage(self) -> Passage:
        """The passage of the hit."""
        return self.found.hit.passage

    def within(self, start: int, end: int) -> NDArray[np.float32] | None:
        """The best match of each question token among the tokens of `text[start:end]`, [q]; None where there is none."""
        inside = self.found.tokens.within(start, end)
        return np.asarray(self.match[:, inside].max(axis=1)) if inside.any() else None


def _weights(question: str, tokens: QuestionTokens, rarity: Rarity) -> NDArray[np.float64]:
    weights = np.zeros(len(tokens.places))  # [n]
    for match in WORD.finditer(question):
        word = fold(match.group())
        weight = FUNCTION_WEIGHT if word in FUNCTION_WORDS else rarity.idf(stem(word))
        weights[(tokens.places[:, 0] >= match.start()) & (tokens.places[:, 1] <= match.end())] = weight
    weights[weights == 0] = FUNCTION_WEIGHT
    return np.asarray(weights / max(float(weights.sum()), 1e-9), np.float64)


def page_of(asked: Question, found: Found, rarity: Rarity) -> Page:
    """Match the question with a passage."""
    hit, tokens, passage = found.hit, found.tokens, found.hit.passage
    match = asked.tokens.vectors @ tokens.vectors.T  # [q, n]
    if match.shape[1] == 0:
        match = np.zeros((len(asked.weights), 1), np.float32)
    title = tokens.title if tokens.title.any() else None
    title_match = match[:, title].max(axis=1) if title is not None else np.full(len(match), -1.0, np.float32)
    best = match.max(axis=1)
    headed, own = content(" > ".join(passage.heading)), content("\n".join(passage.heading[-1:]))
    shared = (
        hit.dense or 0.0,
        hit.score,
        found.rank,
        found.bm25,
        rarity.share(asked.words, headed),
        rarity.share(asked.words, own),
        rarity.share(own, asked.words) if own else 0.0,
        rarity.share(asked.words, headed | content(passage.text)),
        float(best.mean()),
        float(best @ asked.weights),
        float(best.min()),
        float(title_match.mean()) if title is not None else 0.0,
        max((each.score for each in found.known), default=0.0),
    )
    return Page(found, match, title_match, headed, shared)


def features_of(asked: Question, page: Page, units: Sequence[Span], rarity: Rarity) -> Table:
    """What the ranker sees of units of one passage, [u, len(NAMES)]."""
    match, meaning = _best_matches(asked, page, units)
    with_title = np.maximum(match, page.title_match)
    matched = (match.mean(axis=1), match @ asked.weights, with_title @ asked.weights, with_title.min(axis=1), meaning)
    table = np.empty((len(units), len(NAMES)))
    table[:, : len(page.shared)] = page.shared
    table[:, len(page.shared) : len(page.shared) + len(matched)] = np.column_stack(matched)
    table[:, len(page.shared) + len(matched) :] = [_said(asked, page, span, rarity) for span in units]
    return table


def _best_matches(asked: Question, page: Page, units: Sequence[Span]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The best match of each question token in each unit, [u, q], and the cosine of the unit's meaning with the question's, [u].

    Both are 0 for a unit that has no token.
    """
    tokens = page.found.tokens
    unit, token = np.nonzero(np.stack([tokens.within(span.start, span.end) for span in units]))
    match, meaning = np.zeros((len(units), len(asked.weights)), np.float32), np.zeros(len(units), np.float32)
    if len(unit):
        there, starts = np.unique(unit, return_index=True)
        match[there] = np.maximum.reduceat(page.match[:, token], starts, axis=1).T
        total = np.add.reduceat(tokens.vectors[token], starts, axis=0)  # [units with tokens, w]
        meaning[there] = total @ asked.meaning / np.maximum(np.linalg.norm(total, axis=1), 1e-9)
    return match, meaning


def _said(asked: Question, page: Page, span: Span, rarity: Rarity) -> tuple[float, ...]:
    """The last features of a unit: what its words say."""
    unit = page.passage.text[span.start : span.end]
    words, is_table_row, known = content(unit), is_row(unit), nearest(page.found.known, span)
    kind, there, keyed = _held(asked, page.passage, unit)
    return (
        rarity.share(asked.words, words),
        rarity.share(asked.words, words | page.headed),
        known.score if known else 0.0,
        float(kind),
        there,
        float(bool(asked.exact) and there == 0),
        float(keyed),
        float(is_table_row),
        float(span.is_step),
        float(asked.wants_way and is_table_row),
        min(len(unit.split()), 40) / 40,
        float(span.start == 0),
    )


def _held(asked: Question, passage: Passage, unit: str) -> tuple[bool, float, bool]:
    """Of what the question wants exactly: a quantity of its kind, the share of its codes and quantities, one of them before the first ";".

    A unit's codes and quantities are not read for a question that wants none: a third of the time of a unit's features, profiled.
    """
    if asked.wants_kind is None and not asked.exact:
        return False, 0.0, False
    held = _signature(passage, unit)
    kind = asked.wants_kind is not None and any(value.startswith(asked.wants_kind) for value in held.quantities)
    if not asked.exact:
        return kind, 0.0, False
    key = signature(unit.partition(";")[0] if ";" in unit else "")
    there = len(asked.exact & (held.codes | held.quantities)) / len(asked.exact)
    return kind, there, bool(asked.exact & (key.codes | key.quantities))


def _signature(passage: Passage, unit: str) -> Signature:
    return signature("\n".join([*passage.heading[-1:], unit]))


def token_matches(asked: Question, page: Page, span: Span, rarity: Rarity) -> TokenMatches:
    """What the verifier sees of one unit."""
    text, units = page.passage.text, spans(page.passage.text)
    row = next(index for index, unit in enumerate(units) if unit.start == span.start)
    before, behind = units[max(0, row - BESIDE)], units[min(len(units) - 1, row + BESIDE)]
    nothing = np.full(len(asked.weights), -1.0, np.float32)
    places = ((span.start, span.end), (before.start, span.end), (span.start, behind.end))
    inside = [page.within(*place) for place in places]
    cosines = [nothing if best is None else best for best in inside]
    said_in = (
        content(text[span.start : span.end]),
        content(text[before.start : behind.end]),
        page.headed,
        page.headed | content(text),
    )
    stems = _stems(asked)
    said = [[bool(stem) and stem <= words for stem in stems] for words in said_in]
    marks = (
        [max(map(rarity.idf, stem), default=0.0) / rarity.idf("") for stem in stems],
        [bool(stem) and not any(map(rarity.knows, stem)) for stem in stems],
        [bool(stem) for stem in stems],
        asked.weights * WEIGHT_SCALE,
    )
    matches = np.stack([*cosines, page.title_match, page.match.max(axis=1), *np.asarray(said, np.float32)], axis=1)
    return TokenMatches(np.asarray(matches, np.float32), np.stack([np.asarray(mark, np.float32) for mark in marks], axis=1))


def contrast(
    asked: Question, others: tuple[Question | None, Question | None], page: Page, span: Span, shown: str, ranker: Table, rarity: Rarity
) -> Table:
    """`CONTRAST` of a unit, shown as `shown`; `others` are the question's contraries: of the other side, and affirmed."""

    def lead(other: Question | None) -> float:
        if other is None:
            return 0.0
        turned = page_of(other, page.found, rarity)
        both = features_of(asked, page, [span], rarity) - features_of(other, turned, [span], rarity)
        return float(np.clip(both[0] @ ranker, *LEADS))

    heading = " > ".join(page.passage.heading)
    unit = page.passage.text[span.start : span.end]
    sided = sides(asked.text, f"{heading}\n{unit}", f"{heading}\n{shown}")
    side, denial = others
    words = (sided.said, sided.silent, sided.only_other_shown, sided.unsaid_bound, sided.unsaid_undoing)
    return np.asarray(
        (
            *(float(side is not None), lead(side), *map(float, words)),
            *(float(denial is not None), lead(denial), float(denial is not None and denies(f"{heading}\n{unit}"))),
        ),
        np.float64,
    )


def _stems(asked: Question) -> list[frozenset[str]]:
    """What each token's word names, nothing for a word that carries grammar."""
    words = [(match.start(), match.end(), content(match.group())) for match in WORD.finditer(asked.text)]
    places = asked.tokens.places
    return [next((stems for first, last, stems in words if first <= start and end <= last), frozenset()) for start, end in places]


def twin(known: Sequence[Known]) -> Known | None:
    """The nearest bank question about the passage."""
    return max(known, key=lambda each: each.score, default=None)


def nearest(known: Sequence[Known], span: Span) -> Known | None:
    """The nearest bank question whose answer stands on this unit."""
    about = [each for each in known if each.start < span.end and each.end > span.start]
    return max(about, key=lambda each: each.score, default=None)


def missing_of(asked: Question, page: Page, shown: str, rarity: Rarity) -> tuple[float, float]:
    """The heaviest word that a place says in no way, weighed by rarity and by how far its nearest match is; 0..1, known and unknown."""
    there = content(shown) | page.headed
    heaviest = {True: 0.0, False: 0.0}
    for match in WORD.finditer(asked.text):
        stems = content(match.group())
        if not stems or stems <= there:
            continue
        tokens = (asked.tokens.places[:, 0] >= match.start()) & (asked.tokens.places[:, 1] <= match.end())
        alike = float(page.match[tokens].max(axis=1).mean()) if tokens.any() else 0.0
        known = any(rarity.knows(word) for word in stems)
        weight = max(rarity.idf(word) for word in stems) / rarity.idf("")
        heaviest[known] = max(heaviest[known], weight * (1.0 - max(alike, 0.0)))
    return heaviest[True], heaviest[False]
