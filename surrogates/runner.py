"""How a job is run and how it ends: done, stopped by the user, failed, or given back by a worker that has to end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from kb import jobs
from kb.library import Library
from surrogates import router
from surrogates.scheduling import Scheduler
from surrogates.stopping import stop_signal
from surrogates.surrogate import Surrogate

TEXT_EVERY_S = 0.05

log = logging.getLogger("surrogates.runner")


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
        self.scheduler = scheduler
        self.is_stopping = is_stopping
        self.open()

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.library.close()

    def open(self) -> None:
        """Open the library; also after a task that was broken off inside it, so that no half-read file is left in its reader."""
        self.library = Library(self.home)
        self.resources = router.Resources(self.library, Surrogate(self.library), self.scheduler)

    def warm_up(self) -> str:
        """Load encoder and model ahead of the first question; returns what keeps them from starting, "" when nothing does."""
        try:
            self.library.encoder.encode(["warm up"])
            self.scheduler.warm_up()
        except Exception as error:
            log.warning("encoder or model do not start: %s", error)
            return str(error)
        return ""

    def run(self, job: jobs.Job, task: Task) -> None:
        """Run one claimed job and write how it ended."""
        log.info("job %d (%s) starts, attempt %d", job.id, job.kind, job.attempts)
        try:
            with stop_signal(self.home, job.id, self.is_stopping) as should_stop:
                outcome = task(self, job, should_stop)
            if outcome.stopped:
                self._end_stopped(job, outcome.result)
            else:
                jobs.finish(self.library.connection, job.id, outcome.result)
        except jobs.JobLost:
            log.warning("job %d is not ours any more", job.id)
        except Stopped:
            self._end_stopped(job)
        except Exception as error:
            log.exception("job %d (%s) failed", job.id, job.kind)
            jobs.fail(self.library.connection, job.id, str(error) or type(error).__name__)
        log.info("job %d ended", job.id)

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

    def report(self, job: jobs.Job, stage: str, progress: float | None = None) -> None:
        """Write what the job is doing and how far it is, 0..1."""
        jobs.report(self.library.connection, job.id, stage=stage, progress=None if progress is None else min(max(progress, 0.0), 1.0))

    def _end_stopped(self, job: jobs.Job, result: Any = None) -> None:
        """Back to the queue when the worker ends, else cancelled as the user wished."""
        if self.is_stopping() and not jobs.is_cancel_requested(self.library.connection, job.id):
            jobs.give_back(self.library.connection, job.id)
        else:
            jobs.cancelled(self.library.connection, job.id, result)


Task = Callable[[Runner, jobs.Job, Callable[[], bool]], Outcome]
