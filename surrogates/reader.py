"""The extractive reader: which sentence, item or row of the live search's best passages answers a question, and how sure that is.

Every unit of the passages is scored by what the question's words find in it (late interaction), what headings and full text say, and how
near the bank's questions about that very place are. A linear ranker picks the unit, a logistic head over the winner's features and its
lead over other passages says how likely it is right. Both were fitted on people's questions over other manuals than those it is judged
on: `python -m benchmarks.reader`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from surrogates import reader_weights
from surrogates.procedures import complete
from surrogates.quantities import Signature, facts, signature
from surrogates.quotes import Quote, asks_for_a_way, expected_kind
from surrogates.units import Span, is_row, spans
from surrogates.wording import FUNCTION_WORDS, WORD, Rarity, content, fold, stem

if TYPE_CHECKING:
    from kb.library import Library
    from kb.records import Hit, Passage
    from surrogates.interaction import PassageTokens, QuestionTokens

PASSAGES = 5
"""Best hits that are read."""
SHOWN_WORDS = 120
"""An answer is quoted with what stands around it, up to so many words: one sentence alone often lacks what the question needs."""
FUNCTION_WEIGHT = 0.3
"""What a word counts that carries grammar, where others count by rarity."""
RANKER, HEAD, BIAS = np.asarray(reader_weights.RANKER), np.asarray(reader_weights.HEAD), reader_weights.BIAS
NO_RIVAL = -5.0
RIVALS, RIVAL_WITHIN, ALIKE = 12, 1.0, 0.6
"""Places that are compared with the best one, how far below it in score, and the share of words from which they speak of the same."""
NAMES = (
    *("dense", "fused", "rank", "bm25", "headed", "titled", "title_asked", "covered"),
    *("passage_match", "passage_weighed", "passage_least", "title_match", "bank_passage"),
    *("match", "weighed", "with_title", "least", "meaning", "said", "said_headed", "bank"),
    *("kind", "exact", "inexact", "keyed", "row", "step", "row_for_way", "length", "first"),
)
"""Features of a unit: the first two lines are its passage's, about 0..1. `match` is the mean, `least` the least best match of a word."""
HEAD_NAMES = ("score", "share", "passage_share", "lead", "missing_known", "missing_unknown", *NAMES)
"""What the head sees of the best unit: its score, its and its passage's share of all (softmax), its lead over the best of another passage,
and the weight of the question's heaviest word that its place does not say, among words that the library knows and that it does not."""


@dataclass(frozen=True)
class Known:
    """A bank question about a place of a passage: characters `start` to `end`, and its cosine with the user's question."""

    row: int
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class Place:
    """A unit of a passage with its features [len(NAMES)] and score.

    `known` is the nearest bank question about it, `twin` the nearest about its passage, if there are any.
    """

    passage: Passage
    span: Span
    features: NDArray[np.float64]
    score: float
    known: Known | None
    twin: Known | None

    @property
    def unit(self) -> str:
        """Its words."""
        return self.passage.text[self.span.start : self.span.end]


@dataclass(frozen=True)
class Reading:
    """All units of the passages that were read, best first."""

    places: tuple[Place, ...]
    missing_of: Callable[[Place], tuple[float, float]] = field(repr=False)
    """Weights of the heaviest word of the question that a place does not say: one that the library knows, one that it does not."""

    def confidence(self) -> float:
        """Probability that the best unit, shown with what stands around it, answers the question."""
        best = self.places[0]
        scores = np.asarray([place.score for place in self.places])
        passages = np.asarray([place.passage.id for place in self.places])
        logit = head_features(scores, passages, 0, self.missing_of(best), best.features) @ HEAD + BIAS
        return float(1.0 / (1.0 + np.exp(-logit)))


@dataclass(frozen=True)
class _Question:
    """What is computed once for a question. `weights` [n] weigh its tokens and add up to 1."""

    text: str
    tokens: QuestionTokens
    weights: NDArray[np.float64]
    words: frozenset[str]
    named: Signature
    wants_way: bool
    wants_kind: str | None

    @property
    def exact(self) -> frozenset[str]:
        return self.named.codes | self.named.quantities


@dataclass(frozen=True)
class _Page:
    """A passage with what its units have in common: match of each question token with each of its tokens, [q, n]."""

    passage: Passage
    tokens: PassageTokens
    match: NDArray[np.float32]
    title_match: NDArray[np.float32]  # [q], best match in its own heading; -1 without one
    headed: frozenset[str]
    shared: tuple[float, ...]
    known: Sequence[Known]


def read(
    question: str,
    tokens: QuestionTokens,
    hits: Sequence[Hit],
    held: Mapping[int, PassageTokens],
    known: Mapping[int, Sequence[Known]],
    rarity: Rarity,
) -> Reading | None:
    """Rank the units of the first distinct passages that `held` has tokens of; None when there is none.

    `known` are the bank's questions by passage.
    """
    asked = _Question(
        question,
        tokens,
        _weights(question, tokens, rarity),
        content(question),
        signature(question),
        asks_for_a_way(question),
        expected_kind(question),
    )
    chosen = distinct(hits)[:PASSAGES]
    by_words = sorted((hit for hit in hits if hit.bm25 is not None), key=lambda hit: -(hit.bm25 or 0.0))
    ranks = {hit.passage.id: 1.0 / place for place, hit in enumerate(by_words, start=1)}
    pages = [
        _page(asked, hit, 1.0 / place, ranks.get(hit.passage.id, 0.0), held[hit.passage.id], known.get(hit.passage.id, ()), rarity)
        for place, hit in enumerate(chosen, start=1)
        if hit.passage.id in held
    ]
    found = [(page, span) for page in pages for span in spans(page.passage.text)]
    if not found:
        return None
    table = np.stack([_features(asked, page, span, first=span.start == 0, rarity=rarity) for page, span in found])  # [u, k]
    scores = table @ RANKER
    places = [
        Place(page.passage, span, table[row], float(scores[row]), _nearest(page.known, span), _twin(page.known))
        for row, (page, span) in enumerate(found)
    ]
    best_first = sorted(places, key=lambda place: -place.score)
    by_id = {page.passage.id: page for page in pages}
    return Reading(tuple(best_first), lambda place: _missing(asked, place, by_id[place.passage.id], rarity))


def shown(place: Place, limit: int = SHOWN_WORDS) -> tuple[int, int]:
    """The characters to show for a place: a row alone, else as many whole units around it as `limit` words hold, forwards first."""
    text, units = place.passage.text, spans(place.passage.text)
    first = last = next(index for index, span in enumerate(units) if span.start == place.span.start)
    if is_row(place.unit):
        return place.span.start, place.span.end

    def fits(one: int, other: int) -> bool:
        return one >= 0 and other < len(units) and len(text[units[one].start : units[other].end].split()) <= limit

    while fits(first, last + 1) or fits(first - 1, last):
        last += fits(first, last + 1)
        first -= fits(first - 1, last)
    return units[first].start, units[last].end


def quotes(question: str, place: Place, library: Library) -> list[Quote]:
    """What to show for a place, with all steps of the procedure that it is part of."""
    composed = [Quote(place.passage, *shown(place), place.score)]
    return complete(question, Quote(place.passage, place.span.start, place.span.end, place.score), composed, library)


def is_contradicted(reading: Reading, rarity: Rarity) -> bool:
    """Whether a place of another passage that answers as well says nearly the same words with other numbers or codes."""
    best = reading.places[0]
    said, named = content(best.unit), frozenset(facts(best.unit))
    for other in reading.places[1:RIVALS]:
        if best.score - other.score > RIVAL_WITHIN:
            return False
        if other.passage.id == best.passage.id or other.passage.heading[-1:] != best.passage.heading[-1:]:
            continue
        words = content(other.unit)
        alike = min(rarity.share(said, words), rarity.share(words, said)) >= ALIKE
        if alike and frozenset(facts(other.unit)) != named:
            return True
    return False


def distinct(hits: Sequence[Hit]) -> list[Hit]:
    """The hits without those that say the same again, as two copies of a manual do."""
    seen: dict[str, Hit] = {}
    for hit in hits:
        seen.setdefault(hit.passage.text, hit)
    return list(seen.values())


def _weights(question: str, tokens: QuestionTokens, rarity: Rarity) -> NDArray[np.float64]:
    weights = np.zeros(len(tokens.places))  # [n]
    for match in WORD.finditer(question):
        word = fold(match.group())
        weight = FUNCTION_WEIGHT if word in FUNCTION_WORDS else rarity.idf(stem(word))
        weights[(tokens.places[:, 0] >= match.start()) & (tokens.places[:, 1] <= match.end())] = weight
    weights[weights == 0] = FUNCTION_WEIGHT
    return np.asarray(weights / max(float(weights.sum()), 1e-9), np.float64)


def _page(asked: _Question, hit: Hit, rank: float, bm25: float, tokens: PassageTokens, known: Sequence[Known], rarity: Rarity) -> _Page:
    passage = hit.passage
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
        rank,
        bm25,
        rarity.share(asked.words, headed),
        rarity.share(asked.words, own),
        rarity.share(own, asked.words) if own else 0.0,
        rarity.share(asked.words, headed | content(passage.text)),
        float(best.mean()),
        float(best @ asked.weights),
        float(best.min()),
        float(title_match.mean()) if title is not None else 0.0,
        max((each.score for each in known), default=0.0),
    )
    return _Page(passage, tokens, match, title_match, headed, shared, known)


def _features(asked: _Question, page: _Page, span: Span, *, first: bool, rarity: Rarity) -> NDArray[np.float64]:
    unit = page.passage.text[span.start : span.end]
    inside = page.tokens.within(span.start, span.end)
    if inside.any():
        match = page.match[:, inside].max(axis=1)  # [q]
        meaning = _cosine(page.tokens.vectors[inside].mean(axis=0), asked.tokens.vectors.mean(axis=0))
    else:
        match, meaning = np.zeros(len(asked.weights), np.float32), 0.0
    with_title = np.maximum(match, page.title_match)
    words, held = content(unit), _signature(page.passage, unit)
    kind = asked.wants_kind is not None and any(value.startswith(asked.wants_kind) for value in held.quantities)
    there, is_table_row = asked.exact & (held.codes | held.quantities), is_row(unit)
    key = signature(unit.partition(";")[0]) if ";" in unit else None
    known = _nearest(page.known, span)
    own = (
        float(match.mean()),
        float(match @ asked.weights),
        float(with_title @ asked.weights),
        float(with_title.min()),
        meaning,
        rarity.share(asked.words, words),
        rarity.share(asked.words, words | page.headed),
        known.score if known else 0.0,
        float(kind),
        len(there) / len(asked.exact) if asked.exact else 0.0,
        float(bool(asked.exact) and not there),
        float(key is not None and bool(asked.exact & (key.codes | key.quantities))),
        float(is_table_row),
        float(span.is_step),
        float(asked.wants_way and is_table_row),
        min(len(unit.split()), 40) / 40,
        float(first),
    )
    return np.asarray((*page.shared, *own), np.float64)


def _signature(passage: Passage, unit: str) -> Signature:
    return signature("\n".join([*passage.heading[-1:], unit]))


def _twin(known: Sequence[Known]) -> Known | None:
    return max(known, key=lambda each: each.score, default=None)


def _nearest(known: Sequence[Known], span: Span) -> Known | None:
    """The nearest bank question whose answer stands on this unit."""
    about = [each for each in known if each.start < span.end and each.end > span.start]
    return max(about, key=lambda each: each.score, default=None)


def head_features(
    scores: NDArray[np.float64],  # [u]
    passages: NDArray[np.int64],  # [u], the passage of each unit
    best: int,
    missing: tuple[float, float],
    features: NDArray[np.float64],  # [len(NAMES)], of the best unit
) -> NDArray[np.float64]:
    """What the head sees, [len(HEAD_NAMES)]."""
    share = np.exp(scores - scores[best])
    share /= share.sum()
    same = passages == passages[best]
    rival = float(scores[~same].max()) if not same.all() else float(scores[best]) + NO_RIVAL
    front = (float(scores[best]), float(share[best]), float(share[same].sum()), float(scores[best]) - rival, *missing)
    return np.concatenate([front, features])


def _missing(asked: _Question, place: Place, page: _Page, rarity: Rarity) -> tuple[float, float]:
    """The heaviest word that the place says in no way, weighed by rarity and by how far its nearest match is; 0..1, known and unknown."""
    start, end = shown(place)
    there = content(place.passage.text[start:end]) | page.headed
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


def _cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(one @ other / max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-9))
