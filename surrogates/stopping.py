"""Noticing that a running job should stop, for whichever thread asks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from kb import database, jobs

CHECK_EVERY_S = 0.05


@contextmanager
def stop_signal(home: Path, job_id: int, is_ending: Callable[[], bool]) -> Iterator[Callable[[], bool]]:
    """A cheap, thread-safe question for the length of one job: has the user cancelled it, or does the worker end?

    A thread with a connection of its own looks every 50 ms, so that neither the engine's thread nor a reader touches the database.
    """
    stop, over = threading.Event(), threading.Event()
    watch = threading.Thread(target=_watch, args=(home, job_id, is_ending, stop, over), name=f"stop-{job_id}", daemon=True)
    watch.start()
    try:
        yield stop.is_set
    finally:
        over.set()
        watch.join()


def _watch(home: Path, job_id: int, is_ending: Callable[[], bool], stop: threading.Event, over: threading.Event) -> None:
    if over.wait(CHECK_EVERY_S):
        return
    with closing(database.connect(home)) as connection:
        while not over.is_set():
            if is_ending() or jobs.is_cancel_requested(connection, job_id):
                stop.set()
                return
            over.wait(CHECK_EVERY_S)
