"""What each kind of job does, and how a job ends: done, stopped by the user, failed, or given back by a worker that has to end."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from kb import jobs
from kb.database import transaction
from kb.library import Library
from surrogates import chat, router
from surrogates.scheduling import Scheduler
from surrogates.surrogate import Surrogate

DEFAULT_COLLECTION = "General"
TEXT_EVERY_S = 0.05
CANCEL_EVERY_S = 0.05

log = logging.getLogger("surrogates.tasks")


class Stopped(Exception):
    """The job was asked to stop and has nothing worth keeping."""


@dataclass(frozen=True)
class Outcome:
    """What a task gives back: JSON for the job's row, and whether it broke off because it was asked to."""

    result: Any
    stopped: bool = False


class Runner:
    """Runs the jobs of one thread, with a library of its own and the worker's shared engine."""

    def __init__(self, home: Path, scheduler: Scheduler, is_stopping: Callable[[], bool]) -> None:
        self.home = home
        self.library = Library(home)
        self.scheduler = scheduler
        self.is_stopping = is_stopping
        self.resources = router.Resources(self.library, Surrogate(self.library), scheduler)

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.library.close()

    def warm_up(self) -> str:
        """Load encoder and model ahead of the first question; returns what keeps the model from starting, "" when nothing does."""
        self.library.encoder.encode(["warm up"])
        try:
            self.scheduler.warm_up()
        except Exception as error:
            log.warning("the model does not start: %s", error)
            return str(error)
        return ""

    def run(self, job: jobs.Job) -> None:
        """Run one claimed job and write how it ended."""
        connection = self.library.connection
        log.info("job %d (%s) starts, attempt %d", job.id, job.kind, job.attempts)
        try:
            outcome = TASKS[job.kind](self, job)
            if outcome.stopped and self._has_to_end(job):
                give_back(connection, job.id)
            elif outcome.stopped:
                jobs.cancelled(connection, job.id, outcome.result)
            else:
                jobs.finish(connection, job.id, outcome.result)
        except jobs.JobLost:
            log.warning("job %d is not ours any more", job.id)
        except Stopped:
            give_back(connection, job.id) if self._has_to_end(job) else jobs.cancelled(connection, job.id)
        except Exception as error:
            log.exception("job %d (%s) failed", job.id, job.kind)
            jobs.fail(connection, job.id, str(error) or type(error).__name__)
        log.info("job %d ended", job.id)

    def stopper(self, job: jobs.Job) -> Callable[[], bool]:
        """Asks, at most every 50 ms, whether the user or the end of the worker wants the job to stop."""
        asked_at, stop = 0.0, False

        def should_stop() -> bool:
            nonlocal asked_at, stop
            now = time.monotonic()
            if not stop and now - asked_at >= CANCEL_EVERY_S:
                asked_at = now
                stop = self.is_stopping() or jobs.is_cancel_requested(self.library.connection, job.id)
            return stop

        return should_stop

    def writer(self, job: jobs.Job) -> Callable[[str], None]:
        """Writes an answer's text to the job's row as it grows, at most every 50 ms."""
        written_at = 0.0

        def write(text: str) -> None:
            nonlocal written_at
            now = time.monotonic()
            if now - written_at >= TEXT_EVERY_S:
                written_at = now
                jobs.report(self.library.connection, job.id, text=text)

        return write

    def collection(self, job: jobs.Job) -> str | None:
        """The name of the job's collection; None for the whole library."""
        row = self.library.connection.execute("SELECT name FROM collections WHERE id = ?", (job.collection_id,)).fetchone()
        return None if row is None else str(row[0])

    def _has_to_end(self, job: jobs.Job) -> bool:
        return self.is_stopping() and not jobs.is_cancel_requested(self.library.connection, job.id)


def give_back(connection: sqlite3.Connection, job_id: int) -> None:
    """Queue a running job again, without counting the attempt: its worker ends in good order."""
    with transaction(connection):
        connection.execute(
            "UPDATE jobs SET state = 'queued', attempts = max(attempts - 1, 0), text = '' WHERE id = ? AND state = 'running'", (job_id,)
        )


def _ask(runner: Runner, job: jobs.Job) -> Outcome:
    chat_id = job.payload.get("chat_id")
    connection = runner.library.connection
    should_stop = runner.stopper(job)
    answer = router.answer(
        job.payload["question"],
        runner.resources,
        collection=runner.collection(job),
        route=job.payload.get("route", "auto"),
        previous=None if chat_id is None else chat.previous_question(connection, chat_id, job.id),
        on_stage=lambda stage: _stage(runner, job, stage),
        on_text=runner.writer(job),
        should_stop=should_stop,
    )
    return Outcome(answer.to_json(), stopped=router.STOPPED in answer.notes)


def _remove(runner: Runner, job: jobs.Job) -> Outcome:
    return Outcome(asdict(runner.library.remove(int(job.payload["document_id"]))))


def _stage(runner: Runner, job: jobs.Job, stage: str, progress: float | None = None) -> None:
    jobs.report(runner.library.connection, job.id, stage=stage, progress=progress)


TASKS: dict[str, Callable[[Runner, jobs.Job], Outcome]] = {
    "ask": _ask,
    "remove": _remove,
}
