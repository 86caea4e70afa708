"""The search's passages in the order of what reading them finds."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from kb.library import Library
from kb.records import Hit
from surrogates import interaction, reader_weights
from surrogates import surrogate as surrogate_module
from surrogates.interaction import Interaction
from surrogates.quotes import rank_units
from surrogates.rerank import NAMES, RERANKED, features, rerank
from surrogates.router import Resources, answer, best_units
from surrogates.scheduling import Scheduler
from surrogates.settings import Settings
from surrogates.surrogate import READ_NOW, Surrogate
from surrogates.unit_features import Question
from surrogates.units import spans
from surrogates.wording import Rarity
from tests.surrogates.test_reader import PRESS

Add = Callable[[str, str], int]
Fit = Callable[[Sequence[float]], None]
BY_UNIT = (0.0, 0.0, 0.0, 1.0)
TABLE = """# Pump

## Technical data

| What | Value |
|---|---|
| Mass without oil | 87 kg |
| Sound | 71 dB |
| Supply | 400 V |
| Colour | grey |
"""
NOISE = "# Noise\n\nOil without end. The mass of oil is checked. Oil mass, oil mass.\n"


def asked(library: Library, question: str) -> Question:
    tokens = Interaction(library).question(library.encoder.tokens([question])[0])
    assert tokens is not None
    return Question.of(question, tokens, Rarity.of_library(library.connection))


def names(hits: Sequence[Hit]) -> list[str]:
    return [hit.passage.document for hit in hits]


def valves(count: int) -> str:
    """A document of so many sections, a passage each, that differ in their number alone."""
    return "".join(f"# Part {number}\n\nThe valve of part {number} opens at {number} bar.\n\n" for number in range(1, count + 1))


def test_the_shipped_weights_fit_the_features() -> None:
    weights = reader_weights.fitted().rerank
    assert weights.shape == (len(NAMES),)
    assert (weights > 0).all()  # each speaks for a passage


def test_features_are_those_of_every_word_by_itself(word_library: Library, add: Add) -> None:
    add("press.md", PRESS)
    add("pump.md", TABLE)
    interaction.read(word_library)
    question = asked(word_library, "mass of the press without oil")
    hits = word_library.search(question.text)
    held = Interaction(word_library).passages([hit.passage.id for hit in hits])
    table = features(question, hits, held)
    assert table.shape == (len(hits), len(NAMES))
    for hit, row in zip(hits, table, strict=True):
        tokens = held[hit.passage.id]
        match = question.tokens.vectors @ tokens.vectors.T
        best = match.max(axis=1)
        headed = match[:, tokens.starts < 0].max(axis=1)
        units = [np.maximum(match[:, tokens.within(span.start, span.end)].max(axis=1), headed) for span in spans(hit.passage.text)]
        expected = (hit.score, best.mean(), question.weights @ best, max(question.weights @ unit for unit in units))
        np.testing.assert_allclose(row, expected, rtol=1e-5)


def test_a_row_of_a_table_lifts_its_passage(word_library: Library, add: Add, fit_for_words: Fit) -> None:
    fit_for_words(BY_UNIT)
    add("pump.md", TABLE)
    add("noise.md", NOISE)
    surrogate = Surrogate(word_library)
    question = "mass without oil of the pump"
    assert names(surrogate.search(question)) == names(word_library.search(question))  # nothing was read
    interaction.read(word_library)
    found = surrogate.search(question)
    assert names(found)[0] == "pump.md"
    assert [hit.rank for hit in found] == list(range(1, len(found) + 1))
    assert {hit.passage.id for hit in found} == {hit.passage.id for hit in word_library.search(question)}


def test_what_was_not_read_keeps_its_place(word_library: Library, add: Add) -> None:
    add("some.md", valves(6))
    interaction.read(word_library)
    question = asked(word_library, "valve of part 5 bar")
    hits = word_library.search(question.text)
    held = Interaction(word_library).passages([hit.passage.id for hit in hits])
    unread = hits[1].passage.id
    turned = rerank(question, hits, {id_: tokens for id_, tokens in held.items() if id_ != unread}, np.asarray([-1.0, 0.0, 0.0, 0.0]))
    others = [hit.passage.id for hit in hits if hit.passage.id != unread]
    assert [hit.passage.id for hit in turned] == [others[-1], unread, *others[-2::-1]]
    assert [hit.passage.id for hit in rerank(question, hits, {}, np.asarray(BY_UNIT))] == [hit.passage.id for hit in hits]


def test_with_another_encoder_the_order_is_the_searchs(word_library: Library, add: Add) -> None:
    add("pump.md", TABLE)
    add("noise.md", NOISE)
    interaction.read(word_library)
    assert Surrogate(word_library).search("mass without oil of the pump") == word_library.search("mass without oil of the pump")


def test_only_the_best_hits_are_put_in_order(word_library: Library, add: Add, fit_for_words: Fit) -> None:
    fit_for_words([-1.0, 0.0, 0.0, 0.0])
    add("some.md", valves(30))
    interaction.read(word_library)
    live = [hit.passage.id for hit in word_library.search("valve of part 5", limit=30)]
    assert len(live) == 30
    turned = [hit.passage.id for hit in Surrogate(word_library).search("valve of part 5", limit=30)]
    assert turned[RERANKED:] == live[RERANKED:]
    assert turned[0] == live[RERANKED - 1]
    assert [hit.passage.id for hit in Surrogate(word_library).search("valve of part 5", limit=3)] == turned[:3]


def test_what_is_declined_shows_the_passages_in_this_order(word_library: Library, add: Add, fit_for_words: Fit) -> None:
    fit_for_words(BY_UNIT)
    add("pump.md", TABLE)
    add("noise.md", NOISE)
    interaction.read(word_library)
    with Scheduler(Settings()) as scheduler:
        given = answer("mass without oil of the pump", Resources(word_library, Surrogate(word_library), scheduler), route="surrogate")
    assert given.route == "declined"
    assert [citation.document for citation in given.citations] == ["pump.md", "noise.md"]


def test_what_is_written_is_written_from_what_reading_ranks_first(word_library: Library, add: Add, fit_for_words: Fit) -> None:
    fit_for_words(BY_UNIT)
    add("pump.md", TABLE)
    add("noise.md", NOISE)
    surrogate = Surrogate(word_library)
    question = "mass without oil of the pump"
    with Scheduler(Settings()) as scheduler:
        resources = Resources(word_library, surrogate, scheduler)
        hits = surrogate.search(question)
        unread = best_units(question, hits, surrogate.reading(question, hits), resources)
        assert unread == rank_units(question, [hit.passage for hit in hits], resources.rarity(), word_library.encoder)
        interaction.read(word_library, at_most=1)
        assert best_units(question, hits, surrogate.reading(question, hits), resources) == unread  # one passage is not read yet
        found = surrogate.search(question, to_read=True)
        reading = surrogate.reading(question, found)
        assert reading is not None
        ranked = best_units(question, found, reading, resources)
    assert interaction.unread(word_library) == []
    assert surrogate.predict(question, found) is None  # nothing was taught, so nothing is answered at once
    assert [(quote.passage.id, quote.start, quote.end) for quote in ranked] == [
        (place.passage.id, place.span.start, place.span.end) for place in reading.places
    ]
    assert {quote.text for quote in ranked} == {quote.text for quote in unread}


def test_what_is_declined_shows_what_comes_nearest_in_each_passage(word_library: Library, add: Add, fit_for_words: Fit) -> None:
    fit_for_words(BY_UNIT)
    add("pump.md", TABLE)
    surrogate, question = Surrogate(word_library), "order number of the gauge"  # no row names a gauge
    with Scheduler(Settings()) as scheduler:
        given = answer(question, Resources(word_library, surrogate, scheduler))
    reading = surrogate.reading(question, surrogate.search(question))
    assert reading is not None
    assert given.route == "declined"
    assert given.citations[0].quote == reading.places[0].unit
    assert given.citations[0].quote.startswith("What: ")
    assert "\n" not in given.citations[0].quote


def test_a_question_waits_for_its_best_passages_alone(word_library: Library, add: Add, fit_for_words: Fit) -> None:
    fit_for_words([-1.0, 0.0, 0.0, 0.0])
    add("some.md", valves(30))
    live = [hit.passage.id for hit in word_library.search("valve of part 5", limit=30)]
    turned = [hit.passage.id for hit in Surrogate(word_library).search("valve of part 5", limit=30, to_read=True)]
    assert len(interaction.unread(word_library)) == 30 - READ_NOW
    assert turned == [*live[READ_NOW - 1 :: -1], *live[READ_NOW:]]


def test_a_question_is_answered_where_its_passages_cannot_be_kept(
    word_library: Library, add: Add, fit_for_words: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise sqlite3.OperationalError("database or disk is full")

    fit_for_words(BY_UNIT)
    add("pump.md", TABLE)
    monkeypatch.setattr(surrogate_module, "read_passages", full)
    assert names(Surrogate(word_library).search("mass without oil", to_read=True)) == names(word_library.search("mass without oil"))


def test_nothing_is_found_in_an_empty_library_or_for_an_empty_question(word_library: Library, add: Add) -> None:
    assert Surrogate(word_library).search("mass") == []
    add("pump.md", TABLE)
    interaction.read(word_library)
    assert Surrogate(word_library).search(" \n ") == []
