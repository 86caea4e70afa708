"""The instant answer: the bank question nearest to the user's, what speaks for it, and the gates that it must pass."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from surrogates import bank, freshness, gates, model, schema
from surrogates.bank import BankAnswer, View
from surrogates.confidence import Features
from surrogates.remembering import remember
from surrogates.wording import Rarity, content

if TYPE_CHECKING:
    from kb.library import Library
    from kb.records import Hit, Passage

CANDIDATES = 6
NEIGHBOURS = 8
EVIDENCE_WITHIN = 5
AMBIGUOUS_WITHIN = 0.02


@dataclass(frozen=True)
class Source:
    """A passage that an instant answer rests on; `quote` occurs in it word for word."""

    passage: Passage
    quote: str


@dataclass(frozen=True)
class Prediction:
    """What the surrogate would answer. `refused_by` names the gate that forbids it, None when all let it pass."""

    text: str
    confidence: float
    answer_id: int
    sources: tuple[Source, ...]
    matched_question: str
    refused_by: str | None
    features: Features


@dataclass(frozen=True)
class Candidate:
    """A bank question that may be the user's, before it is judged. `row` is its place in the view."""

    row: int
    answer: BankAnswer
    sources: tuple[Source, ...]
    features: Features
    evidence: str


@dataclass(frozen=True)
class _Asked:
    """The user's question with all that is computed once for it."""

    text: str
    vector: NDArray[np.float32]  # [d], frozen
    scores: NDArray[np.float32]  # [n], adapted cosine with every bank question; -2 where it does not serve
    hits: Sequence[Hit]
    words: frozenset[str]

    @property
    def plain(self) -> frozenset[str]:
        """The words without codes, which the full-text index spells in its own way."""
        return frozenset(word for word in self.words if word.isalpha())


class Surrogate:
    """Instant answers over one library, in the thread that made it. Follows the bank, the library and the trained model by itself."""

    def __init__(self, library: Library) -> None:
        schema.of(library)
        remember(library)
        self.library = library
        self.view = View()
        self.rarity = Rarity.of([])
        self._model = model.Model("")
        self._pinned: model.Model | None = None
        self._adapted = self.view.vectors  # [n, d]
        self._seen: tuple[int, ...] = ()
        self._versions: tuple[int, ...] = ()

    def predict(
        self, question: str, hits: Sequence[Hit], collection: str | None = None, *, hidden: NDArray[np.bool_] | None = None
    ) -> Prediction | None:
        """The best candidate that passes the gates, else the best one with the gate that refused it; None when nothing serves.

        `hits` are the live search for the user's own words, best first, in the same collection. `hidden` marks rows of `view` that
        are not there for this question, as training asks held-out ones.
        """
        if hidden is None:
            self.follow()
        asked = self._ask(question, hits, collection, hidden)
        if asked is None:
            return None
        candidates = self.candidates(asked)
        judged = [self._judge(asked, candidate) for candidate in candidates]
        allowed = [prediction for prediction in judged if prediction.refused_by is None]
        return max(allowed or judged, key=lambda prediction: prediction.confidence, default=None)

    def follow(self) -> None:
        """Take in what changed since the last question: new passages (replay), new bank rows, a newly trained model."""
        connection = self.library.connection
        versions = (_data_version(connection), connection.total_changes)
        latest = self._pinned or model.current(self.library.home, self.library.encoder.name)
        if versions == self._versions and latest is self._model:
            return
        state = _state(connection)
        if state != self._seen:
            bank.use_encoder(self.library)
            freshness.replay(self.library)
            state = _state(connection)
            if not self._seen or state[0] != self._seen[0]:
                self.rarity = Rarity.of_library(connection)
        grown = (state != self._seen or not self._seen) and self.view.refresh(connection)
        if grown or latest is not self._model:
            self._take(latest)
        self._seen, self._versions = state, (_data_version(connection), connection.total_changes)

    def use(self, trained: model.Model) -> None:
        """Judge by this model from now on, instead of the one in the home."""
        self._pinned = trained
        self._take(trained)

    def passages_of(self, answer_id: int) -> frozenset[int]:
        """The passages that a bank answer rests on."""
        return self.view.passages_of(self.library.connection, answer_id)

    def _take(self, trained: model.Model) -> None:
        self._model = trained
        adapts = trained.adapter is not None and len(self.view.ids) > 0
        self._adapted = trained.adapter.apply(self.view.vectors) if trained.adapter and adapts else self.view.vectors

    def _ask(self, question: str, hits: Sequence[Hit], collection: str | None, hidden: NDArray[np.bool_] | None = None) -> _Asked | None:
        mask = self.view.serving if hidden is None else self.view.serving & ~hidden
        if collection is not None:
            mask = mask & (self.view.collection_ids == _collection_id(self.library.connection, collection))
        if not mask.any():
            return None
        vector = self.library.encoder.encode([question])[0]  # [d]
        adapter = self._model.adapter
        adapted = adapter.apply(vector[None])[0] if adapter else vector
        scores = np.where(mask, self._adapted @ adapted, np.float32(-2.0))
        return _Asked(question, vector, scores, hits, content(question))

    def candidates(self, asked: _Asked) -> list[Candidate]:
        """The nearest question of each of the nearest answers whose passages are all there, best first."""
        order = _top(asked.scores, CANDIDATES * 8)
        found: list[Candidate] = []
        answers: dict[int, BankAnswer] = {}
        for row in order:
            answer_id = int(self.view.answer_ids[row])
            if answer_id in answers or len(found) >= CANDIDATES:
                continue
            answers[answer_id] = bank.answer(self.library.connection, answer_id)
            sources = self._sources(answers[answer_id])
            if sources is not None:
                found.append(self._candidate(asked, int(row), answers[answer_id], sources, order))
        return found

    def _candidate(self, asked: _Asked, row: int, answer: BankAnswer, sources: tuple[Source, ...], order: Sequence[int]) -> Candidate:
        evidence = "\n".join([answer.text, *(f"{' > '.join(source.passage.heading)}\n{source.passage.text}" for source in sources)])
        rival, agreement = self._neighbours(asked, answer, order)
        known, said = content(self.view.texts[row]), content(evidence)
        rank = next((hit.rank for hit in asked.hits if hit.passage.id in answer.passage_ids), 0)
        others = [_passage_words(hit) for hit in asked.hits[:EVIDENCE_WITHIN] if hit.passage.id not in answer.passage_ids]
        own = self.rarity.share(asked.words, said)
        features = Features(
            score=float(asked.scores[row]),
            frozen=float(self.view.vectors[row] @ asked.vector),
            margin=float(asked.scores[row]) - rival,
            agreement=agreement,
            shared_words=self.rarity.share(asked.words, known),
            explained=self.rarity.share(asked.words, said | known),
            returned=self.rarity.share(known, asked.words),
            evidence_rank=1.0 / rank if rank else 0.0,
            evidence_dense=self._evidence_dense(asked, answer),
            evidence_lead=own - max((self.rarity.share(asked.words, words) for words in others), default=0.0),
            novelty=1.0 - self.rarity.share(asked.plain, frozenset(word for word in asked.plain if self.rarity.knows(word))),
        )
        return Candidate(row, answer, sources, features, evidence)

    def _neighbours(self, asked: _Asked, answer: BankAnswer, order: Sequence[int]) -> tuple[float, float]:
        """Best score of a question that rests on other passages, and the weight of those among the nearest that rest on these."""
        rival, same, total = 0.0, 0.0, 0.0
        for place, row in enumerate(order):
            score = float(asked.scores[row])
            if score <= -1.0:
                break
            shares = int(self.view.answer_ids[row]) == answer.id or bool(
                self.passages_of(int(self.view.answer_ids[row])) & answer.passage_ids
            )
            rival = rival if shares else max(rival, score)
            if place < NEIGHBOURS:
                weight = max(score, 0.0) ** 4
                total += weight
                same += weight * shares
        return rival, same / total if total else 0.0

    def _evidence_dense(self, asked: _Asked, answer: BankAnswer) -> float:
        vectors = self.library.vectors(sorted(answer.passage_ids))  # [s, d]
        return float((vectors @ asked.vector).max())

    def _sources(self, answer: BankAnswer) -> tuple[Source, ...] | None:
        """The passages as they are now; None when one is gone or reads differently."""
        sources = []
        for support in answer.support:
            try:
                passage = self.library.passage(support.passage_id)
            except KeyError:
                return None
            if passage.quote_sha256 != support.sha256 or support.quote not in passage.text:
                return None
            sources.append(Source(passage, support.quote))
        return tuple(sources)

    def _judge(self, asked: _Asked, candidate: Candidate) -> Prediction:
        matched = self.view.texts[candidate.row]
        refused = (
            gates.refusal(asked.text, matched, candidate.evidence, self.rarity, likeness=self._likeness)
            or self._is_ambiguous(asked, candidate)
            or self._lacks_evidence(asked, candidate)
            or self._is_stale(candidate)
        )
        confidence = self._model.head.confidence(candidate.features)
        return Prediction(candidate.answer.text, confidence, candidate.answer.id, candidate.sources, matched, refused, candidate.features)

    def _likeness(self, one: str, other: str) -> float:
        first, second = self.library.encoder.encode([one])[0], self.library.encoder.encode([other])[0]
        return float(first @ second)

    def _is_ambiguous(self, asked: _Asked, candidate: Candidate) -> str | None:
        """A bank question as near says the same words with another answer: documents disagree, or two things share a name."""
        matched = content(self.view.texts[candidate.row])
        near = np.flatnonzero(asked.scores >= asked.scores[candidate.row] - AMBIGUOUS_WITHIN)
        for row in near[:50]:
            other = int(self.view.answer_ids[row])
            if other == candidate.answer.id or content(self.view.texts[row]) != matched:
                continue
            if self.passages_of(other) & candidate.answer.passage_ids:
                continue
            if bank.answer(self.library.connection, other).text != candidate.answer.text:
                return "ambiguous"
        return None

    def _lacks_evidence(self, asked: _Asked, candidate: Candidate) -> str | None:
        found = {hit.passage.id for hit in asked.hits[:EVIDENCE_WITHIN]}
        return None if found & candidate.answer.passage_ids else "evidence"

    def _is_stale(self, candidate: Candidate) -> str | None:
        return None if bank.is_current(self.library.connection, candidate.answer.id) else "freshness"


def _top(scores: NDArray[np.float32], count: int) -> list[int]:
    wanted = min(count, len(scores))
    part = np.argpartition(-scores, wanted - 1)[:wanted]
    return [int(row) for row in part[np.argsort(-scores[part], kind="stable")] if scores[row] > -1.0]


def _passage_words(hit: Hit) -> frozenset[str]:
    return content(f"{' > '.join(hit.passage.heading)}\n{hit.passage.text}")


def _data_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


def _state(connection: sqlite3.Connection) -> tuple[int, ...]:
    """What tells whether passages, questions or answers changed: numbers that only grow, and a sum over the states."""
    row = connection.execute(
        "SELECT (SELECT coalesce(max(seq), 0) FROM changes), (SELECT coalesce(max(id), 0) FROM bank_questions),"
        " (SELECT count(*) FROM bank_answers WHERE state = 'active'), (SELECT coalesce(sum(checked_seq), 0) FROM bank_answers)"
    ).fetchone()
    return tuple(int(value) for value in row)


def _collection_id(connection: sqlite3.Connection, name: str) -> int:
    row = connection.execute("SELECT id FROM collections WHERE name = ?", (name,)).fetchone()
    return int(row[0]) if row else -1
