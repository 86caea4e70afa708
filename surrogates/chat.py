"""Chats and their turns: what was asked, the job that answers it, and what the user thought of the answer."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal

from kb import jobs
from kb.database import transaction
from surrogates.answer import Answer, Citation

TITLE_CHARACTERS = 60
Verdict = Literal["right", "wrong"]
Standing = Literal["current", "replaced", "removed"]


@dataclass(frozen=True)
class Chat:
    """`collection` is None for the whole library; `turns` counts questions."""

    id: int
    title: str
    collection: str | None
    created_at: str
    turns: int


@dataclass(frozen=True)
class Turn:
    """A question of a chat. `answer` is None until the job has one; `verdict` is the newest feedback, None without any."""

    id: int
    question: str
    asked_at: str
    job: jobs.Job
    answer: Answer | None
    verdict: Verdict | None
    comment: str


def create(connection: sqlite3.Connection, collection: str | None = None, title: str = "") -> int:
    """Start a chat and return its id. Without a title it takes its first question's words."""
    with transaction(connection):
        cursor = connection.execute(
            "INSERT INTO chats(collection_id, title) VALUES (?, ?)", (collection_id(connection, collection), title[:TITLE_CHARACTERS])
        )
    return int(cursor.lastrowid or 0)


def listing(connection: sqlite3.Connection, limit: int = 200) -> list[Chat]:
    """Chats that were not deleted, the one with the newest question first."""
    rows = connection.execute(
        "SELECT chats.id, chats.title, collections.name AS collection, chats.created_at, count(turns.id) AS turns FROM chats"
        " LEFT JOIN collections ON collections.id = chats.collection_id LEFT JOIN turns ON turns.chat_id = chats.id"
        " WHERE chats.deleted_at IS NULL GROUP BY chats.id"
        " ORDER BY coalesce(max(turns.asked_at), chats.created_at) DESC, chats.id DESC LIMIT ?",
        (limit,),
    )
    return [Chat(**dict(row)) for row in rows]


def turns(connection: sqlite3.Connection, chat_id: int) -> list[Turn]:
    """The chat's questions in the order asked, each with its job as it is now."""
    rows = connection.execute("SELECT id, question, asked_at, job_id FROM turns WHERE chat_id = ? ORDER BY id", (chat_id,)).fetchall()
    return [_turn(connection, row) for row in rows]


def rename(connection: sqlite3.Connection, chat_id: int, title: str) -> None:
    """Give the chat a title of the user's own."""
    if not title.strip():
        raise ValueError("the title is empty; type a name for the chat")
    _update(connection, chat_id, "UPDATE chats SET title = ? WHERE id = ?", (title.strip()[:TITLE_CHARACTERS], chat_id))


def delete(connection: sqlite3.Connection, chat_id: int) -> None:
    """Take the chat out of the listing and stop what it is still asking."""
    for turn in turns(connection, chat_id):
        jobs.request_cancel(connection, turn.job.id)
    _update(connection, chat_id, "UPDATE chats SET deleted_at = datetime('now') WHERE id = ?", (chat_id,))


def feedback(connection: sqlite3.Connection, turn_id: int, verdict: Verdict, comment: str = "") -> None:
    """Keep what the user thought of an answer; the newest verdict counts."""
    with transaction(connection):
        connection.execute("INSERT INTO feedback(turn_id, verdict, comment) VALUES (?, ?, ?)", (turn_id, verdict, comment))


def add_turn(connection: sqlite3.Connection, chat_id: int, question: str, job_id: int) -> int:
    """Put a question and the job that answers it at the end of a chat.

    Raises:
        KeyError: there is no such chat, or it was deleted.
    """
    with transaction(connection):
        _update(
            connection,
            chat_id,
            "UPDATE chats SET title = CASE title WHEN '' THEN ? ELSE title END WHERE id = ? AND deleted_at IS NULL",
            (question[:TITLE_CHARACTERS], chat_id),
        )
        cursor = connection.execute("INSERT INTO turns(chat_id, question, job_id) VALUES (?, ?, ?)", (chat_id, question, job_id))
    return int(cursor.lastrowid or 0)


def previous_question(connection: sqlite3.Connection, chat_id: int, job_id: int) -> str | None:
    """The question asked in this chat before the one that `job_id` answers."""
    row = connection.execute(
        "SELECT question FROM turns WHERE chat_id = ? AND job_id < ? ORDER BY id DESC LIMIT 1", (chat_id, job_id)
    ).fetchone()
    return None if row is None else str(row[0])


def standing(connection: sqlite3.Connection, citation: Citation) -> Standing:
    """Whether the cited place is still in the library: its document may have a newer revision or be removed, a correction be withdrawn."""
    if citation.correction_id is not None:
        kept = connection.execute("SELECT 1 FROM corrections WHERE id = ? AND withdrawn_at IS NULL", (citation.correction_id,)).fetchone()
        return "removed" if kept is None else "current"
    row = connection.execute(
        "SELECT documents.removed_at, revisions.is_current FROM documents JOIN revisions ON revisions.document_id = documents.id"
        " WHERE documents.id = ? AND revisions.id = ?",
        (citation.document_id, citation.revision_id),
    ).fetchone()
    if row is None or row["removed_at"] is not None:
        return "removed"
    return "current" if row["is_current"] else "replaced"


def collection_id(connection: sqlite3.Connection, name: str | None) -> int | None:
    """The id of a collection by its name; None stays None, the whole library.

    Raises:
        KeyError: there is no such collection.
    """
    if name is None:
        return None
    row = connection.execute("SELECT id FROM collections WHERE name = ?", (name,)).fetchone()
    if row is None:
        known = ", ".join(str(other[0]) for other in connection.execute("SELECT name FROM collections ORDER BY name"))
        raise KeyError(f"there is no collection {name!r}; the library has {known or 'none yet, add documents first'}")
    return int(row[0])


def _turn(connection: sqlite3.Connection, row: sqlite3.Row) -> Turn:
    job = jobs.get(connection, row["job_id"])
    said = connection.execute("SELECT verdict, comment FROM feedback WHERE turn_id = ? ORDER BY id DESC LIMIT 1", (row["id"],)).fetchone()
    return Turn(
        id=row["id"],
        question=row["question"],
        asked_at=row["asked_at"],
        job=job,
        answer=None if job.result is None else Answer.from_json(job.result),
        verdict=None if said is None else said["verdict"],
        comment="" if said is None else said["comment"],
    )


def _update(connection: sqlite3.Connection, chat_id: int, sql: str, parameters: tuple[object, ...]) -> None:
    with transaction(connection):
        if connection.execute(sql, parameters).rowcount == 0:
            raise KeyError(f"there is no chat {chat_id}")
