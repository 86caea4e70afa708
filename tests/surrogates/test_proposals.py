"""Written answers on their way into the bank."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from kb.library import Library
from surrogates import proposals, router, settings
from surrogates.answer import Answer, Timings
from surrogates.quotes import Quote
from surrogates.settings import Settings
from surrogates.surrogate import Surrogate
from surrogates.wording import Rarity

Add = Callable[[str, str], int]
PUMP = """# Pump

## Relief valve

The relief valve of the pump is set to 210 bar at the factory.

## Strainer

The suction strainer of the pump is cleaned once a month with petroleum.
"""
SENTENCE = "The relief valve of the pump is set to 210 bar at the factory."
QUESTION = "What is the relief valve of the pump set to?"


@pytest.fixture
def pump(word_library: Library, add: Add) -> Library:
    add("pump.md", PUMP)
    return word_library


def written(library: Library, text: str = SENTENCE, quote: str = SENTENCE) -> Answer:
    """An answer as the engine's route gives it."""
    passage = next(passage for passage in library.passages() if quote in passage.text)
    start = passage.text.find(quote)
    citation = Quote(passage, start, start + len(quote)).citation()
    return Answer(text, "engine", None, (citation,), Timings(1.0), teacher="tiny")


def propose(library: Library, question: str = QUESTION, answer: Answer | None = None) -> int | None:
    return proposals.propose(library, question, answer or written(library), Rarity.of_library(library.connection))


def instant(library: Library, question: str = QUESTION) -> str | None:
    prediction = Surrogate(library).predict(question, library.search(question))
    return prediction.text if prediction and prediction.refused_by is None else None


def test_a_written_answer_waits_and_serves_once_a_person_confirms_it(pump: Library) -> None:
    proposal_id = propose(pump)
    assert proposal_id is not None
    (waiting,) = proposals.listing(pump)
    assert (waiting.question, waiting.answer, waiting.teacher, waiting.is_current) == (QUESTION, SENTENCE, "tiny", True)
    assert waiting.citations[0].quote == SENTENCE
    assert instant(pump) is None
    proposals.confirm(pump, proposal_id, "Anna")
    assert instant(pump) == SENTENCE
    (confirmed,) = proposals.listing(pump, "confirmed")
    assert confirmed.decided_by == "Anna"


def test_a_living_surrogate_takes_up_what_was_confirmed_and_withdrawn(pump: Library) -> None:
    surrogate, hits = Surrogate(pump), pump.search(QUESTION)
    proposal_id = propose(pump) or 0
    assert surrogate.predict(QUESTION, hits) is None
    proposals.reject(pump, proposal_id, "Anna")
    proposals.withdraw(pump, proposal_id, "Anna")
    proposals.confirm(pump, proposal_id, "Anna")
    assert surrogate.predict(QUESTION, hits) is not None
    proposals.withdraw(pump, proposal_id, "Anna")
    assert surrogate.predict(QUESTION, hits) is None
    assert [each.decision for each in proposals.listing(pump)] == ["waiting"]


def test_every_decision_is_signed(pump: Library) -> None:
    proposal_id = propose(pump) or 0
    for decide in (proposals.confirm, proposals.reject, proposals.withdraw):
        with pytest.raises(ValueError, match="say who decides"):
            decide(pump, proposal_id, " ")
    assert [each.decision for each in proposals.listing(pump, None)] == ["waiting"]


def test_what_was_rejected_is_not_proposed_again(pump: Library) -> None:
    proposals.reject(pump, propose(pump) or 0, "Anna")
    assert propose(pump) is None
    assert proposals.dropped(pump) == {"rejected before": 1}


@pytest.mark.parametrize(
    ("question", "change", "reason"),
    [
        (QUESTION, {"route": "declined"}, "not written"),
        (QUESTION, {"notes": (router.STOPPED,)}, "stopped"),
        (QUESTION, {"text": "It is set to 230 bar."}, "not grounded"),
        ("And it?", {}, "malformed"),
        ("How do I paint the garden fence of my house?", {}, "not about the passage"),
        ("What is the relief valve set to and how is the strainer cleaned?", {}, "malformed"),
    ],
)
def test_what_teaching_would_drop_is_not_proposed(pump: Library, question: str, change: dict[str, object], reason: str) -> None:
    assert propose(pump, question, replace(written(pump), **change)) is None  # type: ignore[arg-type]
    assert proposals.dropped(pump) == {reason: 1}


def test_the_same_words_asked_twice_are_one_proposal_and_no_agreement(pump: Library) -> None:
    propose(pump)
    assert propose(pump, QUESTION.lower()) is None
    assert [each.agreeing for each in proposals.listing(pump)] == [1]


def test_other_words_with_the_same_answer_agree_and_decide_only_where_that_was_chosen(pump: Library) -> None:
    other = "What pressure is the pump's relief valve set to at the factory?"
    first = propose(pump)
    assert propose(pump, other) == first
    (waiting,) = proposals.listing(pump)
    assert waiting.agreeing == 2
    proposals.reject(pump, first or 0, "Anna")
    settings.save(pump.connection, Settings(accept_agreeing=True))
    second = propose(pump, "What is the relief valve of the pump set to at the factory?")
    assert propose(pump, "What is the pump's relief valve factory set to?") == second
    (confirmed,) = proposals.listing(pump, "confirmed")
    assert confirmed.decided_by == proposals.SECOND_ANSWER


def test_a_proposal_whose_text_changed_cannot_be_confirmed(pump: Library, add: Add) -> None:
    proposal_id = propose(pump) or 0
    add("pump.md", PUMP.replace("210", "230"))
    assert not proposals.listing(pump)[0].is_current
    with pytest.raises(ValueError, match="changed since"):
        proposals.confirm(pump, proposal_id, "Anna")
    assert proposals.listing(pump)[0].decision == "waiting"
    assert instant(pump) is None


def test_a_confirmation_is_signed_and_of_something(pump: Library) -> None:
    with pytest.raises(ValueError, match="name"):
        proposals.confirm(pump, propose(pump) or 0, " ")
    with pytest.raises(KeyError, match="no proposal 99"):
        proposals.confirm(pump, 99, "Anna")
