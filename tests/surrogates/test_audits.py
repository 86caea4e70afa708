"""Audits of instant answers, and what a breach costs."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from engine.request import Generation
from kb.library import Library
from surrogates import audits, judging, sampling, settings, teaching, threshold
from surrogates.answer import Answer, Timings
from surrogates.settings import Settings
from surrogates.threshold import ALPHAS, FLOORS
from surrogates.wording import Rarity

Add = Callable[[str, str], int]
PRESS = """# Press

## Maximum pressure

The maximum pressure of the press is 200 bar.

## Oil change interval

The oil of the press is changed after 500 hours.
"""
QUESTION = "What is the maximum pressure of the press?"


@pytest.fixture
def taught(word_library: Library, add: Add) -> Library:
    add("press.md", PRESS)
    teaching.teach(word_library, lambda request: Generation("", 0, 1, "stop", 1.0, 0.1, 0.0, 0.0, 0.0, 1, "exact"))
    return word_library


def serve(library: Library, question: str = QUESTION, says: str = "200 bar", job_id: int | None = None) -> None:
    """An instant answer as it was given: the bank's one that says this."""
    row = library.connection.execute("SELECT id, text FROM bank_answers WHERE text LIKE ? LIMIT 1", (f"%{says}%",)).fetchone()
    given = Answer(row["text"], "surrogate", 0.9, (), Timings(0.01), answer_id=row["id"])
    audits.record(library.connection, job_id, question, given, None)


def audited(library: Library) -> list[tuple[str, str]]:
    rarity = Rarity.of_library(library.connection)
    while audits.audit_next(library, rarity):
        pass
    return [tuple(row) for row in library.connection.execute("SELECT audit, why FROM served_answers ORDER BY id")]


def put_outcomes(library: Library, held: int, failed: int, level: int = 3) -> None:
    for index in range(held + failed):
        library.connection.execute(
            "INSERT INTO served_answers(question, answer_id, answer, confidence, level, is_drawn, audit) VALUES ('?', 1, '', 0.9, ?, 1, ?)",
            (level, "failed" if index < failed else "held"),
        )


def test_an_answer_that_its_passage_gives_holds(taught: Library) -> None:
    serve(taught)
    assert audited(taught) == [("held", "")]


def test_an_answer_from_the_wrong_place_fails_and_says_which_is_better(taught: Library) -> None:
    serve(taught, QUESTION, "500 hours")
    ((audit, why),) = audited(taught)
    assert audit == "failed"
    assert "press.md" in why


def test_an_answer_that_left_the_bank_is_not_counted(taught: Library, add: Add) -> None:
    serve(taught)
    add("press.md", PRESS.replace("200", "210"))
    assert audited(taught)[0][0] == "gone"
    assert audits.state(taught).audited == 0


def test_what_a_person_judged_is_not_audited_by_rule(taught: Library) -> None:
    question_id = sampling.take_down(taught.connection, QUESTION, None, 5)
    serve(taught, job_id=5)
    answer = taught.connection.execute("SELECT answer FROM served_answers").fetchone()[0]
    taught.connection.execute(
        "INSERT INTO candidates VALUES (?, ?, 0.9, ?, '', NULL, '[]')", (question_id, sampling.fingerprint(taught), answer)
    )
    judging.judge(taught, question_id, "wrong", by="Anna", shown=sampling.mark(answer, "[]"))
    assert audited(taught) == [("failed", "judged wrong by Anna")]


def test_words_and_values_that_are_not_in_the_passages_do_not_stand(taught: Library) -> None:
    passages = [passage for passage in taught.passages() if "200 bar" in passage.text]
    assert audits.stands_in("Its maximum is 200 bar.", QUESTION, passages, "engine")
    assert not audits.stands_in("Its maximum is 250 bar.", QUESTION, passages, "engine")


def test_all_answers_are_audited_at_first_and_a_share_afterwards(taught: Library) -> None:
    put_outcomes(taught, audits.FIRST, 0)
    row = taught.connection.execute("SELECT id, text FROM bank_answers LIMIT 1").fetchone()
    given = Answer(row["text"], "surrogate", 0.9, (), Timings(0.01), answer_id=row["id"])
    for chance in (audits.SAMPLE / 2, audits.SAMPLE * 2):
        audits.record(taught.connection, None, QUESTION, given, None, chance)
    assert [row[0] for row in taught.connection.execute("SELECT is_drawn FROM served_answers ORDER BY id DESC LIMIT 2")] == [0, 1]


def test_a_breach_lowers_coverage_and_says_so_until_a_person_lifts_it(taught: Library) -> None:
    put_outcomes(taught, 20, 15)
    serve(taught)
    audited(taught)
    assert audits.raised_to(taught.connection, 3) == FLOORS[3]
    assert threshold.accept_at(taught, 3) == FLOORS[3]
    assert judging.certificate(taught, 3).accept_at == FLOORS[3]
    assert f"only answers of at least {FLOORS[3]:.2f} are given" in audits.state(taught).sentence()
    assert audits.state(taught).audited == 0, "a new count begins with the new confidence"
    audits.lift(taught, 3, "Anna")
    assert threshold.accept_at(taught, 3) == FLOORS[2]


def test_only_a_level_that_there_is_can_be_lifted(taught: Library) -> None:
    with pytest.raises(ValueError, match="expected 1 to 5"):
        audits.lift(taught, 6, "Anna")


def test_the_surest_level_can_be_shut_altogether(taught: Library) -> None:
    settings.save(taught.connection, Settings(level=5))
    for _ in range(5):
        put_outcomes(taught, 0, 30, level=5)
        serve(taught)
        audited(taught)
    assert threshold.accept_at(taught, 5) > 1
    assert "no instant answer" in audits.state(taught).sentence()


@pytest.mark.parametrize("alpha", ALPHAS)
def test_looking_after_every_answer_raises_few_false_alarms_and_finds_true_ones(alpha: float) -> None:
    chance = random.Random(11)

    def alarms(share: float) -> int:
        found = 0
        for _ in range(60):
            outcomes = [chance.random() < share for _ in range(400)]
            found += any(audits.wealth(outcomes[:seen], alpha) >= 1 / audits.FALSE_ALARM for seen in range(1, 401, 7))
        return found

    assert alarms(alpha) <= 12
    assert alarms(min(4 * alpha, 0.9)) >= 40
