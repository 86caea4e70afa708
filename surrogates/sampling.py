"""Questions for the certificate: taken down before routing, each with what the bank and model of now would answer at once."""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from kb.database import transaction
from surrogates import model
from surrogates.question import normalise
from surrogates.quotes import Quote

if TYPE_CHECKING:
    from kb.library import Library
    from surrogates.prediction import Prediction, Source
    from surrogates.surrogate import Surrogate

_ANSWERING = """contrast.py interaction.py procedures.py quotes.py reader.py reader.safetensors surrogate.py unit_features.py units.py
verifier.py"""
DECIDING = ("adapter.py", "confidence.py", "gates.py", "opposites.py", "quantities.py", "wording.py", *_ANSWERING.split())
READY = 300
"""Questions nobody has judged that are kept ready; more are sampled, and wait."""
# Judged questions without the candidate of a fingerprint, and those of the first READY others in their random order.
_JUDGED = "EXISTS (SELECT 1 FROM judgements j WHERE j.question_id = q.id)"
_LACKING = "NOT EXISTS (SELECT 1 FROM candidates k WHERE k.question_id = q.id AND k.fingerprint = ?)"
_WAITING = f"""SELECT id, text, collection_id, place, 0 AS rank FROM sampled_questions q WHERE {_JUDGED} AND {_LACKING}
UNION ALL SELECT id, text, collection_id, place, 1 FROM sampled_questions q WHERE {_LACKING}
 AND id IN (SELECT id FROM sampled_questions q WHERE NOT {_JUDGED} ORDER BY place LIMIT ?)"""


def take_down(connection: sqlite3.Connection, question: str, collection_id: int | None, job_id: int) -> int:
    """Keep a question that is about to be answered; returns its id, the same one when the job is run again."""
    with transaction(connection):
        _insert(connection, question, collection_id, "asked", job_id)
        row = connection.execute("SELECT id FROM sampled_questions WHERE job_id = ?", (job_id,)).fetchone()
    return int(row[0])


def enter(connection: sqlite3.Connection, question: str, collection_id: int | None = None) -> int:
    """Keep a question that somebody typed in to be judged; returns its id.

    Raises:
        QuestionRefused: it is empty or too long.
    """
    asked = normalise(question)
    with transaction(connection):
        return _insert(connection, asked, collection_id, "entered", None)


def fingerprint(library: Library) -> str:
    """Names the bank, the model and the program's gates as they are now; a certificate stands on one. An answer more or less changes it."""
    row = library.connection.execute(
        "SELECT count(*), coalesce(sum(id), 0), coalesce(max(id), 0), (SELECT coalesce(max(id), 0) FROM bank_questions)"
        " FROM bank_answers WHERE state = 'active'"
    ).fetchone()
    trained = model.current(library.home, library.encoder.name)
    return hashlib.sha256(json.dumps([*row, library.encoder.name, trained.fingerprint, _program()]).encode()).hexdigest()[:16]


def hash_of(folder: Path) -> str:
    """Hash of the code in `folder` that decides what is answered at once; the same whichever line endings it was checked out with."""
    return hashlib.sha256(b"".join((folder / name).read_bytes().replace(b"\r\n", b"\n") for name in DECIDING)).hexdigest()


@lru_cache(maxsize=1)
def _program() -> str:
    """With a newer program's gates a certificate stands on something else."""
    return hash_of(Path(__file__).resolve().parent)


def prepare(surrogate: Surrogate, limit: int | None = None, should_stop: Callable[[], bool] | None = None) -> int:
    """Find the candidates of questions that have none of the bank and model of now, judged questions first; returns how many were found."""
    library = surrogate.library
    surrogate.follow()
    now = fingerprint(library)
    rows = library.connection.execute(
        f"SELECT q.id, q.text, c.name FROM ({_WAITING}) q LEFT JOIN collections c ON c.id = q.collection_id"
        " ORDER BY q.rank, q.place LIMIT ?",
        (now, now, READY, -1 if limit is None else limit),
    ).fetchall()
    for done, (question_id, text, collection) in enumerate(rows):
        if should_stop is not None and should_stop():
            return done
        hits = surrogate.search(text, collection)
        keep(library.connection, question_id, now, surrogate.predict(text, hits, collection) if hits else None)
    return len(rows)


def mark(answer: str, citations: str) -> str:
    """Names what a person is shown of a candidate, so that a verdict goes to that and to nothing that took its place; columns as stored."""
    return hashlib.sha256(json.dumps([answer, citations]).encode()).hexdigest()[:16]


def waiting(connection: sqlite3.Connection, now: str) -> int:
    """How many questions wait for the candidate of the bank and model that `now` names."""
    return int(connection.execute(f"SELECT count(*) FROM ({_WAITING})", (now, now, READY)).fetchone()[0])


def keep(connection: sqlite3.Connection, question_id: int, now: str, prediction: Prediction | None) -> None:
    """Write down what would be answered to a sampled question; a refused candidate has confidence 0."""
    if prediction is None:
        values: tuple[object, ...] = (0.0, "", "", None, "[]")
    else:
        citations = [asdict(_quote(source).citation()) for source in prediction.sources]
        passage = prediction.sources[0].passage.id if prediction.sources else None
        confidence = 0.0 if prediction.refused_by else prediction.confidence
        values = (confidence, prediction.text, prediction.matched_question, passage, json.dumps(citations))
    with transaction(connection):
        connection.execute("INSERT OR REPLACE INTO candidates VALUES (?, ?, ?, ?, ?, ?, ?)", (question_id, now, *values))


def _quote(source: Source) -> Quote:
    start = source.passage.text.find(source.quote)
    return Quote(source.passage, start, start + len(source.quote))


def _insert(connection: sqlite3.Connection, question: str, collection_id: int | None, origin: str, job_id: int | None) -> int:
    cursor = connection.execute(
        "INSERT OR IGNORE INTO sampled_questions(collection_id, text, origin, job_id, place) VALUES (?, ?, ?, ?, ?)",
        (collection_id, question, origin, job_id, random.SystemRandom().random()),
    )
    return int(cursor.lastrowid or 0)
