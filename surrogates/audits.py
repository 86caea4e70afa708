"""Audits: instant answers that were given are held against their passages when nobody asks anything, and errors cost coverage.

All answers are audited until `FIRST` are, then a random share. The audit knows nothing of the bank's question: it checks that the
answer stands in its passages, and that it agrees with a second answer, which is made from the passages alone as written ones are. Some
right answers are blamed so; a person's verdict on the same answer overrules it. Whether a level errs more than its alpha is tested by
betting (a mixture of wealth processes, arXiv:2010.09686): the test may be looked at after every answer and is wrong with probability
`FALSE_ALARM` at most, as long as no more than `BLAMED` of the right answers are. A breach raises the confidence that the level asks for.
"""

from __future__ import annotations

import math
import random
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kb.database import transaction
from surrogates import bank, schema, settings
from surrogates.bank import Support
from surrogates.quantities import unsupported
from surrogates.quotes import Quote, rank_units
from surrogates.threshold import ALPHAS
from surrogates.wording import Rarity, content, words

if TYPE_CHECKING:
    from kb.library import Library
    from kb.records import Passage
    from surrogates.answer import Answer

FIRST = 150
SAMPLE = 0.2
"""Share of the answers that are audited after the first ones."""
FALSE_ALARM = 0.1
STAKES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""How hard is bet on errors, in units of (share - alpha); each as far as no round can lose everything."""
AGREES_AT_LEAST = 0.5
"""Share of the second answer's words, by rarity, that an instant answer has when it agrees."""
BLAMED = 0.06
"""Share of right answers that an audit may blame, allowed for on top of alpha; measured in docs/benchmarks/learning.md."""
SHOWN = 120  # characters of a second answer in the reason
READ = 5  # passages of the search that are weighed against the answer's own
NOTHING = 1.01
"""A confidence that no answer has."""


@dataclass(frozen=True)
class State:
    """The audits of a level since its last breach. `wealth` above 1 / `FALSE_ALARM` is a breach; `raised_to` what breaches ask for."""

    level: int
    waiting: int
    audited: int
    failed: int
    wealth: float
    raised_to: float | None

    def sentence(self) -> str:
        """The audits in words for a person."""
        found = f"{self.audited} instant answers of level {self.level} audited, {self.failed} of them not borne out by their passages"
        if self.raised_to is None:
            return found
        most = "no instant answer is sure enough" if self.raised_to > 1 else f"only answers of at least {self.raised_to:.2f} are given"
        return (
            f"Audits found more than {ALPHAS[self.level - 1]:.0%} of the instant answers of level {self.level} wrong: now {most}. {found}"
        )


def record(
    connection: sqlite3.Connection, job_id: int | None, question: str, given: Answer, collection_id: int | None, chance: float | None = None
) -> None:
    """Remember an instant answer of the bank; `chance` 0..1 decides whether it is drawn for the audit, random when None."""
    if given.answer_id is None or given.confidence is None:
        return
    level = settings.load(connection).level
    drawn = _count(connection, level) < FIRST or (random.SystemRandom().random() if chance is None else chance) < SAMPLE
    with transaction(connection):
        connection.execute(
            "INSERT OR IGNORE INTO served_answers(job_id, collection_id, question, answer_id, answer, confidence, level, is_drawn)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (job_id, collection_id, question, given.answer_id, given.text, given.confidence, level, int(drawn)),
        )


def audit_next(library: Library, rarity: Rarity) -> bool:
    """Audit the oldest drawn answer that waits, and act on a breach; False when none waits."""
    connection = schema.of(library)
    row = connection.execute(
        "SELECT s.*, c.name AS collection FROM served_answers s LEFT JOIN collections c ON c.id = s.collection_id"
        " WHERE audit IS NULL AND is_drawn ORDER BY s.id LIMIT 1"
    ).fetchone()
    if row is None:
        return False
    audit, why = _verdict(library, row, rarity)
    with transaction(connection):
        connection.execute(
            "UPDATE served_answers SET audit = ?, why = ?, audited_at = datetime('now') WHERE id = ?", (audit, why, row["id"])
        )
        _react(library, int(row["level"]))
    return True


def state(library: Library, level: int | None = None) -> State:
    """How the audits of a level stand, the user's own when None."""
    connection = schema.of(library)
    chosen = level or settings.load(connection).level
    outcomes = _outcomes(connection, chosen)
    waiting = connection.execute("SELECT count(*) FROM served_answers WHERE audit IS NULL AND is_drawn AND level = ?", (chosen,))
    return State(
        chosen,
        int(waiting.fetchone()[0]),
        len(outcomes),
        sum(outcomes),
        wealth(outcomes, tolerated(chosen)),
        raised_to(connection, chosen),
    )


def raised_to(connection: sqlite3.Connection, level: int) -> float | None:
    """The confidence that the level's breaches ask for; None while there is no breach, or it was lifted."""
    row = connection.execute("SELECT max(accept_at) FROM breaches WHERE level = ? AND lifted_at IS NULL", (level,)).fetchone()
    return None if row[0] is None else float(row[0])


def lift(library: Library, level: int, by: str) -> None:
    """Let a level answer as before its breaches, in the name of a person who has mended what was wrong; the count begins anew.

    Raises:
        ValueError: nobody signs, or there is no such level.
    """
    if not by.strip():
        raise ValueError("lifting a breach needs a name; say who lifts it")
    if not 1 <= level <= len(ALPHAS):
        raise ValueError(f"level is {level}, expected 1 to {len(ALPHAS)}")
    connection = schema.of(library)
    with transaction(connection):
        connection.execute(
            "UPDATE breaches SET lifted_by = ?, lifted_at = datetime('now'),"
            " last_served = (SELECT coalesce(max(id), 0) FROM served_answers) WHERE level = ? AND lifted_at IS NULL",
            (by.strip(), level),
        )


def wealth(failed: Sequence[bool], alpha: float) -> float:
    """What betting on "more than alpha fail" has made of 1; it reaches 1 / f with probability f at most if no more than alpha fail.

    >>> wealth([], 0.05)
    1.0
    """
    made = []
    for stake in STAKES:
        bet = min(stake / (1 - alpha), 0.5 / alpha)
        log = sum(math.log1p(bet * (outcome - alpha)) for outcome in failed)
        made.append(math.exp(min(log, 500.0)))
    return sum(made) / len(made)


def tolerated(level: int) -> float:
    """The share of failed audits that a level bears: its alpha, and what is blamed of the others."""
    return ALPHAS[level - 1] + (1 - ALPHAS[level - 1]) * BLAMED


def _verdict(library: Library, row: sqlite3.Row, rarity: Rarity) -> tuple[str, str]:
    """ "held", "failed" or "gone", and why."""
    judged = library.connection.execute(
        "SELECT j.verdict, j.judged_by FROM judgements j JOIN sampled_questions q ON q.id = j.question_id"
        " WHERE q.job_id = ? AND j.answer = ? AND j.provenance = 'human' ORDER BY j.id DESC LIMIT 1",
        (row["job_id"], row["answer"]),
    ).fetchone()
    if judged is not None:
        return ("held" if judged["verdict"] == "right" else "failed"), f"judged {judged['verdict']} by {judged['judged_by'] or 'a person'}"
    if not bank.is_current(library.connection, row["answer_id"]):
        return "gone", "the answer is no longer in the bank"
    held = bank.answer(library.connection, row["answer_id"])
    own = [library.passage(support.passage_id) for support in held.support]
    if not stands_in(row["answer"], row["question"], own, held.source):
        return "failed", "its passages do not say it"
    second = second_answer(library, row["question"], own, row["collection"], rarity)
    if second is None or agrees(row["answer"], held.support, second, rarity):
        return "held", ""
    return "failed", f"{second.passage.document} answers it with: {second.text[:SHOWN]}"


def stands_in(answer: str, question: str, passages: Sequence[Passage], source: str) -> bool:
    """Whether passages say what an answer says: numbers, units and codes, and of a row put into words every word."""
    shown = "\n".join(f"{' '.join(passage.heading)}\n{passage.text}" for passage in passages)
    if source == "structure":
        return set(words(answer)) <= set(words(shown))
    return not unsupported(answer, f"{shown}\n{question}")


def second_answer(library: Library, question: str, own: Sequence[Passage], collection: str | None, rarity: Rarity) -> Quote | None:
    """What the passages answer by themselves: the best of all sentences, ranked as for a written answer; None where there is none."""
    found = {hit.passage.id: hit.passage for hit in library.search(question, collection)[:READ]}
    passages = list({**found, **{passage.id: passage for passage in own}}.values())
    return next(iter(rank_units(question, passages, rarity, library.encoder)), None)


def agrees(answer: str, support: Sequence[Support], second: Quote | None, rarity: Rarity) -> bool:
    """Whether an answer says what the second one says: it was cut from the same place, or has at least half of its words."""
    if second is None:
        return True
    for source in support:
        if source.passage_id == second.passage.id and (second.text in source.quote or source.quote in second.text):
            return True
    return rarity.share(content(second.text), content(answer)) >= AGREES_AT_LEAST


def _react(library: Library, level: int) -> None:
    """Raise the level's confidence if its audits speak against it."""
    from surrogates import threshold

    connection = library.connection
    outcomes = _outcomes(connection, level)
    if wealth(outcomes, tolerated(level)) < 1 / FALSE_ALARM:
        return
    now = threshold.accept_at(library, level)
    above = [threshold.accept_at(library, other) for other in range(level + 1, len(ALPHAS) + 1)]
    raised = next((accept for accept in above if accept > now), (now + 1) / 2 if now < 0.98 else NOTHING)
    connection.execute(
        "INSERT INTO breaches(level, accept_at, audited, failed, last_served)"
        " VALUES (?, ?, ?, ?, (SELECT max(id) FROM served_answers WHERE level = ? AND audit IS NOT NULL))",
        (level, raised, len(outcomes), sum(outcomes), level),
    )


def _outcomes(connection: sqlite3.Connection, level: int) -> list[bool]:
    """Whether each audited answer of the level failed, oldest first, since the last breach."""
    rows = connection.execute(
        "SELECT audit = 'failed' FROM served_answers WHERE level = ? AND audit IN ('held', 'failed')"
        " AND id > (SELECT coalesce(max(last_served), 0) FROM breaches WHERE level = ?) ORDER BY id",
        (level, level),
    )
    return [bool(row[0]) for row in rows]


def _count(connection: sqlite3.Connection, level: int) -> int:
    row = connection.execute(
        "SELECT count(*) FROM served_answers WHERE level = ? AND is_drawn AND audit IS NOT 'gone'", (level,)
    ).fetchone()
    return int(row[0])
