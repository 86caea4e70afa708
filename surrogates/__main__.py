"""`python -m surrogates`: teach, train, status, ask, evaluate, and what `reviewing` adds."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any, TextIO

from kb import jobs
from kb.database import UnusableHome
from surrogates import chat, reviewing, schema, service
from surrogates.answer import Answer, by_place
from surrogates.question import QuestionRefused
from surrogates.service import JobFailed


class BadCommand(ValueError):
    """What was typed cannot be done; the message says what was wrong and what would be right."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 only on success, errors are one line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    chosen = _parser().parse_args(arguments)
    logging.getLogger().addHandler(_LogFile(chosen.home / "logs" / "commands.log"))
    try:
        value = chosen.run(chosen)
    except (ValueError, JobFailed, UnusableHome, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyError as error:
        print(f"error: {error.args[0]}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    if chosen.json:
        print(json.dumps(value, ensure_ascii=False))
    else:
        print(chosen.show(value))
    return 0


def _ask(chosen: argparse.Namespace) -> Any:
    if (chosen.question is None) == (chosen.batch is None):
        raise BadCommand('give either a question, as in: ask "What does alarm E-17 mean?", or --batch FILE.jsonl')
    if chosen.batch is not None:
        return _ask_batch(chosen)
    stream = _Stream(sys.stdout) if sys.stdout.isatty() and not chosen.json else None
    answer = service.ask(chosen.question, chosen.home, chosen.collection, route=chosen.route, on_text=stream)
    if stream is not None:
        stream.end()
    return answer.to_json()


def _ask_batch(chosen: argparse.Namespace) -> dict[str, Any]:
    """Ask every line of the batch in order with one engine kept; a question that cannot be asked gets an "error" instead of an answer."""
    lines = list(_batch_lines(chosen.batch))
    answers: list[dict[str, Any]] = []
    with service.working(chosen.home, ("questions",)) as check, _opened(chosen.out) as out:
        for number, line in enumerate(lines, start=1):
            answers.append({"id": line["id"], **_ask_one(line, chosen, check)})
            if out is not None:
                print(json.dumps(answers[-1], ensure_ascii=False), file=out, flush=True)
            print(f"{number}/{len(lines)} {answers[-1].get('route', 'error')}", file=sys.stderr)
    routes = dict(Counter(answer.get("route", "error") for answer in answers))
    return {"questions": len(lines), "routes": routes, **({"answers": answers} if chosen.out is None else {"out": str(chosen.out)})}


def _opened(file: Path | None) -> AbstractContextManager[TextIO | None]:
    return nullcontext() if file is None else file.open("w", encoding="utf-8", newline="\n")


def _ask_one(line: dict[str, Any], chosen: argparse.Namespace, check: Callable[[], None]) -> dict[str, Any]:
    try:
        job_id = service.submit(chosen.home, str(line["question"]), chosen.collection, chosen.route)
    except QuestionRefused as error:
        return {"error": str(error)}
    job = service.wait(chosen.home, job_id, check=check)
    return {"error": job.error} if job.result is None else dict(job.result)


def _batch_lines(file: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise BadCommand(f"{file}, line {number}: {error}; each line is one JSON object") from error
        if not isinstance(value, dict) or not {"id", "question"} <= value.keys():
            raise BadCommand(f'{file}, line {number} lacks "id" or "question"; each line is {{"id": .., "question": ..}}')
        yield value


def _run_job(chosen: argparse.Namespace, kind: str, payload: dict[str, Any], sorts: tuple[str, ...]) -> Any:
    """Queue a job, follow it on stderr and return its result; Ctrl-C stops it and keeps what is done."""
    with closing(schema.connect(chosen.home)) as connection:
        collection = chat.collection_id(connection, getattr(chosen, "collection", None))
        job_id = jobs.enqueue(connection, kind, payload, collection)
    progress = _Progress(sys.stderr)
    try:
        with service.working(chosen.home, sorts) as check:
            job = service.wait(chosen.home, job_id, on_update=progress, check=check)
    except KeyboardInterrupt:
        with closing(schema.connect(chosen.home)) as connection:
            jobs.request_cancel(connection, job_id)
        raise
    if job.state == "failed":
        raise JobFailed(job.error or f"the {kind} job failed")
    return job.result


def _teach(chosen: argparse.Namespace) -> Any:
    return _run_job(chosen, "teach", {"limit": chosen.limit}, ("questions", "teaching"))


def _train(chosen: argparse.Namespace) -> Any:
    return _run_job(chosen, "train", {}, ("questions", "teaching"))


def _status(chosen: argparse.Namespace) -> Any:
    from kb.library import Library
    from surrogates import teaching

    schema.connect(chosen.home).close()
    with Library(chosen.home) as library:
        return teaching.status(library)


def _evaluate(chosen: argparse.Namespace) -> Any:
    from surrogates import evaluate

    schema.connect(chosen.home).close()
    return evaluate.run(chosen.home, chosen.file, collection=chosen.collection)


class _LogFile(logging.Handler):
    """Keeps what went wrong, with its traceback, out of the terminal; the file is made with the first such record."""

    def __init__(self, file: Path) -> None:
        super().__init__(logging.WARNING)
        self._file = file
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Append one record."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8") as out:
            print(self.format(record), file=out)


class _Stream:
    """Shows a growing text on a terminal, then clears the way for the checked answer."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._shown = 0

    def __call__(self, text: str) -> None:
        self._out.write(text[self._shown :])
        self._out.flush()
        self._shown = len(text)

    def end(self) -> None:
        """Say that what follows is the checked answer."""
        if self._shown:
            self._out.write("\n\nChecked against the passages:\n")


class _Progress:
    """One line on stderr for each new stage and each full per cent of a job."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._said = ("", -1)

    def __call__(self, job: jobs.Job) -> None:
        now = (job.stage, int(job.progress * 100))
        if now != self._said and job.stage:
            self._said = now
            print(f"{now[1]:3d} %  {job.stage}", file=self._out)


def _answer_text(value: dict[str, Any]) -> str:
    if "questions" in value:
        return _plain(value)
    answer = Answer.from_json(value)
    sure = "" if answer.confidence is None else f", confidence {answer.confidence:.2f}"
    lines = [answer.text, "", f"({answer.route}{sure}, {answer.seconds.total:.2f} s)"]
    for number, (citation, *_) in enumerate(by_place(answer.citations), start=1):
        page = "" if citation.page is None else f", page {citation.page}"
        lines.append(f"[{number}] {citation.document}{page}: {' > '.join(citation.heading)}")
    return "\n".join([*lines, *answer.notes])


def _plain(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _default_home() -> Path:
    import platformdirs

    return platformdirs.user_data_path("flashkb")


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--home", type=Path, default=_default_home(), help="the folder of the library")
    shared.add_argument("--json", action="store_true", help="one JSON value on stdout")
    shared.add_argument("--collection", help="only this collection")
    parser = argparse.ArgumentParser(prog="python -m surrogates", description="Learned fast answers over the library.")
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], Any], show: Callable[[Any], str], about: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, parents=[shared], help=about, description=about)
        added.set_defaults(run=run, show=show)
        return added

    ask = command("ask", _ask, _answer_text, "Answer a question from the library.")
    ask.add_argument("question", nargs="?")
    ask.add_argument("--route", choices=("auto", "surrogate", "engine"), default="auto")
    ask.add_argument("--batch", type=Path, help='one {"id", "question"} a line')
    ask.add_argument("--out", type=Path, help="where the answers of a batch go, one a line")
    teach = command("teach", _teach, _plain, "Make question-answer pairs from the library and train the surrogate.")
    teach.add_argument("--limit", type=int, help="at most so many passages")
    command("train", _train, _plain, "Train the surrogate from the bank as it is.")
    command("status", _status, _plain, "What was taught, kept and dropped.")
    evaluate = command("evaluate", _evaluate, _plain, "Measure the surrogate on a file of questions.")
    evaluate.add_argument("file", type=Path)
    reviewing.add_commands(lambda name, run, about: command(name, run, _plain, about))
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
