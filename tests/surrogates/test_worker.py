"""The worker: the lease, jobs that are left behind, and its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from kb import jobs
from kb.library import Library
from surrogates import schema, service, settings
from surrogates.answer import Answer, Timings
from surrogates.lease import LEASE, drop_dead_lease
from surrogates.quotes import Quote
from surrogates.settings import Settings
from surrogates.worker import Worker

ROOT = Path(__file__).resolve().parents[2]


def eventually(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


def started(worker: Worker) -> threading.Thread:
    thread = threading.Thread(target=worker.run)
    thread.start()
    return thread


def test_a_second_worker_waits_for_the_lease_and_takes_it_when_the_first_ends(home: Path) -> None:
    first, second = Worker(home, ("library",), lasting=False), Worker(home, ("library",), lasting=False)
    threads = [started(first)]
    eventually(lambda: first.holds_lease)
    threads.append(started(second))
    time.sleep(0.3)
    assert not second.holds_lease
    first.stop()
    eventually(lambda: second.holds_lease)
    second.stop()
    for thread in threads:
        thread.join()
    with closing(schema.connect(home)) as connection:
        assert jobs.lease_holder(connection, LEASE) is None


def test_what_a_dead_worker_left_running_is_run_again(home: Path) -> None:
    with closing(schema.connect(home)) as connection:
        job_id = service.submit(home, "What is the torque?")
        assert jobs.claim(connection, ["ask"]) is not None
        with service.working(home, ("questions",)) as check:
            job = service.wait(home, job_id, check=check)
    assert (job.state, job.attempts) == ("done", 2)


def test_the_lease_of_a_process_that_has_ended_is_free(home: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with closing(schema.connect(home)) as connection:
        jobs.hold_lease(connection, LEASE, f"worker:{ended.pid}:x")
        assert drop_dead_lease(connection)
        jobs.hold_lease(connection, LEASE, f"worker:{os.getpid()}:x")
        assert not drop_dead_lease(connection)


def test_a_job_that_fails_says_so_and_the_next_one_runs(home: Path) -> None:
    with closing(schema.connect(home)) as connection:
        bad = jobs.enqueue(connection, "remove", {"document_id": 99})
        missing = jobs.enqueue(connection, "ingest", {"path": str(home / "none.md"), "name": "none.md", "delete_after": True})
    with service.working(home, ("library",)) as check:
        failed, refused = service.wait(home, bad, check=check), service.wait(home, missing, check=check)
    assert failed.state == "failed"
    assert "99" in (failed.error or "")
    assert refused.state == "done"
    assert refused.result["status"] == "refused"


@pytest.mark.models
def test_an_upload_is_taken_in_and_its_copy_deleted(home: Path, default_encoder: Path, tmp_path: Path) -> None:
    upload = tmp_path / "upload.bin.md"
    upload.write_text("# Pump\n\nTighten the flange bolts to 85 Nm.\n", encoding="utf-8")
    with closing(schema.connect(home)) as connection:
        job_id = jobs.enqueue(connection, "ingest", {"path": str(upload), "name": "pump.md", "delete_after": True})
    with service.working(home, ("library",)) as check:
        job = service.wait(home, job_id, check=check)
    assert (job.state, job.result["status"], upload.exists()) == ("done", "indexed", False)


@pytest.mark.models
def test_a_worker_killed_in_mid_answer_is_replaced_and_the_answer_is_written_after_all(
    home: Path, default_encoder: Path, default_pack: Path, tmp_path: Path
) -> None:
    file = tmp_path / "pump.md"
    file.write_text("# Pump\n\n## Torque\n\nTighten the flange bolts of the pump to 85 Nm in a cross pattern.\n", encoding="utf-8")
    with Library(home) as library:
        library.add(file)
    service.ensure_worker(home)
    with closing(schema.connect(home)) as connection:
        eventually(lambda: service.worker_state(connection).stage == "ready", 120)
        job_id = service.submit(home, "How tight are the flange bolts of the pump?", route="engine")
        eventually(lambda: jobs.get(connection, job_id).state != "queued")
        owner = jobs.lease_holder(connection, LEASE) or ""
        psutil.Process(int(owner.split(":")[1])).kill()
        eventually(lambda: drop_dead_lease(connection))
        assert jobs.get(connection, job_id).state == "running"
        service.ensure_worker(home)
        job = service.wait(home, job_id)
        service.stop(home)
    assert (job.state, job.attempts) == ("done", 2)
    assert "85 Nm" in job.result["answer"]


@pytest.mark.models
def test_the_worker_process_answers_and_ends_when_its_input_ends(home: Path, default_encoder: Path) -> None:
    service.ensure_worker(home)
    service.ensure_worker(home)
    with closing(schema.connect(home)) as connection:
        eventually(lambda: service.worker_state(connection).stage == "ready", 120)
        owner = jobs.lease_holder(connection, LEASE)
        job = service.wait(home, service.submit(home, "What is the torque?"))
        assert job.state == "done"
        service.stop(home)
        assert owner is not None
        assert jobs.lease_holder(connection, LEASE) is None


@pytest.mark.models
def test_a_worker_without_questions_learns_back_from_the_answers_that_were_given(home: Path, default_encoder: Path, tmp_path: Path) -> None:
    file = tmp_path / "pump.md"
    file.write_text("# Pump\n\n## Torque\n\nTighten the flange bolts of the pump to 85 Nm in a cross pattern.\n", encoding="utf-8")
    with Library(home) as library, closing(schema.connect(home)) as connection:
        library.add(file)
        passage = next(library.passages())
        citation = Quote(passage, 0, len(passage.text)).citation()
        given = Answer(passage.text, "engine", None, (citation,), Timings(1.0), teacher="tiny")
        question = "How tight are the flange bolts of the pump?"
        job_id = jobs.enqueue(connection, "ask", {"question": question, "route": "auto", "chat_id": None})
        jobs.claim(connection, ["ask"])
        jobs.finish(connection, job_id, json.loads(json.dumps(given.to_json())))
    worker = Worker(home, ("teaching",))
    thread = started(worker)
    with closing(schema.connect(home)) as connection:
        eventually(lambda: connection.execute("SELECT count(*) FROM proposals").fetchone()[0] == 1)
    worker.stop()
    thread.join()
    assert worker.failed is None


@pytest.mark.models
def test_an_evaluation_is_a_job_whose_upload_goes_when_it_is_done(home: Path, default_encoder: Path, tmp_path: Path) -> None:
    upload = tmp_path / "questions.jsonl"
    upload.write_text('{"id": "a", "question": "Who won the cup?", "answerable": false}\n', encoding="utf-8")
    with closing(schema.connect(home)) as connection:
        settings.save(connection, Settings(model=str(tmp_path / "none")))
        job_id = jobs.enqueue(connection, "evaluate", {"path": str(upload), "delete_after": True})
    with service.working(home, ("teaching",)) as check:
        job = service.wait(home, job_id, check=check)
    assert job.state == "done", job.error
    assert job.result["out_of_domain"] == {"questions": 1, "answered": 0, "answered_share": 0.0, "wrong": None, "error": None}
    assert job.result["engine_s"] is None
    assert not upload.exists()


@pytest.mark.models
def test_a_file_that_cannot_be_measured_is_named_as_its_user_does_and_goes(home: Path, default_encoder: Path, tmp_path: Path) -> None:
    upload = tmp_path / "0c1d"
    upload.write_text("{", encoding="utf-8")
    with closing(schema.connect(home)) as connection:
        job_id = jobs.enqueue(connection, "evaluate", {"path": str(upload), "name": "mine.jsonl", "delete_after": True})
    with service.working(home, ("teaching",)) as check:
        job = service.wait(home, job_id, check=check)
    assert job.state == "failed"
    assert "line 1 of mine.jsonl" in job.error
    assert not upload.exists()
