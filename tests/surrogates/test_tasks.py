"""What kinds of jobs leave behind when they fail."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from kb import jobs
from surrogates import evaluate, schema, tasks
from surrogates.runner import Runner
from surrogates.scheduling import Scheduler
from surrogates.settings import Settings


@pytest.mark.parametrize(("error", "stays"), [(OSError("no space left"), False), (jobs.JobLost("taken over"), True)])
def test_an_evaluation_that_fails_takes_its_upload_along_unless_another_worker_needs_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, stays: bool
) -> None:
    upload = tmp_path / "questions"
    upload.write_text('{"id": "a", "question": "What is it?"}\n', encoding="utf-8")

    def fails(*arguments: object, **names: object) -> dict[str, object]:
        raise error

    monkeypatch.setattr(evaluate, "measure", fails)
    with closing(schema.connect(home)) as connection:
        jobs.enqueue(connection, "evaluate", {"path": str(upload), "name": "mine.jsonl", "delete_after": True})
        job = jobs.claim(connection, ["evaluate"])
    assert job is not None
    with Scheduler(Settings()) as scheduler, Runner(home, scheduler, lambda: False) as runner:
        runner.run(job, tasks.TASKS["evaluate"])
    assert upload.exists() == stays
