"""The job queue in SQLite: rows that pages and commands write and the worker with the lease runs."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kb.database import transaction

LEASE_S = 10.0
MAX_ATTEMPTS = 3


class JobLost(Exception):
    """The job is no longer ours to write to: another worker took the lease, or it was ended from outside."""


@dataclass(frozen=True)
class Job:
    """A row of the queue as it was when read. `progress` is 0..1; `result` is None until the job is done."""

    id: int
    kind: str
    collection_id: int | None
    payload: dict[str, Any]
    state: str
    progress: float
    stage: str
    text: str
    result: Any
    error: str | None
    cancel_requested: bool
    attempts: int
    created_at: float
    started_at: float | None
    finished_at: float | None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to this job."""
        return self.state in ("done", "failed", "cancelled")


def enqueue(connection: sqlite3.Connection, kind: str, payload: dict[str, Any], collection_id: int | None = None) -> int:
    """Add a job and return its id."""
    with transaction(connection):
        cursor = connection.execute(
            "INSERT INTO jobs(kind, collection_id, payload, created_at) VALUES (?, ?, ?, ?)",
            (kind, collection_id, json.dumps(payload), time.time()),
        )
    return int(cursor.lastrowid or 0)


def get(connection: sqlite3.Connection, job_id: int) -> Job:
    """Read one job.

    Raises:
        KeyError: there is no such job.
    """
    row = connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        raise KeyError(f"there is no job {job_id}")
    return _job(row)


def listing(connection: sqlite3.Connection, kinds: Sequence[str] = (), open_only: bool = False, limit: int = 100) -> list[Job]:
    """The newest jobs first, of `kinds` (empty: every kind)."""
    wanted = f" AND kind IN ({','.join('?' * len(kinds))})" if kinds else ""
    unfinished = " AND state IN ('queued', 'running')" if open_only else ""
    rows = connection.execute(f"SELECT * FROM jobs WHERE 1{wanted}{unfinished} ORDER BY id DESC LIMIT ?", (*kinds, limit))
    return [_job(row) for row in rows]


def claim(connection: sqlite3.Connection, kinds: Sequence[str]) -> Job | None:
    """Take the oldest queued job of `kinds` and mark it running; None when there is none. Only for the lease's holder."""
    marks = ",".join("?" * len(kinds))
    with transaction(connection):
        rows = connection.execute(
            f"UPDATE jobs SET state = 'running', attempts = attempts + 1, started_at = ? WHERE id ="
            f" (SELECT id FROM jobs WHERE state = 'queued' AND kind IN ({marks}) ORDER BY id LIMIT 1) RETURNING *",
            (time.time(), *kinds),
        ).fetchall()
    return _job(rows[0]) if rows else None


def report(
    connection: sqlite3.Connection, job_id: int, *, progress: float | None = None, stage: str | None = None, text: str | None = None
) -> bool:
    """Write how far a running job is; returns whether the user asked to stop it.

    Raises:
        JobLost: the job is not running any more.
    """
    with transaction(connection):
        rows = connection.execute(
            "UPDATE jobs SET progress = coalesce(?, progress), stage = coalesce(?, stage), text = coalesce(?, text)"
            " WHERE id = ? AND state = 'running' RETURNING cancel_requested",
            (progress, stage, text, job_id),
        ).fetchall()
    if not rows:
        raise JobLost(f"job {job_id} is not running any more")
    return bool(rows[0][0])


def is_cancel_requested(connection: sqlite3.Connection, job_id: int) -> bool:
    """Whether the user asked to stop the job; cheap enough to ask between tokens."""
    row = connection.execute("SELECT cancel_requested FROM jobs WHERE id = ?", (job_id,)).fetchone()
    return row is None or bool(row[0])


def finish(connection: sqlite3.Connection, job_id: int, result: Any) -> None:
    """End a running job well. `result` must be JSON."""
    _end(connection, job_id, "done", result=json.dumps(result), progress=1.0)


def fail(connection: sqlite3.Connection, job_id: int, error: str) -> None:
    """End a running job with the sentence that the user will read."""
    _end(connection, job_id, "failed", error=error)


def cancelled(connection: sqlite3.Connection, job_id: int, result: Any = None) -> None:
    """End a running job that was stopped; `result` keeps what it had done by then."""
    _end(connection, job_id, "cancelled", result=None if result is None else json.dumps(result))


def give_back(connection: sqlite3.Connection, job_id: int) -> None:
    """Queue a running job again, without counting the attempt: its worker ends in good order."""
    with transaction(connection):
        connection.execute(
            "UPDATE jobs SET state = 'queued', attempts = max(attempts - 1, 0), text = '' WHERE id = ? AND state = 'running'", (job_id,)
        )


def request_cancel(connection: sqlite3.Connection, job_id: int) -> None:
    """Ask a job to stop: a queued one ends at once, a running one at its next step."""
    with transaction(connection):
        connection.execute("UPDATE jobs SET cancel_requested = 1 WHERE id = ? AND state IN ('queued', 'running')", (job_id,))
        connection.execute("UPDATE jobs SET state = 'cancelled', finished_at = ? WHERE id = ? AND state = 'queued'", (time.time(), job_id))


def recover(connection: sqlite3.Connection) -> int:
    """Queue again what a dead worker left running, as often as `MAX_ATTEMPTS`; returns how many. Call on taking the lease."""
    with transaction(connection):
        connection.execute(
            "UPDATE jobs SET state = 'cancelled', finished_at = ? WHERE state = 'running' AND cancel_requested = 1", (time.time(),)
        )
        connection.execute(
            "UPDATE jobs SET state = 'failed', finished_at = ?, error = 'the program ended three times at this job; see the log folder'"
            " WHERE state = 'running' AND attempts >= ?",
            (time.time(), MAX_ATTEMPTS),
        )
        cursor = connection.execute("UPDATE jobs SET state = 'queued' WHERE state = 'running'")
    return cursor.rowcount


def hold_lease(connection: sqlite3.Connection, name: str, owner: str, duration_s: float = LEASE_S) -> bool:
    """Take or renew the lease `name` for `owner`; False while another holds it."""
    now = time.time()
    with transaction(connection):
        cursor = connection.execute(
            "INSERT INTO leases(name, owner, expires_at) VALUES (?, ?, ?) ON CONFLICT(name) DO UPDATE SET"
            " owner = excluded.owner, expires_at = excluded.expires_at WHERE leases.owner = excluded.owner OR leases.expires_at < ?",
            (name, owner, now + duration_s, now),
        )
    return cursor.rowcount == 1


def release_lease(connection: sqlite3.Connection, name: str, owner: str) -> None:
    """Give the lease back, if it is still ours."""
    with transaction(connection):
        connection.execute("DELETE FROM leases WHERE name = ? AND owner = ?", (name, owner))


def lease_holder(connection: sqlite3.Connection, name: str) -> str | None:
    """Who holds the lease now; None when nobody does."""
    row = connection.execute("SELECT owner FROM leases WHERE name = ? AND expires_at >= ?", (name, time.time())).fetchone()
    return None if row is None else str(row[0])


def _end(
    connection: sqlite3.Connection,
    job_id: int,
    state: str,
    *,
    result: str | None = None,
    error: str | None = None,
    progress: float | None = None,
) -> None:
    with transaction(connection):
        cursor = connection.execute(
            "UPDATE jobs SET state = ?, result = ?, error = ?, progress = coalesce(?, progress), finished_at = ?"
            " WHERE id = ? AND state = 'running'",
            (state, result, error, progress, time.time(), job_id),
        )
    if cursor.rowcount == 0:
        raise JobLost(f"job {job_id} is not running any more")


def _job(row: sqlite3.Row) -> Job:
    values = dict(row)
    values["payload"] = json.loads(values["payload"])
    values["result"] = None if values["result"] is None else json.loads(values["result"])
    values["cancel_requested"] = bool(values["cancel_requested"])
    return Job(**values)
