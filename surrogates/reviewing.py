"""The commands of people who look after the answers: judge, proposals, corrections, audits, and who teaches."""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Protocol

from kb.database import set_setting, setting
from surrogates import audits, corrections, judging, proposals, sampling, schema, settings
from surrogates.remote import RemoteTeacher

if TYPE_CHECKING:
    from kb.library import Library

Run = Callable[[argparse.Namespace], Any]
SHOWN_KEY = "surrogates.reviewing.shown"
"""Question and answer that `judge` showed last: the next verdict on that question is on that answer."""


class AddCommand(Protocol):
    """Adds a command by its name and returns its parser."""

    def __call__(self, name: str, run: Run, about: str) -> argparse.ArgumentParser:
        """`run` gets the parsed arguments and returns what is printed."""


def add_commands(command: AddCommand) -> None:
    """Add the commands, with their arguments."""
    judge = command("judge", _judge, "Judge instant answers: without arguments the next one is shown.")
    judge.add_argument("id", type=int, nargs="?")
    judge.add_argument("verdict", choices=("right", "wrong", "unclear"), nargs="?")
    judge.add_argument("--note", default="")
    judge.add_argument("--shown", help="`shown` of the answer that is judged; the one that was shown last when left out")
    judge.add_argument("--enter", metavar="QUESTION", help="add a question of your own to those that are judged")
    judge.add_argument(
        "--renew", action="store_true", help="test again what a change of bank or model voided, at half of what is left of delta"
    )
    proposal = command("proposals", _proposals, "Written answers that wait for a person: list them, or decide one.")
    proposal.add_argument("decision", choices=("list", "confirm", "reject", "withdraw"), nargs="?", default="list")
    proposal.add_argument("id", type=int, nargs="?")
    correction = command("corrections", _corrections, "What people corrected: list, add, withdraw or restore.")
    correction.add_argument("action", choices=("list", "add", "withdraw", "restore"), nargs="?", default="list")
    correction.add_argument("id", type=int, nargs="?")
    correction.add_argument("--question", help="of the answer that is corrected")
    correction.add_argument("--text", help="what is right")
    correction.add_argument("--passage", type=int, action="append", default=[], help="id of a passage that the corrected answer cited")
    audit = command("audits", _audits, "What the audits of instant answers found.")
    audit.add_argument("--lift", type=int, metavar="LEVEL", help="let a level answer as before its breach")
    teacher = command("teacher", _teacher, "Who teaches: the local model, or a server that speaks the OpenAI protocol.")
    teacher.add_argument("--url", help="base address of the server, as http://localhost:8080/v1; its key is read from FLASHKB_TEACHER_KEY")
    teacher.add_argument("--model", help="the server's model")
    teacher.add_argument("--off", action="store_true", help="let the local model teach again")
    for parser in (judge, proposal, correction, audit):
        parser.add_argument("--by", default=None, help="who signs; the name of the login when left out")


def _judge(chosen: argparse.Namespace) -> Any:
    with _library(chosen) as library:
        if chosen.enter is not None:
            judging.enter(library, chosen.enter, chosen.collection)
        elif chosen.id is not None:
            if chosen.verdict is None:
                raise ValueError(f"say what you think of question {chosen.id}, as in: judge {chosen.id} right")
            judging.judge(library, chosen.id, chosen.verdict, chosen.note, _signature(chosen), shown=_shown(library, chosen))
        _prepare(library)
        held = judging.renew(library) if chosen.renew else judging.certificates(library)
        offered = judging.next_question(library)
        set_setting(library.connection, SHOWN_KEY, {} if offered is None else {str(offered.id): offered.shown})
        return {
            "certificates": [{**certificate.to_json(), "sentence": certificate.sentence()} for certificate in held],
            "progress": asdict(judging.progress(library)),
            "next": None if offered is None else asdict(offered),
        }


def _shown(library: Library, chosen: argparse.Namespace) -> str:
    """What names the answer that is judged, "" for a question that was not shown."""
    return str(chosen.shown or setting(library.connection, SHOWN_KEY, {}).get(str(chosen.id), ""))


def _prepare(library: Library) -> None:
    """Find the candidates that are missing, as the worker would do when it is idle."""
    from surrogates.surrogate import Surrogate

    if sampling.waiting(library.connection, sampling.fingerprint(library)):
        sampling.prepare(Surrogate(library))


def _proposals(chosen: argparse.Namespace) -> Any:
    with _library(chosen) as library:
        if chosen.decision != "list":
            decide = {"confirm": proposals.confirm, "reject": proposals.reject, "withdraw": proposals.withdraw}[chosen.decision]
            decide(library, _id(chosen, f"proposals {chosen.decision} 3"), _signature(chosen))
        return {"waiting": [asdict(each) for each in proposals.listing(library)], "dropped": proposals.dropped(library)}


def _corrections(chosen: argparse.Namespace) -> Any:
    with _library(chosen) as library:
        if chosen.action == "add":
            if not chosen.question or not chosen.text:
                raise ValueError("a correction needs --question and --text")
            corrections.correct(library, chosen.question, chosen.text, _signature(chosen), chosen.collection, chosen.passage)
        elif chosen.action == "withdraw":
            corrections.withdraw(library, _id(chosen, "corrections withdraw 3"), _signature(chosen))
        elif chosen.action == "restore":
            corrections.restore(library, _id(chosen, "corrections restore 3"))
        return [asdict(each) for each in corrections.listing(library, chosen.collection)]


def _audits(chosen: argparse.Namespace) -> Any:
    with _library(chosen) as library:
        if chosen.lift is not None:
            audits.lift(library, chosen.lift, _signature(chosen))
        found = audits.state(library, chosen.lift)
        return {**asdict(found), "sentence": found.sentence()}


def _teacher(chosen: argparse.Namespace) -> Any:
    with closing(schema.connect(chosen.home)) as connection:
        held = settings.load(connection)
        if chosen.off:
            held = replace(held, teacher_url=None, teacher_model="")
        elif chosen.url or chosen.model:
            held = replace(held, teacher_url=chosen.url or held.teacher_url, teacher_model=chosen.model or held.teacher_model)
        if held.teacher_url is None:
            settings.save(connection, held)
            return {"teacher": held.pack.stem, "notice": "The local model teaches; no text leaves this computer."}
        named = RemoteTeacher(held.teacher_url, held.teacher_model)
        settings.save(connection, held)
        return {"teacher": named.name, "notice": named.notice()}


def _id(chosen: argparse.Namespace, example: str) -> int:
    if chosen.id is None:
        raise ValueError(f"say which one by its number, as in: {example}")
    return int(chosen.id)


def _signature(chosen: argparse.Namespace) -> str:
    return chosen.by if chosen.by is not None else getpass.getuser()


@contextmanager
def _library(chosen: argparse.Namespace) -> Iterator[Library]:
    from kb.library import Library

    schema.connect(chosen.home).close()
    with Library(chosen.home) as library:
        yield library
