"""What each kind of job does."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from engine.request import Generation, Request
from kb import jobs
from surrogates import chat, evaluate, router, sampling, settings, teaching
from surrogates.question import with_topic
from surrogates.remote import KEY_VARIABLE, REQUESTS_AT_ONCE, RemoteTeacher
from surrogates.runner import Outcome, Runner, Stopped, Task

ShouldStop = Callable[[], bool]
DEFAULT_COLLECTION = "General"
TEACHING_SHARE = 0.9  # of a teach job's progress; the rest is training


def _ask(runner: Runner, job: jobs.Job, should_stop: ShouldStop) -> Outcome:
    chat_id, route = job.payload.get("chat_id"), job.payload.get("route", "auto")
    connection = runner.library.connection
    asked = job.payload["question"]
    previous = None if chat_id is None else chat.previous_question(connection, chat_id, job.id)
    if route == "auto":
        sampling.take_down(connection, with_topic(asked, previous), job.collection_id, job.id)
    answer = router.answer(
        asked,
        runner.resources,
        collection=runner.collection(job),
        route=route,
        previous=previous,
        on_stage=lambda stage: runner.report(job, stage),
        on_text=runner.writer(job),
        should_stop=should_stop,
    )
    return Outcome(answer.to_json(), stopped=router.STOPPED in answer.notes)


def _ingest(runner: Runner, job: jobs.Job, should_stop: ShouldStop) -> Outcome:
    """Add one file; a restart begins the file again, which the library takes as new or as the duplicate it is."""
    path = Path(job.payload["path"])

    def progress(stage: str, share: float) -> None:
        runner.report(job, stage, share)
        if should_stop():
            raise Stopped

    collection = runner.collection(job) or DEFAULT_COLLECTION
    try:
        added = runner.library.add(path, collection, job.payload.get("name"), progress)
    except Stopped:
        runner.library.close()
        runner.open()
        if not runner.is_stopping():
            _discard(job, path)
        raise
    _discard(job, path)
    if added.status in ("indexed", "replaced"):
        runner.report(job, "checking the instant answers")
        runner.resources.surrogate.follow()
    return Outcome(asdict(added))


def _discard(job: jobs.Job, path: Path) -> None:
    """Delete an uploaded copy once it is in the library or refused."""
    if job.payload.get("delete_after"):
        path.unlink(missing_ok=True)


def _remove(runner: Runner, job: jobs.Job, should_stop: ShouldStop) -> Outcome:
    return Outcome(asdict(runner.library.remove(int(job.payload["document_id"]))))


def _pack(runner: Runner, job: jobs.Job, should_stop: ShouldStop) -> Outcome:
    return _packed(runner, job, Path(job.payload["source"]), str(job.payload["name"]), 0.0, should_stop)


def _download(runner: Runner, job: jobs.Job, should_stop: ShouldStop) -> Outcome:
    """Fetch a checkpoint and pack it; what was fetched stays until the pack is written, so that a second try goes on from there."""
    from engine.download import download
    from engine.errors import Stopped as EngineStopped

    repository = str(job.payload["repository"])
    folder = runner.home / "models" / "downloads" / _safe_name(repository)
    try:
        download(repository, folder, lambda share, stage: runner.report(job, stage, 0.5 * share), should_stop)
    except EngineStopped as error:
        raise Stopped from error
    return _packed(runner, job, folder, repository, 0.5, should_stop)


def _packed(runner: Runner, job: jobs.Job, source: Path, name: str, from_progress: float, should_stop: ShouldStop) -> Outcome:
    from engine.errors import Stopped as EngineStopped
    from engine.pack import pack

    out = runner.home / "models" / f"{_safe_name(name)}.pack"

    def progress(share: float, stage: str) -> None:
        runner.report(job, stage, from_progress + (1.0 - from_progress) * share)

    try:
        pack(source, out, None, progress, should_stop)
    except EngineStopped as error:
        raise Stopped from error
    return Outcome({"pack": str(out), "source": str(source)})


def _safe_name(name: str) -> str:
    """A folder name for a model on every system: "Qwen/Qwen2.5-0.5B" becomes "Qwen--Qwen2.5-0.5B"."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name.replace("/", "--")).strip(".-") or "model"


def _teach(runner: Runner, job: jobs.Job, should_stop: ShouldStop) -> Outcome:
    """Write question-answer pairs, then train on them, unless it was stopped."""

    teacher = remote_teacher(runner.library.connection)

    def complete(request: Request) -> Generation:
        return runner.scheduler.generate_patiently(request, should_stop) if teacher is None else teacher.complete(request)

    taught = teaching.teach(
        runner.library,
        complete,
        limit=job.payload.get("limit"),
        collection=runner.collection(job),
        teacher=runner.scheduler.model_name() if teacher is None else teacher.name,
        at_once=1 if teacher is None else REQUESTS_AT_ONCE,
        on_progress=lambda stage, share: runner.report(job, stage, TEACHING_SHARE * share),
        should_stop=should_stop,
    )
    if taught.stopped:
        return Outcome(taught.to_json(), stopped=True)
    trained = teaching.train(
        runner.library,
        on_progress=lambda stage, share: runner.report(job, stage, TEACHING_SHARE + (1 - TEACHING_SHARE) * share),
        should_stop=should_stop,
    )
    return Outcome({**taught.to_json(), "training": trained}, stopped=should_stop())


def remote_teacher(connection: sqlite3.Connection) -> RemoteTeacher | None:
    """The server that teaches if the settings name one; its key comes from the environment."""
    chosen = settings.load(connection)
    if chosen.teacher_url is None:
        return None
    return RemoteTeacher(chosen.teacher_url, chosen.teacher_model, os.environ.get(KEY_VARIABLE, ""))


def _train(runner: Runner, job: jobs.Job, should_stop: ShouldStop) -> Outcome:
    trained = teaching.train(runner.library, on_progress=lambda stage, share: runner.report(job, stage, share), should_stop=should_stop)
    return Outcome(trained, stopped=bool(trained.get("stopped")))


def _evaluate(runner: Runner, job: jobs.Job, should_stop: ShouldStop) -> Outcome:
    """Measure the surrogate on a file of questions; stopped, it gives the figures of what was asked until then."""
    path = Path(job.payload["path"])
    try:
        lines = evaluate.read(path, job.payload.get("name"))
        result = evaluate.measure(
            lines,
            runner.resources,
            runner.collection(job),
            on_progress=lambda share: runner.report(job, f"asking {len(lines)} questions", share),
            should_stop=should_stop,
        )
    except jobs.JobLost:  # whoever has the job now needs the file
        raise
    except Exception:
        _discard(job, path)
        raise
    if not runner.is_stopping():
        _discard(job, path)
    return Outcome(result, stopped=should_stop())


TASKS: dict[str, Task] = {
    "ask": _ask,
    "ingest": _ingest,
    "remove": _remove,
    "pack": _pack,
    "download": _download,
    "teach": _teach,
    "train": _train,
    "evaluate": _evaluate,
}
