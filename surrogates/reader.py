"""The extractive reader: which sentence, item or row of the live search's best passages answers a question, and how sure that is.

Every unit of the passages is scored by what the question's words find in it (late interaction), what headings and full text say, and how
near the bank's questions about that very place are. A linear ranker picks the unit, a small network (`verifier`) reads the question word
by word against it, and a logistic head over the winner's features, its lead over other passages and over the question's contrary says how
likely it is right. All were fitted on people's questions over other manuals than those it is judged on: `python -m benchmarks.reader`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from surrogates import reader_weights
from surrogates.answer_features import ADDED, added
from surrogates.procedures import complete
from surrogates.quantities import facts
from surrogates.quotes import Quote, option, widened
from surrogates.unit_features import (
    CONTRAST,
    NAMES,
    Found,
    Known,
    Page,
    Question,
    contrast,
    features_of,
    missing_of,
    nearest,
    page_of,
    token_matches,
    twin,
)
from surrogates.units import Span, is_row, spans
from surrogates.verifier import TokenMatches
from surrogates.wording import Rarity, content

if TYPE_CHECKING:
    from kb.library import Library
    from kb.records import Hit, Passage
    from surrogates.bank import View
    from surrogates.interaction import PassageTokens
    from surrogates.reader_weights import Weights

PASSAGES = 5
"""Best hits that are read."""
SHOWN_WORDS = 160
"""An answer is quoted with what stands around it, up to so many words: one sentence alone often lacks what the question needs."""
KEYED = NAMES.index("keyed")
CODE_WORDS = content("alarm error fault failure warning message code number event status trip display screen shows says reads")
"""What a code is called, and how one meets it: "alarm E-17", "the screen shows error 9"."""
NO_RIVAL = -5.0
RIVALS, RIVAL_WITHIN, ALIKE = 12, 1.0, 0.6
"""Places that are compared with the best one, how far below it in score, and the share of words from which they speak of the same."""
HEAD_NAMES = ("score", "share", "passage_share", "lead", "missing_known", "missing_unknown", *NAMES, *CONTRAST, *ADDED, "verified")
"""What the head sees of the best unit: its score, its and its passage's share of all (softmax), its lead over the best of another passage,
the weight of the question's heaviest word that its place does not say, among words that the library knows and that it does not, whether
it answers the question rather than its contrary, what it adds and leaves unsaid, and the verifier's score."""


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
    asked: Question = field(repr=False)
    contraries: tuple[Question | None, Question | None] = field(repr=False)
    pages: Mapping[int, Page] = field(repr=False)
    rarity: Rarity = field(repr=False)
    weights: Weights = field(repr=False)
    encoder: str

    def confidence(self) -> float:
        """Probability that the best unit, shown with what stands around it, answers the question."""
        seen = self.head_features(0)
        if self.encoder != self.weights.verifier.encoder:
            return self.weights.plain.confidence(seen)
        return self.weights.head.confidence(np.append(seen, self.verified(0)))

    def has_read(self, hits: Sequence[Hit]) -> bool:
        """Whether these are all of the passages of `hits` that are to be read, by the encoder that the reader was fitted on."""
        return self.encoder == self.weights.verifier.encoder and len(self.pages) == len(distinct(hits)[:PASSAGES])

    def answerable(self, hits: Sequence[Hit]) -> float | None:
        """Probability that the passages of `hits` tell what is asked for, in the best place or another; None unless it `has_read` them."""
        if not self.has_read(hits):
            return None
        return self.weights.answerable.confidence(np.append(self.head_features(0), self.verified(0)))

    def quotes(self) -> list[Quote]:
        """All units, best first; for a question about nothing but a code, the rows of that code before all."""
        about_code = self.asked.words - self.asked.exact <= CODE_WORDS
        places = sorted(self.places, key=lambda place: not (about_code and place.features[KEYED] and is_row(place.unit)))
        return [Quote(place.passage, place.span.start, place.span.end, place.score) for place in places]

    def head_features(self, row: int) -> NDArray[np.float64]:
        """What the head sees of one of the places, but for the verifier's score: [len(HEAD_NAMES) - 1]."""
        place = self.places[row]
        page = self.pages[place.passage.id]
        start, end = shown(place)
        text = place.passage.text[start:end]
        missing = missing_of(self.asked, page, text, self.rarity)
        contrasted = contrast(self.asked, self.contraries, page, place.span, text, self.weights.ranker, self.rarity)
        scores = np.asarray([each.score for each in self.places])
        passages = np.asarray([each.passage.id for each in self.places])
        adds = added(self.asked.text, place.unit, text, place.passage.text, page.headed)
        return np.concatenate([front(scores, passages, row), missing, place.features, contrasted, adds])

    def verified(self, row: int) -> float:
        """The verifier's score of one of the places."""
        meanings = self.weights.verifier.meanings(self.asked.tokens.full)
        return self.weights.verifier.score(meanings, self.matches(row), self.relative_features()[row])

    def matches(self, row: int) -> TokenMatches:
        """What the verifier sees of one of the places, beside its features."""
        place = self.places[row]
        return token_matches(self.asked, self.pages[place.passage.id], place.span, self.rarity)

    def relative_features(self) -> NDArray[np.float64]:
        """Features of all places, and how far each falls short of the largest of any: [len(places), 2 * len(NAMES)]."""
        return relative(np.stack([place.features for place in self.places]))


def read(
    asked: Question,
    contraries: tuple[Question | None, Question | None],
    hits: Sequence[Hit],
    held: Mapping[int, PassageTokens],
    known: Mapping[int, Sequence[Known]],
    rarity: Rarity,
    encoder: str,
) -> Reading | None:
    """Rank the units of the first distinct passages that `held` has tokens of; None when there is none.

    `known` are the bank's questions by passage; `encoder` names what made the tokens.
    """
    chosen = distinct(hits)[:PASSAGES]
    by_words = sorted((hit for hit in hits if hit.bm25 is not None), key=lambda hit: -(hit.bm25 or 0.0))
    ranks = {hit.passage.id: 1.0 / place for place, hit in enumerate(by_words, start=1)}
    found = [
        Found(hit, 1.0 / place, ranks.get(hit.passage.id, 0.0), held[hit.passage.id], known.get(hit.passage.id, ()))
        for place, hit in enumerate(chosen, start=1)
        if hit.passage.id in held
    ]
    pages = [page_of(asked, each, rarity) for each in found]
    inside = [(page, spans(page.passage.text)) for page in pages]
    units = [(page, span) for page, own in inside for span in own]
    if not units:
        return None
    weights = reader_weights.fitted()
    table = np.concatenate([features_of(asked, page, own, rarity) for page, own in inside if own])  # [u, k]
    scores = table @ weights.ranker
    places = [
        Place(page.passage, span, table[row], float(scores[row]), nearest(page.found.known, span), twin(page.found.known))
        for row, (page, span) in enumerate(units)
    ]
    best_first = tuple(sorted(places, key=lambda place: -place.score))
    return Reading(best_first, asked, contraries, {page.passage.id: page for page in pages}, rarity, weights, encoder)


def known_about(
    passage_ids: Sequence[int], view: View, cosines: Callable[[NDArray[np.int64]], NDArray[np.float32]], library: Library
) -> dict[int, list[Known]]:
    """The serving bank questions about these passages, each the nearest of its answer's.

    `cosines` gives those of rows of the view with the user's question, below -1 for a row that does not serve.
    """
    marks = ",".join("?" * len(passage_ids))
    sources = library.connection.execute(
        f"SELECT passage_id, answer_id, quote_start, quote_end FROM bank_sources WHERE passage_id IN ({marks})", tuple(passage_ids)
    ).fetchall()
    rows = [view.rows_of(int(source["answer_id"])) for source in sources]
    ends = np.cumsum([len(each) for each in rows])
    scores = np.split(cosines(np.concatenate(rows)), ends[:-1]) if rows else []
    known: dict[int, list[Known]] = {}
    for (passage_id, _, start, end), questions, found in zip(sources, rows, scores, strict=True):
        if len(questions) and found.max() > -1.0:
            best = int(found.argmax())
            known.setdefault(passage_id, []).append(Known(int(questions[best]), start, end, float(found[best])))
    return known


def shown(place: Place, limit: int = SHOWN_WORDS) -> tuple[int, int]:
    """The characters to show for a place: a row alone, else as many whole units around it as `limit` words hold."""
    if is_row(place.unit):
        return place.span.start, place.span.end
    return widened(place.passage.text, place.span.start, place.span.end, limit)


def quotes(question: str, place: Place, library: Library) -> list[Quote]:
    """What to show for a place: one of several options alone, else what stands around it, with all steps of a procedure."""
    quote = Quote(place.passage, place.span.start, place.span.end, place.score)
    return complete(question, quote, option(quote) or [Quote(place.passage, *shown(place), place.score)], library)


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


def relative(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Features [u, k], and how far each falls short of the largest of any unit: [u, 2 * k]."""
    return np.concatenate([table, table - table.max(axis=0)], axis=1)


def front(scores: NDArray[np.float64], passages: NDArray[np.int64], row: int) -> tuple[float, float, float, float]:
    """Score, share, share of its passage and lead of one unit, from the scores and passages of all [u]."""
    share = np.exp(scores - scores.max())
    share /= share.sum()
    same = passages == passages[row]
    rival = float(scores[~same].max()) if not same.all() else float(scores[row]) + NO_RIVAL
    return float(scores[row]), float(share[row]), float(share[same].sum()), float(scores[row]) - rival
