"""The worker: the one process that holds the home's lease and runs its jobs, on one thread for each sort of work."""

from __future__ import annotations

import argparse
import logging
import logging.handlers
import os
import signal
import sqlite3
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kb import jobs
from surrogates import schema, settings
from surrogates.lease import LEASE, SORTS, drop_dead_lease, note_state
from surrogates.scheduling import Scheduler

if TYPE_CHECKING:
    from surrogates.runner import Runner

POLL_ACTIVE_S, POLL_IDLE_S, ACTIVE_FOR_S = 0.01, 0.1, 20.0
IDLE_SORT, IDLE_EVERY_S, IDLE_AFTER_FAILURE_S = "teaching", 1.0, 60
RENEW_S = jobs.LEASE_S / 4
LOG_BYTES, LOG_FILES = 2_000_000, 3

log = logging.getLogger("surrogates.worker")


class Worker:
    """Runs the jobs of a home while it holds the lease: `run` blocks until `stop` is called or the lease is lost.

    `sorts` limits it to some threads: a command that asks runs "questions" alone. A `lasting` worker loads encoder and model before the
    first question comes; one that serves a single command loads what that needs. `failed` is what ended one of its threads.
    """

    def __init__(self, home: Path, sorts: tuple[str, ...] = tuple(SORTS), *, lasting: bool = True) -> None:
        self.home = home
        self.sorts = sorts
        self.lasting = lasting
        self.owner = f"{'worker' if lasting else 'command'}:{os.getpid()}:{uuid.uuid4().hex}"
        self.failed: BaseException | None = None
        self._idle_again_at = 0.0
        self._stopping = threading.Event()
        self._holding = threading.Event()

    def run(self) -> None:
        """Wait for the lease, take up what a dead worker left, and work until stopped."""
        connection = schema.connect(self.home)
        try:
            if not self._take_lease(connection):
                return
            again = jobs.recover(connection)
            log.info("took the lease of %s; %d unfinished jobs are taken up again", self.home, again)
            self._work(connection)
        finally:
            jobs.release_lease(connection, LEASE, self.owner)
            connection.close()

    def stop(self) -> None:
        """Ask it to end: running jobs go back to the queue and are taken up by the next worker."""
        self._stopping.set()

    @property
    def is_stopping(self) -> bool:
        """Whether the running jobs should break off."""
        return self._stopping.is_set()

    @property
    def holds_lease(self) -> bool:
        """Whether it has taken the lease and works."""
        return self._holding.is_set()

    def _take_lease(self, connection: sqlite3.Connection) -> bool:
        while not jobs.hold_lease(connection, LEASE, self.owner):
            drop_dead_lease(connection)
            if self._stopping.wait(0.1):
                return False
        self._holding.set()
        return True

    def _work(self, connection: sqlite3.Connection) -> None:
        with Scheduler(settings.load(connection)) as scheduler:
            threads = [threading.Thread(target=self._serve, args=(sort, scheduler), name=sort) for sort in self.sorts]
            for thread in threads:
                thread.start()
            try:
                self._keep_lease(connection, scheduler)
            finally:
                self._stopping.set()
                for thread in threads:
                    thread.join()
                self._holding.clear()

    def _keep_lease(self, connection: sqlite3.Connection, scheduler: Scheduler) -> None:
        while not self._stopping.wait(RENEW_S):
            if not jobs.hold_lease(connection, LEASE, self.owner):
                log.error("the lease of %s was taken over; this worker ends", self.home)
                return
            scheduler.follow(settings.load(connection))
            scheduler.release_if_idle()

    def _serve(self, sort: str, scheduler: Scheduler) -> None:
        """One thread: its own library and connection, one job after the other."""
        try:
            from surrogates.runner import Runner

            with Runner(self.home, scheduler, lambda: self.is_stopping) as runner:
                if sort == "questions" and self.lasting:
                    self._warm_up(runner)
                self._run_jobs(runner, SORTS[sort])
        except BaseException as error:
            log.exception("the %s thread ended", sort)
            self.failed = error
            self._stopping.set()

    def _warm_up(self, runner: Runner) -> None:
        note_state(runner.library.connection, self.owner, "warming")
        problem = runner.warm_up()
        note_state(runner.library.connection, self.owner, "ready", problem)

    def _run_jobs(self, runner: Runner, kinds: tuple[str, ...]) -> None:
        from surrogates.tasks import TASKS

        seen, active_at, idles = -1, time.monotonic(), self.lasting and kinds == SORTS[IDLE_SORT]
        while not self._stopping.is_set():
            version = int(runner.library.connection.execute("PRAGMA data_version").fetchone()[0])
            if version != seen:
                seen = version
                while not self._stopping.is_set() and _is_waiting(runner.library.connection, kinds):
                    job = jobs.claim(runner.library.connection, kinds)
                    if job is not None:
                        runner.run(job, TASKS[job.kind])
                        active_at = time.monotonic()
            if not (idles and self._idle(runner)):
                self._stopping.wait(POLL_ACTIVE_S if time.monotonic() - active_at < ACTIVE_FOR_S else POLL_IDLE_S)

    def _idle(self, runner: Runner) -> bool:
        """Do a piece of what waits for idle time; False when nothing does, or when somebody works or just did.

        What goes wrong there is written to the log and left alone for a while: it must not end the worker.
        """
        from surrogates import idle

        connection = runner.library.connection
        if time.monotonic() < self._idle_again_at or jobs.listing(connection, open_only=True, limit=1):
            return False
        try:
            did = idle.work(runner.resources, lambda: self.is_stopping or bool(jobs.listing(connection, open_only=True, limit=1)))
        except Exception:
            log.exception("a piece of idle work failed; the next try is in %d s", IDLE_AFTER_FAILURE_S)
            self._idle_again_at = time.monotonic() + IDLE_AFTER_FAILURE_S
            return False
        self._idle_again_at = 0.0 if did else time.monotonic() + IDLE_EVERY_S
        return did


def _is_waiting(connection: sqlite3.Connection, kinds: tuple[str, ...]) -> bool:
    marks = ",".join("?" * len(kinds))
    return connection.execute(f"SELECT 1 FROM jobs WHERE state = 'queued' AND kind IN ({marks})", kinds).fetchone() is not None


def main(arguments: list[str] | None = None) -> int:
    """`python -m surrogates.worker --home H`: works until its standard input ends or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m surrogates.worker", description="Runs the jobs of a home.")
    parser.add_argument("--home", type=Path, required=True)
    home = parser.parse_args(arguments).home
    _log_to(home / "logs")
    worker = Worker(home)
    signal.signal(signal.SIGINT, lambda *_: worker.stop())
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    threading.Thread(target=_stop_with_input, args=(worker.stop,), daemon=True).start()
    try:
        worker.run()
    except Exception:
        log.exception("the worker ended")
        return 1
    return 1 if worker.failed else 0


def _log_to(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(
        folder / "worker.log", maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8", delay=True
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], format="%(asctime)s %(threadName)s %(levelname)s %(name)s %(message)s")


def _stop_with_input(stop: Callable[[], None]) -> None:
    """The parent holds our standard input open: its end is the parent's end."""
    while sys.stdin.buffer.read(4096):
        pass
    stop()


if __name__ == "__main__":
    raise SystemExit(main())
