"""What the worker does when nobody asks anything, in small pieces: rechecks, what is learned back from answers, candidates, audits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kb import jobs
from kb.database import set_setting, setting
from surrogates import audits, chat, freshness, proposals, router, sampling
from surrogates.answer import Answer
from surrogates.question import with_topic

if TYPE_CHECKING:
    from surrogates.router import Resources

CANDIDATES_AT_ONCE = 4
ANSWERED_KEY = "surrogates.idle.answered"
RECHECKED_KEY = "surrogates.idle.rechecked"


def work(resources: Resources, should_stop: Callable[[], bool]) -> bool:
    """Do one piece of what waits, well under a second as a rule; False when nothing does."""
    return (
        recheck(resources, should_stop)
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


def learn_back(resources: Resources) -> bool:
    """Take in the oldest answer not seen yet: a written one may become a proposal, an instant one is remembered for the audit."""
    connection = resources.library.connection
    row = connection.execute(
        "SELECT id FROM jobs WHERE kind = 'ask' AND state = 'done' AND id > ? ORDER BY id LIMIT 1", (setting(connection, ANSWERED_KEY, 0),)
    ).fetchone()
    if row is None:
        return False
    job = jobs.get(connection, row[0])
    given = Answer.from_json(job.result)
    chat_id = job.payload.get("chat_id")
    question = with_topic(job.payload["question"], None if chat_id is None else chat.previous_question(connection, chat_id, job.id))
    if given.route == "engine" and router.STOPPED not in given.notes:
        proposals.propose(resources.library, question, given, resources.rarity())
    elif given.route == "surrogate":
        audits.record(connection, job.id, question, given, job.collection_id)
    set_setting(connection, ANSWERED_KEY, job.id)
    return True
