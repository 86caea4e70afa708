"""Who may run a home's jobs: the one process that holds the lease, and what it tells of itself."""

from __future__ import annotations

import sqlite3

from kb import database, jobs

LEASE = "worker"
STATE_KEY = "surrogates.worker"
SORTS: dict[str, tuple[str, ...]] = {
    "questions": ("ask",),
    "library": ("ingest", "remove", "pack", "download"),
    "teaching": ("teach", "train", "evaluate"),
}
"""The sorts of work, each on a thread of its own, and their kinds of jobs."""


def note_state(connection: sqlite3.Connection, owner: str, stage: str, problem: str = "") -> None:
    """Tell the pages how far the worker is: "warming" or "ready", and what keeps the model from starting."""
    database.set_setting(connection, STATE_KEY, {"owner": owner, "stage": stage, "problem": problem})


def drop_dead_lease(connection: sqlite3.Connection) -> bool:
    """Free a lease whose process has ended without giving it back; returns whether nobody living holds it."""
    owner = jobs.lease_holder(connection, LEASE)
    if owner is None:
        return True
    if is_running(int(owner.split(":")[1])):
        return False
    jobs.release_lease(connection, LEASE, owner)
    return True


def is_running(process_id: int) -> bool:
    """Whether a process lives; one that has ended and only waits to be noticed by its parent does not."""
    import psutil

    try:
        return bool(psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
