"""What the worker does when nobody asks anything, in small pieces: rechecks, what is learned back from answers, candidates, audits."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING

from kb import jobs
from kb.database import set_setting, setting
from surrogates import audits, chat, freshness, interaction, proposals, router, sampling
from surrogates.answer import Answer
from surrogates.question import with_topic

if TYPE_CHECKING:
    from surrogates.router import Resources

log = logging.getLogger(__name__)

CANDIDATES_AT_ONCE = 4
READ_AT_ONCE = 4
REASON_CHARACTERS = 100
TRIES = 3
"""Times that taking in an answer may fail before it is left out, with the reason counted."""
FAILED_KEY = "surrogates.idle.failed"
ANSWERED_KEY = "surrogates.idle.answered"
RECHECKED_KEY = "surrogates.idle.rechecked"


def work(resources: Resources, should_stop: Callable[[], bool]) -> bool:
    """Do one piece of what waits, well under a second as a rule; False when nothing does."""
    return (
        recheck(resources, should_stop)
        or read_on(resources, should_stop)
        or learn_back(resources)
        or sampling.prepare(resources.surrogate, CANDIDATES_AT_ONCE, should_stop) > 0
        or audits.audit_next(resources.library, resources.rarity())
    )


def recheck(resources: Resources, should_stop: Callable[[], bool]) -> bool:
    """Look at suspended answers again once for each change of the library; broken off, it starts again later."""
    library = resources.library
    newest = int(library.connection.execute("SELECT coalesce(max(seq), 0) FROM changes").fetchone()[0])
    if setting(library.connection, RECHECKED_KEY, 0) >= newest:
        return False
    resources.surrogate.follow()
    freshness.recheck(library, should_stop)
    if not should_stop():
        set_setting(library.connection, RECHECKED_KEY, newest)
    return True


def read_on(resources: Resources, should_stop: Callable[[], bool]) -> bool:
    """Read a few passages that were not read yet, so that answers are found in them at once."""
    return interaction.read(resources.library, should_stop=should_stop, at_most=READ_AT_ONCE) > 0


def learn_back(resources: Resources) -> bool:
    """Take in the oldest answer not seen yet: a written one may become a proposal, an instant one is remembered for the audit.

    What goes wrong is raised, and tried again later; an answer that fails `TRIES` times is left out for good.
    """
    connection = resources.library.connection
    row = connection.execute(
        "SELECT id FROM jobs WHERE kind = 'ask' AND state = 'done' AND id > ? ORDER BY id LIMIT 1", (setting(connection, ANSWERED_KEY, 0),)
    ).fetchone()
    if row is None:
        return False
    job = jobs.get(connection, row[0])
    try:
        _take_in(resources, job)
    except Exception as error:
        if _tries(connection, job.id) < TRIES:
            raise
        log.exception("answer %d is not learned from: it failed %d times", job.id, TRIES)
        proposals.count_drop(resources.library, f"failed: {type(error).__name__}: {error}"[:REASON_CHARACTERS])
    set_setting(connection, ANSWERED_KEY, job.id)
    return True


def _tries(connection: sqlite3.Connection, job_id: int) -> int:
    """How often the job has failed, this time included; kept, so that a restart does not begin to count again."""
    last, tries = setting(connection, FAILED_KEY, [0, 0])
    tries = tries + 1 if last == job_id else 1
    set_setting(connection, FAILED_KEY, [job_id, tries])
    return int(tries)


def _take_in(resources: Resources, job: jobs.Job) -> None:
    connection = resources.library.connection
    given = Answer.from_json(job.result)
    chat_id = job.payload.get("chat_id")
    question = with_topic(job.payload["question"], None if chat_id is None else chat.previous_question(connection, chat_id, job.id))
    if given.route == "engine" and router.STOPPED not in given.notes:
        proposals.propose(resources.library, question, given, resources.rarity())
    elif given.route == "surrogate":
        audits.record(connection, job.id, question, given, job.collection_id)
