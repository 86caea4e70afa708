"""The one documented call behind pages and command lines: a question is a job row, answered by whoever holds the home's lease."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kb import database, jobs
from surrogates import chat, lease, schema
from surrogates.answer import Answer
from surrogates.question import normalise

if TYPE_CHECKING:
    from surrogates.worker import Worker

AskRoute = Literal["auto", "surrogate", "engine"]
POLL_S = 0.01
WATCH_S = 1.0
END_S = 15.0

_children: dict[Path, subprocess.Popen[bytes]] = {}
_children_lock = threading.Lock()


class JobFailed(RuntimeError):
    """The job ended without a result; the message is the sentence meant for the user."""


@dataclass(frozen=True)
class WorkerState:
    """What the pages show of the worker. `stage` is "off", "starting", "warming" or "ready"; `problem` is "" or why no model can run."""

    stage: Literal["off", "starting", "warming", "ready"]
    problem: str = ""


def ask(
    question: str,
    home: Path,
    collection: str | None = None,
    *,
    route: AskRoute = "auto",
    chat_id: int | None = None,
    on_text: Callable[[str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Answer:
    """Ask the library in `home` and wait for the answer, instant or written, with its citations.

    A worker that is alive answers (`ensure_worker` starts one and makes every further question quick); without one this process
    takes the work itself. `collection` None is the whole library. `route` "surrogate" answers instantly or declines, "engine"
    skips the surrogate.
    `on_text` gets the text written so far, each time all of it; what it shows is not checked yet, the returned answer is.
    When `should_stop` says so the answer keeps what was written and its notes say that it was stopped.

        answer = surrogates.ask("What does alarm E-17 mean?", Path("home"))
        print(answer.text, answer.citations[0].document, answer.citations[0].page)

    Raises:
        QuestionRefused: the question is empty or too long.
        KeyError: there is no such collection or chat.
        JobFailed: it could not be answered; the message says why.
    """
    job_id = submit(home, question, collection, route, chat_id)
    with working(home, ("questions",)) as check:
        job = wait(home, job_id, on_update=_text_watcher(on_text), should_stop=should_stop, check=check)
    if job.result is None:
        raise JobFailed(job.error or "the question was stopped before anything was written")
    return Answer.from_json(job.result)


def submit(home: Path, question: str, collection: str | None = None, route: AskRoute = "auto", chat_id: int | None = None) -> int:
    """Queue a question and return its job's id at once; with `chat_id` it also becomes that chat's newest turn.

    Raises:
        QuestionRefused: the question is empty or too long.
        KeyError: there is no such collection or chat.
        ValueError: there is no such route.
    """
    asked = normalise(question)
    if route not in ("auto", "surrogate", "engine"):
        raise ValueError(f'route is {route!r}, expected "auto", "surrogate" or "engine"')
    with closing(schema.connect(home)) as connection, database.transaction(connection):
        payload = {"question": asked, "route": route, "chat_id": chat_id}
        job_id = jobs.enqueue(connection, "ask", payload, chat.collection_id(connection, collection))
        if chat_id is not None:
            chat.add_turn(connection, chat_id, asked, job_id)
    return job_id


def follow(home: Path, job_id: int) -> Iterator[jobs.Job]:
    """The job each time that it has changed, until it is over; closing the iterator leaves the job running.

    Raises:
        KeyError: there is no such job.
    """
    with closing(schema.connect(home)) as connection:
        changes = _Changes(connection)
        seen: jobs.Job | None = None
        while True:
            job = jobs.get(connection, job_id)
            if job != seen:
                yield job
            if job.is_over:
                return
            seen = job
            changes.wait(WATCH_S)


def wait(
    home: Path,
    job_id: int,
    *,
    on_update: Callable[[jobs.Job], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    check: Callable[[], None] | None = None,
) -> jobs.Job:
    """Wait until a job is over, and return it. `should_stop` is asked all the while and cancels the job; `check` may raise to give up."""
    with closing(schema.connect(home)) as connection:
        changes = _Changes(connection)
        while True:
            job = jobs.get(connection, job_id)
            if on_update is not None:
                on_update(job)
            if job.is_over:
                return job
            if not job.cancel_requested and should_stop is not None and should_stop():
                jobs.request_cancel(connection, job_id)
            if check is not None:
                check()
            changes.wait(WATCH_S if should_stop is None else 5 * POLL_S)


@contextmanager
def working(home: Path, sorts: tuple[str, ...] = tuple(lease.SORTS)) -> Iterator[Callable[[], None]]:
    """Within this block the home's jobs of these sorts are run: by the worker that is alive, else by threads of this process.

    Should that worker die meanwhile, this process takes over. The block gets a check that raises `JobFailed` when it cannot.
    """
    from surrogates.worker import Worker

    own = Worker(home, sorts, lasting=False)
    done = threading.Event()
    watch = threading.Thread(target=_stand_in, args=(home, own, done), name="stand-in")
    watch.start()

    def check() -> None:
        if own.failed is not None:
            raise JobFailed(str(own.failed)) from own.failed

    try:
        yield check
    finally:
        done.set()
        own.stop()
        watch.join()


def ensure_worker(home: Path) -> None:
    """Start the worker process for `home`, unless this process has started one or another one is alive.

    Cheap enough to be called on every rerun of a page. The worker ends when this process does, or on `stop`.
    """
    place = home.resolve()
    with _children_lock:
        child = _children.get(place)
        if child is not None and child.poll() is None and lease.is_running(child.pid):
            return
        if child is not None:
            _end(_children.pop(place))
        with closing(schema.connect(place)) as connection:
            if not lease.drop_dead_lease(connection) and (jobs.lease_holder(connection, lease.LEASE) or "").startswith("worker:"):
                return
        _children[place] = _spawn(place)


def stop(home: Path) -> None:
    """End the worker that this process started for `home`; running jobs go back to the queue."""
    with _children_lock:
        child = _children.pop(home.resolve(), None)
    if child is not None:
        _end(child)


def worker_state(connection: sqlite3.Connection) -> WorkerState:
    """How far the worker of this library is."""
    owner = jobs.lease_holder(connection, lease.LEASE)
    if owner is None:
        return WorkerState("off")
    noted: dict[str, Any] = database.setting(connection, lease.STATE_KEY, {})
    if noted.get("owner") != owner:
        return WorkerState("starting")
    return WorkerState("ready" if noted["stage"] == "ready" else "warming", noted.get("problem", ""))


def _spawn(home: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "surrogates.worker", "--home", str(home)]
    flags = int(getattr(subprocess, "CREATE_NO_WINDOW", 0))
    (home / "logs").mkdir(parents=True, exist_ok=True)
    with (home / "logs" / "worker.err").open("ab") as errors:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd=Path(__file__).resolve().parent.parent,
            env={**os.environ, "PYTHONUTF8": "1"},
            creationflags=flags,
        )


def _end(child: subprocess.Popen[bytes]) -> None:
    """Close the worker's input, which ends it, and take note of its end."""
    try:
        if child.stdin is not None:
            child.stdin.close()
        child.wait(END_S)
    except (OSError, subprocess.TimeoutExpired):
        child.kill()
        child.wait()


def _stand_in(home: Path, own: Worker, done: threading.Event) -> None:
    """Run `own` as soon as no living worker holds the lease."""
    while not done.is_set():
        with closing(schema.connect(home)) as connection:
            free = lease.drop_dead_lease(connection)
        if free:
            own.run()
            return
        done.wait(WATCH_S)


class _Changes:
    """Notices that another connection wrote to the library; what is read after construction or `wait` is never missed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._seen = self._version()

    def wait(self, at_most_s: float) -> None:
        """Return at the next write of another connection since the last call, or after `at_most_s`."""
        until = time.monotonic() + at_most_s
        while (version := self._version()) == self._seen and time.monotonic() < until:
            time.sleep(POLL_S)
        self._seen = version

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])


def _text_watcher(on_text: Callable[[str], None] | None) -> Callable[[jobs.Job], None] | None:
    if on_text is None:
        return None
    written = ""

    def watch(job: jobs.Job) -> None:
        nonlocal written
        if job.text != written and not job.is_over:
            written = job.text
            on_text(written)

    return watch
