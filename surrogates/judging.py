"""The certificate: people judge instant answers to questions sampled before routing, and levels are tested on their verdicts.

Every test of a level spends a part of its share of delta - a half of what is left - so that testing again with more labels, or
after the bank or the model changed, keeps the promise: over all tests of all five levels together at most delta. A verdict belongs
to a question and an answer; it counts for another bank or model as long as that gives the same answer. Thumbs are not verdicts.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from kb.database import transaction
from surrogates import audits, bank, chat, model, sampling, schema
from surrogates.answer import Citation
from surrogates.threshold import ALPHAS, DELTA, GRID, Certificate, Label, count, least_labels, sequence_test

if TYPE_CHECKING:
    from kb.library import Library

Verdict = Literal["right", "wrong", "unclear"]
AGAIN_AT = 2
"""A level that failed is tested again when it has so many times the labels."""
_VERDICT = """SELECT verdict FROM judgements j WHERE j.question_id = k.question_id AND j.answer = k.answer AND j.provenance = 'human'
 ORDER BY j.id DESC LIMIT 1"""
_JUDGED_BEFORE = "EXISTS (SELECT 1 FROM judgements j WHERE j.question_id = q.id AND j.provenance = 'human')"


class AnswerReplaced(ValueError):
    """The answer that was shown is not the question's any more: a verdict on it would go to one that nobody has seen."""


@dataclass(frozen=True)
class Question:
    """A question with the instant answer to judge. `origin` is "asked" or "entered"; `shown` names the answer with its citations."""

    id: int
    text: str
    collection: str | None
    origin: str
    answer: str
    matched_question: str
    confidence: float
    citations: tuple[Citation, ...]
    shown: str


@dataclass(frozen=True)
class Progress:
    """Sampled questions; those that wait for their candidate, for a verdict; verdicts given."""

    sampled: int
    preparing: int
    open: int
    judged: int


@dataclass(frozen=True)
class _Test:
    """The last test of a level."""

    fingerprint: str
    labels: int
    accept_at: float | None
    answered: int
    wrong: int
    teacher: str
    at: str
    number: int  # of tests of this level so far


def enter(library: Library, question: str, collection: str | None = None) -> int:
    """Add a question of one's own to those that are judged; returns its id. Its answer follows when the worker is idle.

    Raises:
        QuestionRefused: it is empty or too long.
        KeyError: there is no such collection.
    """
    connection = schema.of(library)
    return sampling.enter(connection, question, chat.collection_id(connection, collection))


def next_question(library: Library) -> Question | None:
    """The next question to judge; None while none has an answer sure enough to matter at any level.

    Answers that changed since they were judged come first, then passages that nobody judged yet, in an order drawn at random.
    """
    row = (
        schema.of(library)
        .execute(
            "SELECT q.id, q.text, c.name AS collection, q.origin, k.answer, k.matched_question, k.confidence, k.citations"
            " FROM candidates k JOIN sampled_questions q ON q.id = k.question_id LEFT JOIN collections c ON c.id = q.collection_id"
            f" WHERE k.fingerprint = ? AND k.confidence >= ? AND ({_VERDICT}) IS NULL"
            f" ORDER BY {_JUDGED_BEFORE} DESC, k.passage_id IN (SELECT passage_id FROM candidates d JOIN judgements USING (question_id)),"
            " q.place LIMIT 1",
            (sampling.fingerprint(library), GRID[-1]),
        )
        .fetchone()
    )
    if row is None:
        return None
    citations = tuple(Citation.from_json(value) for value in json.loads(row["citations"]))
    return Question(**{**dict(row), "citations": citations}, shown=sampling.mark(row["answer"], row["citations"]))


def judge(library: Library, question_id: int, verdict: Verdict, note: str = "", by: str = "", *, shown: str) -> None:
    """Keep a person's verdict on the answer that `next_question` showed, and test every level for which that makes enough labels.

    `shown` is that of the `Question`. "unclear" counts as wrong.

    Raises:
        KeyError: there is no such question, or it has no answer to judge.
        AnswerReplaced: its answer is another one than was shown.
        ValueError: there is no such verdict.
    """
    if verdict not in ("right", "wrong", "unclear"):
        raise ValueError(f'the verdict is {verdict!r}, expected "right", "wrong" or "unclear"')
    connection = schema.of(library)
    with transaction(connection):
        row = connection.execute(
            "SELECT answer, citations FROM candidates WHERE question_id = ? AND answer != ''", (question_id,)
        ).fetchone()
        if row is None:
            raise KeyError(f"there is no question {question_id} with an answer to judge")
        if shown != sampling.mark(row["answer"], row["citations"]):
            raise AnswerReplaced(
                f"question {question_id} has another answer by now than the one that was shown; look at it and judge again"
            )
        connection.execute(
            "INSERT INTO judgements(question_id, answer, citations, verdict, provenance, judged_by, note)"
            " VALUES (?, ?, ?, ?, 'human', ?, ?)",
            (question_id, row["answer"], row["citations"], verdict, by, note),
        )
        _test_levels(library, again=False)


def renew(library: Library) -> list[Certificate]:
    """Test the levels whose certificate a change of bank or model voided, each at the next half of its delta; the certificates after it.

    A level with too few labels for that is left as it is: nothing is spent on a test that cannot pass.
    """
    with transaction(schema.of(library)):
        _test_levels(library, again=True)
    return certificates(library)


def progress(library: Library) -> Progress:
    """How far judging is."""
    connection, now = schema.of(library), sampling.fingerprint(library)
    sampled = int(connection.execute("SELECT count(*) FROM sampled_questions").fetchone()[0])
    judged = int(connection.execute("SELECT count(DISTINCT question_id) FROM judgements WHERE provenance = 'human'").fetchone()[0])
    waiting = connection.execute(
        f"SELECT count(*) FROM candidates k WHERE fingerprint = ? AND confidence >= ? AND ({_VERDICT}) IS NULL", (now, GRID[-1])
    )
    return Progress(sampled, sampling.waiting(connection, now), int(waiting.fetchone()[0]), judged)


def certificate(library: Library, level: int | None = None) -> Certificate:
    """What stands behind a level, the user's own when None."""
    from surrogates import settings

    return certificates(library)[(level or settings.load(schema.of(library)).level) - 1]


def certificates(library: Library) -> list[Certificate]:
    """What stands behind each level for the bank and model of now: people's verdicts where enough, else agreement with the teacher."""
    connection, now = schema.of(library), sampling.fingerprint(library)
    labels = _labels(connection, now)
    found: list[Certificate] = []
    for base in model.current(library.home, library.encoder.name).certificates:
        test = _last_test(connection, base.level)
        made = _certified(base, test) if test and test.accept_at is not None and test.fingerprint == now else _uncertified(base, test, now)
        least = max([made.accept_at, audits.raised_to(connection, base.level) or 0.0, *(lower.accept_at for lower in found)])
        judged, _ = count(labels, base.accept_at)
        found.append(replace(made, accept_at=least, judged=judged, teacher=made.teacher or bank.teachers(connection)))
    return found


def accept_at(library: Library, level: int) -> float:
    """The least confidence at a level, raised where audits found too many errors; cheaply: this is asked for every question."""
    connection = library.connection
    base: dict[int, float] = {each.level: each.accept_at for each in model.current(library.home, library.encoder.name).certificates}
    rows = connection.execute(
        "SELECT level, fingerprint, accept_at FROM certifications WHERE id IN (SELECT max(id) FROM certifications GROUP BY level)"
    ).fetchall()
    if rows:
        now = sampling.fingerprint(library)
        base |= {row["level"]: float(row["accept_at"]) for row in rows if row["fingerprint"] == now and row["accept_at"] is not None}
    return max([*(value for each, value in base.items() if each <= level), audits.raised_to(connection, level) or 0.0])


def share_of_delta(tests: int) -> float:
    """What a level's test may spend after so many tests: half of what is left of its fifth."""
    return DELTA / len(ALPHAS) / 2.0 ** (tests + 1)


def _test_levels(library: Library, *, again: bool) -> None:
    """Test each level that has the labels for it: the first time, then with twice as many, or `again` for a new bank or model."""
    connection, now = library.connection, sampling.fingerprint(library)
    if _is_unsettled(connection, now):
        return
    labels = _labels(connection, now)
    for base in model.current(library.home, library.encoder.name).certificates:
        test, alpha = _last_test(connection, base.level), ALPHAS[base.level - 1]
        judged, _ = count(labels, base.accept_at)
        if judged < _needed(base.level, test, again and test is not None and test.fingerprint != now):
            continue
        delta = share_of_delta(test.number if test else 0)
        accept, answered, wrong = sequence_test(labels, alpha, delta) or (None, *count(labels, base.accept_at))
        connection.execute(
            "INSERT INTO certifications(level, fingerprint, teacher, delta, labels, answered, wrong, accept_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (base.level, now, bank.teachers(connection), delta, judged, answered, wrong, accept),
        )


def _needed(level: int, test: _Test | None, at_once: bool) -> int:
    """Judged answers that a level's next test waits for."""
    least = least_labels(ALPHAS[level - 1], share_of_delta(test.number if test else 0))
    return least if test is None or at_once else max(least, AGAIN_AT * test.labels)


def _is_unsettled(connection: sqlite3.Connection, now: str) -> bool:
    """Whether a judged question waits for its candidate, or for a verdict on a new one: testing without it would choose its labels."""
    row = connection.execute(
        f"SELECT 1 FROM sampled_questions q LEFT JOIN candidates k ON k.question_id = q.id WHERE {_JUDGED_BEFORE}"
        f" AND (k.fingerprint IS NOT ? OR (k.confidence >= ? AND ({_VERDICT}) IS NULL)) LIMIT 1",
        (now, GRID[-1]),
    ).fetchone()
    return row is not None


def _labels(connection: sqlite3.Connection, now: str) -> list[Label]:
    """Verdicts on what the bank and model of now would answer; a question that a person has put into the bank tests nothing any more."""
    rows = connection.execute(
        f"SELECT k.confidence, k.passage_id, ({_VERDICT}) AS verdict FROM candidates k JOIN sampled_questions q ON q.id = k.question_id"
        " WHERE k.fingerprint = ? AND k.confidence >= ?"
        " AND NOT EXISTS (SELECT 1 FROM bank_questions b WHERE b.source = 'human' AND b.text = q.text COLLATE NOCASE)",
        (now, GRID[-1]),
    )
    return [Label(row["confidence"], row["verdict"] == "right", "human", row["passage_id"]) for row in rows if row["verdict"] is not None]


def _last_test(connection: sqlite3.Connection, level: int) -> _Test | None:
    row = connection.execute(
        "SELECT fingerprint, labels, accept_at, answered, wrong, teacher, at,"
        " (SELECT count(*) FROM certifications WHERE level = ?) AS number FROM certifications WHERE level = ? ORDER BY id DESC LIMIT 1",
        (level, level),
    ).fetchone()
    return None if row is None else _Test(**dict(row))


def _certified(base: Certificate, test: _Test) -> Certificate:
    return replace(
        base,
        kind="certified",
        accept_at=test.accept_at if test.accept_at is not None else base.accept_at,
        answered=test.answered,
        wrong=test.wrong,
        needed=test.labels,
        teacher=test.teacher,
        fingerprint=test.fingerprint,
        at=test.at,
    )


def _uncertified(base: Certificate, test: _Test | None, now: str) -> Certificate:
    is_void = test is not None and test.accept_at is not None
    void = f"the bank or the model has changed since it was certified on {test.at[:10]}" if test and is_void else ""
    return replace(base, needed=_needed(base.level, test, is_void), fingerprint=now, void=void)
