"""The instant answer: the bank question nearest to the user's, or the place that reading the live search's passages finds.

Each comes with what speaks for it, a calibrated confidence and the gates that it must pass; the surer one that passes is given.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from surrogates import bank, freshness, gates, model, reader, reader_weights, schema
from surrogates.asked import Asked
from surrogates.bank import BankAnswer, View
from surrogates.confidence import Features
from surrogates.contrast import NONE, contraries
from surrogates.interaction import Interaction, read_passages
from surrogates.prediction import Candidate, Prediction, Source
from surrogates.remembering import remember
from surrogates.rerank import RERANKED, rerank
from surrogates.unit_features import Question
from surrogates.wording import Rarity, content

if TYPE_CHECKING:
    from kb.encoder import Tokens
    from kb.library import Library
    from kb.records import Hit
    from surrogates.interaction import PassageTokens

CANDIDATES = 6
NEIGHBOURS = 8
EVIDENCE_WITHIN = 5
AMBIGUOUS_WITHIN = 0.02
TWIN_AT_LEAST = 0.75  # cosine with a bank question, from which a question is compared with it word by word
KNOWN_AT_LEAST = 0.95  # cosine with a bank question about the passage, from which the bank's confidence counts beside the reader's
PERSON_AT_LEAST = 0.6  # cosine with a question whose answer a person confirmed, from which that answer is weighed
READ_NOW = 8  # best hits that a question waits for; those behind them are read when idle
log = logging.getLogger(__name__)


class Surrogate:
    """Instant answers over one library, in the thread that made it. Follows the bank, the library and the trained model by itself."""

    def __init__(self, library: Library) -> None:
        schema.of(library)
        remember(library)
        self.library = library
        self.view = View()
        self.interaction = Interaction(library)
        self.rarity = Rarity.of([])
        self._model = model.Model("")
        self._pinned: model.Model | None = None
        self._adapted = self.view.vectors  # [n, d]
        self._seen: tuple[int, ...] = ()
        self._versions: tuple[int, ...] = ()

    def search(self, question: str, collection: str | None = None, limit: int = 10, *, to_read: bool = False) -> list[Hit]:
        """The live search, its best hits in the order of what reading their passages finds; those not read yet stay where they are.

        `to_read` reads the first `READ_NOW` of them now, which takes some tens of milliseconds each, the first time.
        """
        hits = self.library.search(question, collection, max(limit, RERANKED))
        weights, first = reader_weights.fitted(), hits[:RERANKED]
        if self.library.encoder.name != weights.verifier.encoder:
            return hits[:limit]
        held = self._held([hit.passage.id for hit in first], to_read=to_read)
        asked = self.question(question) if held else None
        return (hits if asked is None else rerank(asked, first, held, weights.rerank) + hits[RERANKED:])[:limit]

    def _held(self, ids: Sequence[int], *, to_read: bool) -> dict[int, PassageTokens]:
        held = self.interaction.passages(ids)
        missing = [id_ for id_ in ids[:READ_NOW] if id_ not in held]
        if not missing or not to_read:
            return held
        try:
            read_passages(self.library, missing)
        except sqlite3.OperationalError as error:  # no room, or another program writes: the question is answered all the same
            log.warning("%d passages are left unread: %s", len(missing), error)
        return self.interaction.passages(ids)

    def question(self, text: str) -> Question | None:
        """A question as the passages that were read see it; None where none was, or it has no word."""
        self.follow()
        return self._question(text, self.library.encoder.tokens([text])[0])

    def predict(self, question: str, hits: Sequence[Hit], collection: str | None = None) -> Prediction | None:
        """The answer that passes the gates, else one with the gate that refused it; None when nothing serves.

        What a person confirmed comes first, then what was read in the passages: it is told with what stands around it. Other answers of
        the bank serve where reading finds nothing. `hits` are the live search for the user's own words, best first, in one collection.
        """
        self.follow()
        asked = self._ask(question, hits, collection)
        if asked is None:
            return None
        read = self._read(asked)
        if read is not None and read.refused_by is None and not self._is_near_a_person(asked):
            return read
        from_bank = self._best_of_bank(asked)
        if read is None or from_bank is None:
            return read or from_bank
        return max((read, from_bank), key=lambda found: (found.refused_by is None, self._is_by_a_person(found), found is read))

    def predict_from_bank(
        self, question: str, hits: Sequence[Hit], collection: str | None = None, *, hidden: NDArray[np.bool_] | None = None
    ) -> Prediction | None:
        """What the bank's questions alone give: the best candidate that passes the gates, else the best one with the gate's name.

        `hidden` marks rows of `view` that are not there for this question, as training asks held-out ones.
        """
        if hidden is None:
            self.follow()
        asked = self._ask(question, hits, collection, hidden, to_read=False)
        return None if asked is None else self._best_of_bank(asked)

    def _best_of_bank(self, asked: Asked) -> Prediction | None:
        judged = [self._judge(asked, candidate) for candidate in self.candidates(asked)]
        allowed = [prediction for prediction in judged if prediction.refused_by is None]
        return max(allowed or judged, key=lambda prediction: prediction.confidence, default=None)

    def follow(self) -> None:
        """Take in what changed since the last question: new passages (replay), new bank rows, a newly trained model."""
        connection = self.library.connection
        versions = (freshness.data_version(connection), connection.total_changes)
        latest = self._pinned or model.current(self.library.home, self.library.encoder.name)
        if versions == self._versions and latest is self._model:
            return
        state = freshness.state_of(connection)
        if state != self._seen:
            bank.use_encoder(self.library)
            freshness.replay(self.library)
            state = freshness.state_of(connection)
            if not self._seen or state[0] != self._seen[0]:
                self.rarity = Rarity.of_library(connection)
        grown = (state != self._seen or not self._seen) and self.view.refresh(connection)
        if grown or latest is not self._model:
            self._take(latest)
        self._seen, self._versions = state, (freshness.data_version(connection), connection.total_changes)

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

    def _ask(
        self,
        question: str,
        hits: Sequence[Hit],
        collection: str | None,
        hidden: NDArray[np.bool_] | None = None,
        *,
        to_read: bool = True,
        needs_bank: bool = True,
    ) -> Asked | None:
        mask = self.view.serving if hidden is None else self.view.serving & ~hidden
        if collection is not None:
            mask = mask & (self.view.collection_ids == _collection_id(self.library.connection, collection))
        if needs_bank and not mask.any():
            return None
        turned = contraries(question) if to_read else NONE
        texts = [question, *filter(None, (turned.other_side, turned.affirmed))]
        tokens = self.library.encoder.tokens(texts) if to_read else []
        vector = tokens[0].vector if tokens else self.library.encoder.encode([question])[0]  # [d]
        adapter = self._model.adapter
        adapted = adapter.apply(vector[None])[0] if adapter else vector
        known = dict(zip(texts, tokens, strict=False))
        return Asked(question, turned, known, vector, hits, content(question), mask, self.view.vectors, (adapted, self._adapted))

    def candidates(self, asked: Asked) -> list[Candidate]:
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

    def _candidate(self, asked: Asked, row: int, answer: BankAnswer, sources: tuple[Source, ...], order: Sequence[int]) -> Candidate:
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

    def _neighbours(self, asked: Asked, answer: BankAnswer, order: Sequence[int]) -> tuple[float, float]:
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

    def _evidence_dense(self, asked: Asked, answer: BankAnswer) -> float:
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

    def _judge(self, asked: Asked, candidate: Candidate) -> Prediction:
        matched = self.view.texts[candidate.row]
        refused = (
            gates.refusal(asked.text, matched, candidate.evidence, self.rarity, likeness=self._likeness)
            or self._is_ambiguous(asked, candidate)
            or self._lacks_evidence(asked, candidate)
            or self._is_stale(candidate)
        )
        confidence = self._model.head.confidence(candidate.features)
        answer = candidate.answer
        return Prediction(answer.text, confidence, answer.id, candidate.sources, matched, refused, candidate.features)

    def nearest_cosine(self, question: str, collection: str | None = None) -> float:
        """Frozen cosine with the nearest bank question that serves, the plainest measure that there is; 0 without one."""
        self.follow()
        asked = self._ask(question, (), collection, to_read=False)
        return 0.0 if asked is None else max(float(asked.cosines(np.flatnonzero(asked.serving)).max()), 0.0)

    def reading(self, question: str, hits: Sequence[Hit], collection: str | None = None) -> reader.Reading | None:
        """What reading the passages of `hits` finds; None while none of them was read."""
        self.follow()
        asked = self._ask(question, hits, collection, needs_bank=False)
        return None if asked is None else self._reading(asked)

    def gate_of(self, question: str, place: reader.Place, text: str) -> str | None:
        """The gate that keeps a place, shown as `text`, from answering; None when all let it pass."""
        headings = " > ".join(place.passage.heading)
        refused = gates.refusal_of_place(question, headings, place.unit, text)
        if refused is None and place.twin is not None and place.twin.score >= TWIN_AT_LEAST:
            known, said = self.view.texts[place.twin.row], f"{headings}\n{text}"
            refused = gates.refusal_of_twin(question, known, said, self.rarity, self._likeness)
        return refused

    def _reading(self, asked: Asked) -> reader.Reading | None:
        ids = [hit.passage.id for hit in reader.distinct(asked.hits)[: reader.PASSAGES]]
        held = self.interaction.passages(ids)
        read = {text: self._question(text, each) for text, each in asked.tokens.items()}
        own = read.get(asked.text)
        if not held or own is None:
            return None
        others = (read.get(asked.contraries.other_side or ""), read.get(asked.contraries.affirmed or ""))
        known = reader.known_about(ids, self.view, asked.cosines, self.library)
        return reader.read(own, others, asked.hits, held, known, self.rarity, self.library.encoder.name)

    def _question(self, text: str, tokens: Tokens) -> Question | None:
        turned = self.interaction.question(tokens)
        return Question.of(text, turned, self.rarity) if turned is not None and len(turned.places) else None

    def _read(self, asked: Asked) -> Prediction | None:
        reading = self._reading(asked)
        if reading is None:
            return None
        best = reading.places[0]
        quotes = reader.quotes(asked.text, best, self.library)
        text = "\n".join(quote.text for quote in quotes)
        refused = (
            self.gate_of(asked.text, best, text)
            or ("ambiguous" if reader.is_contradicted(reading, self.rarity) else None)
            or ("unread" if self._passes_over_unread(asked, best.passage.id) else None)
        )
        sources = tuple(Source(quote.passage, quote.text) for quote in quotes)
        matched = self.view.texts[best.known.row] if best.known and best.known.score >= TWIN_AT_LEAST else ""
        confidence = reading.confidence()
        if refused is None and best.twin is not None and best.twin.score >= KNOWN_AT_LEAST:
            confidence = max(confidence, self._taught_confidence(asked, best.twin.row))
        return Prediction(text, confidence, None, sources, matched, refused)

    def _taught_confidence(self, asked: Asked, row: int) -> float:
        """What the bank's head says of a question that says the same as this one; 0 where its answer does not stand."""
        answer = bank.answer(self.library.connection, int(self.view.answer_ids[row]))
        sources = self._sources(answer)
        if sources is None or not gates.says_the_same(asked.text, self.view.texts[row]):
            return 0.0
        candidate = self._candidate(asked, row, answer, sources, _top(asked.scores, CANDIDATES * 8))
        stands = not (self._is_ambiguous(asked, candidate) or self._is_stale(candidate))
        return self._model.head.confidence(candidate.features) if stands else 0.0

    def _passes_over_unread(self, asked: Asked, passage_id: int) -> bool:
        """Whether a hit before this passage was not read yet, so that nothing is known about what it says."""
        ids = [hit.passage.id for hit in reader.distinct(asked.hits)[: reader.PASSAGES]]
        before = ids[: ids.index(passage_id)]
        return len(self.interaction.passages(before)) < len(before)

    def _is_near_a_person(self, asked: Asked) -> bool:
        """Whether a question that a person asked and confirmed the answer of may be this one."""
        return bool(self.view.by_person.any()) and float(asked.scores[self.view.by_person].max()) >= PERSON_AT_LEAST

    def _is_by_a_person(self, prediction: Prediction) -> bool:
        """Whether a person confirmed the answer to the question that it answers."""
        if prediction.answer_id is None:
            return False
        rows = self.view.rows_of(prediction.answer_id)
        return any(self.view.by_person[row] and self.view.texts[row] == prediction.matched_question for row in rows)

    def _likeness(self, one: str, other: str) -> float:
        first, second = self.library.encoder.encode([one])[0], self.library.encoder.encode([other])[0]
        return float(first @ second)

    def _is_ambiguous(self, asked: Asked, candidate: Candidate) -> str | None:
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

    def _lacks_evidence(self, asked: Asked, candidate: Candidate) -> str | None:
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


def _collection_id(connection: sqlite3.Connection, name: str) -> int:
    row = connection.execute("SELECT id FROM collections WHERE name = ?", (name,)).fetchone()
    return int(row[0]) if row else -1
