"""Command line of the library: `python -m kb add | list | remove | search | check | backup | restore`."""

from __future__ import annotations

import argparse
import json
import logging
import sqlite3
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kb.backup import BadBackup, restore
from kb.database import UnusableHome
from kb.encoder import EncoderMissing
from kb.library import Library
from kb.records import Added, Document, Hit


class CommandFailed(Exception):
    """The command cannot do what it was asked; the message is the one line that the user reads."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    given = parser().parse_args(arguments)
    try:
        result, lines, is_well = given.run(given)
    except (CommandFailed, UnusableHome, EncoderMissing, BadBackup, OSError, sqlite3.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result, ensure_ascii=False, indent=1) if given.json else "\n".join(lines))
    return 0 if is_well else 1


def parser() -> argparse.ArgumentParser:
    """The commands and their flags."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--home", type=Path, default=None, help="folder that holds the library (default: the user's data folder)")
    common.add_argument("--json", action="store_true", help="one JSON value on standard output")
    top = argparse.ArgumentParser(prog="python -m kb", description="The document library.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, help_text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, parents=[common], help=help_text, description=help_text)
        made.set_defaults(run=run)
        return made

    add = command("add", _add, "add files and folders")
    add.add_argument("paths", nargs="+", metavar="PATH")
    add.add_argument("--collection", default="General", help="usually a machine or line (default: General)")
    command("list", _list, "list the documents").add_argument("--collection", default=None)
    remove = command("remove", _remove, "remove a document")
    remove.add_argument("document", metavar="DOC", help="its id or its name")
    remove.add_argument("--collection", default=None)
    check = command("check", _check, "compare tables, search indexes and files")
    check.add_argument("--repair", action="store_true", help="mend what can be derived again")
    command("backup", _backup, "write everything into one file").add_argument("file", type=Path, metavar="FILE")
    command("restore", _restore, "fill an empty home from a backup").add_argument("file", type=Path, metavar="FILE")
    search = command("search", _search, "find passages")
    search.add_argument("text", nargs="?", default=None, metavar="TEXT")
    search.add_argument("--collection", default=None)
    search.add_argument("--limit", type=int, default=10)
    search.add_argument("--batch", type=Path, default=None, help='file with one {"id", "question"} a line')
    search.add_argument("--out", type=Path, default=None, help='file for one {"id", "hits"} a line')
    return top


Outcome = tuple[Any, list[str], bool]
"""(JSON value, lines for people, whether all went well)"""


def _home(given: argparse.Namespace) -> Path:
    if given.home is not None:
        return Path(given.home)
    import platformdirs

    return platformdirs.user_data_path("flashkb")


def _add(given: argparse.Namespace) -> Outcome:
    missing = [path for path in given.paths if not Path(path).exists()]
    if len(missing) == len(given.paths):
        raise CommandFailed(f"there is no file or folder {missing[0]!r}")
    with Library(_home(given)) as library:
        results = library.add_tree([Path(path) for path in given.paths], given.collection, _report)
    taken = sum(added.status != "refused" for added in results)
    counts = ", ".join(
        f"{sum(added.status == status for added in results)} {status}" for status in ("indexed", "replaced", "duplicate", "refused")
    )
    return [_added(added) for added in results], [counts], taken > 0


def _report(added: Added) -> None:
    """One line a file for whoever watches."""
    blank = f", no text on {_pages(added.pages_without_text)}" if added.pages_without_text else ""
    told = added.reason or f"{added.passages} passages{blank}"
    print(f"{added.status:9} {added.path}: {told} ({added.seconds:.1f} s)", file=sys.stderr)


def _pages(pages: Sequence[int]) -> str:
    named = ", ".join(str(page) for page in pages[:8])
    return f"{'page' if len(pages) == 1 else f'{len(pages)} pages:'} {named}{' ..' if len(pages) > 8 else ''}"


def _added(added: Added) -> dict[str, Any]:
    value = asdict(added)
    value["reason"] = added.reason or None
    return value


def _list(given: argparse.Namespace) -> Outcome:
    with Library(_home(given)) as library:
        found = library.documents(given.collection)
    lines = [f"{entry.id:5}  {entry.collection}  {entry.name}  ({entry.kind}, {entry.passages} passages)" for entry in found]
    return [asdict(entry) for entry in found], lines or ["the library is empty; add documents with: python -m kb add PATH"], True


def _remove(given: argparse.Namespace) -> Outcome:
    with Library(_home(given)) as library:
        document = _document(library, given.document, given.collection)
        removed = library.remove(document.id)
    return asdict(removed), [f"removed {removed.name}: {removed.passages} passages, {removed.files} files"], True


def _document(library: Library, named: str, collection: str | None) -> Document:
    """The document with this id or name; a name must be the only one."""
    documents = library.documents(collection)
    found = [entry for entry in documents if named.isdigit() and entry.id == int(named)] or [
        entry for entry in documents if entry.name == named
    ]
    if not found:
        raise CommandFailed(f"there is no document {named!r}; `python -m kb list` shows ids and names")
    if len(found) > 1:
        raise CommandFailed(
            f"{len(found)} documents are named {named!r}; give one of the ids {', '.join(str(entry.id) for entry in found)}"
        )
    return found[0]


def _check(given: argparse.Namespace) -> Outcome:
    with Library(_home(given)) as library:
        report = library.check(repair=given.repair)
    lines = [f"{report.documents} documents, {report.passages} passages", *report.problems, *(f"mended: {text}" for text in report.mended)]
    return (
        {**asdict(report), "is_consistent": report.is_consistent},
        [*lines, *(["all is well"] if not report.problems else [])],
        report.is_consistent,
    )


def _backup(given: argparse.Namespace) -> Outcome:
    with Library(_home(given)) as library:
        file = library.backup(given.file)
    return {"file": str(file), "size_bytes": file.stat().st_size}, [f"saved to {file}"], True


def _restore(given: argparse.Namespace) -> Outcome:
    home = _home(given)
    restore(given.file, home)
    with Library(home) as library:
        documents = len(library.documents())
    return {"home": str(home), "documents": documents}, [f"restored {documents} documents into {home}"], True


def _search(given: argparse.Namespace) -> Outcome:
    if (given.text is None) == (given.batch is None):
        raise CommandFailed("give either a text to search for or --batch FILE")
    if given.limit < 1:
        raise CommandFailed(f"--limit is {given.limit}, expected at least 1")
    with Library(_home(given)) as library:
        if given.batch is not None:
            return _search_batch(library, given)
        hits = library.search(given.text, given.collection, given.limit)
    lines = [f"{hit.rank}. {_place(hit)}\n   {' '.join(hit.passage.text.split())[:200]}" for hit in hits]
    return [hit_json(hit) for hit in hits], lines or ["nothing found"], True


def _search_batch(library: Library, given: argparse.Namespace) -> Outcome:
    answers = []
    for number, line in enumerate(given.batch.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            asked = json.loads(line)
            identity, question = asked["id"], str(asked["question"])
        except (ValueError, KeyError, TypeError) as error:
            raise CommandFailed(f'line {number} of {given.batch} is not {{"id": .., "question": ..}}: {error}') from error
        hits = library.search(question, given.collection, given.limit)
        answers.append({"id": identity, "hits": [hit_json(hit) for hit in hits]})
    if given.out is not None:
        given.out.write_text("".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers), encoding="utf-8")
        return {"questions": len(answers), "out": str(given.out)}, [f"{len(answers)} questions, hits in {given.out}"], True
    return answers, [json.dumps(answer, ensure_ascii=False) for answer in answers], True


def hit_json(hit: Hit) -> dict[str, Any]:
    """A hit as the command line gives it."""
    passage = hit.passage
    return {
        "document": passage.document,
        "page": passage.page_first,
        "heading": list(passage.heading),
        "score": round(hit.score, 6),
        "text": passage.text,
        "boxes": [list(box) for box in passage.boxes],
        "passage_id": passage.id,
        "collection": passage.collection,
    }


def _place(hit: Hit) -> str:
    passage = hit.passage
    page = f", page {passage.page_first}" if passage.page_first else ""
    return f"{passage.document}{page}: {' > '.join(passage.heading)}"


if __name__ == "__main__":
    sys.exit(main())
