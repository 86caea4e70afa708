"""The queue's laws: a job is run by one, ends once, is taken up again after a death, and a lease has one holder."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from kb import database, jobs, schema


@pytest.fixture
def connection(home: Path) -> Iterator[sqlite3.Connection]:
    opened = database.connect(home)
    database.migrate(opened, "library", schema.MIGRATIONS)
    yield opened
    opened.close()


def test_jobs_are_claimed_once_and_oldest_first(connection: sqlite3.Connection) -> None:
    first, second = (jobs.enqueue(connection, "ask", {"question": name}) for name in ("a", "b"))
    claimed = [jobs.claim(connection, ["ask"]) for _ in range(3)]
    assert [job and job.id for job in claimed] == [first, second, None]


def test_a_kind_is_not_claimed_by_those_who_did_not_name_it(connection: sqlite3.Connection) -> None:
    jobs.enqueue(connection, "teach", {})
    assert jobs.claim(connection, ["ask", "ingest"]) is None


def test_a_report_is_seen_by_whoever_follows(connection: sqlite3.Connection, home: Path) -> None:
    job = _running(connection)
    jobs.report(connection, job, progress=0.25, stage="reading", text="so far")
    other = database.connect(home)
    seen = jobs.get(other, job)
    other.close()
    assert (seen.progress, seen.stage, seen.text) == (0.25, "reading", "so far")


def test_a_job_ends_once(connection: sqlite3.Connection) -> None:
    job = _running(connection)
    jobs.finish(connection, job, {"answer": 42})
    with pytest.raises(jobs.JobLost):
        jobs.fail(connection, job, "too late")
    assert jobs.get(connection, job).result == {"answer": 42}


def test_a_queued_job_that_is_stopped_never_runs(connection: sqlite3.Connection) -> None:
    job = jobs.enqueue(connection, "ask", {})
    jobs.request_cancel(connection, job)
    assert jobs.get(connection, job).state == "cancelled"
    assert jobs.claim(connection, ["ask"]) is None


def test_a_running_job_learns_that_it_should_stop(connection: sqlite3.Connection) -> None:
    job = _running(connection)
    assert not jobs.is_cancel_requested(connection, job)
    jobs.request_cancel(connection, job)
    assert jobs.is_cancel_requested(connection, job)
    assert jobs.report(connection, job, stage="one more step")


def test_what_a_dead_worker_left_is_run_again_but_not_for_ever(connection: sqlite3.Connection) -> None:
    job = jobs.enqueue(connection, "ingest", {})
    for _ in range(jobs.MAX_ATTEMPTS):
        assert jobs.claim(connection, ["ingest"])
        jobs.recover(connection)
    ended = jobs.get(connection, job)
    assert ended.state == "failed"
    assert ended.error and "log" in ended.error


def test_a_job_that_was_being_stopped_stays_stopped_after_a_death(connection: sqlite3.Connection) -> None:
    job = _running(connection)
    jobs.request_cancel(connection, job)
    jobs.recover(connection)
    assert jobs.get(connection, job).state == "cancelled"


def test_ids_are_never_used_twice(connection: sqlite3.Connection) -> None:
    first = jobs.enqueue(connection, "ask", {})
    connection.execute("DELETE FROM jobs")
    assert jobs.enqueue(connection, "ask", {}) > first


def test_a_lease_has_one_holder_until_it_runs_out(connection: sqlite3.Connection) -> None:
    assert jobs.hold_lease(connection, "worker", "one")
    assert jobs.hold_lease(connection, "worker", "one")
    assert not jobs.hold_lease(connection, "worker", "two")
    jobs.hold_lease(connection, "worker", "one", duration_s=-1.0)
    assert jobs.lease_holder(connection, "worker") is None
    assert jobs.hold_lease(connection, "worker", "two")
    jobs.release_lease(connection, "worker", "one")
    assert jobs.lease_holder(connection, "worker") == "two"


def _running(connection: sqlite3.Connection) -> int:
    job = jobs.enqueue(connection, "ask", {})
    assert jobs.claim(connection, ["ask"])
    return job
