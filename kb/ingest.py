"""Putting a read document into the library: one transaction makes passages, vectors, full text and the change visible together."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kb.blocks import Reading
from kb.passages import READER_VERSION, Draft


@dataclass(frozen=True)
class Incoming:
    """A document ready to be stored: read, cut and encoded. `vectors` is float32 [len(drafts), d] in their order."""

    name: str
    sha256: str
    size_bytes: int
    reading: Reading
    drafts: Sequence[Draft]
    vectors: NDArray[np.float32]
    encoder: str


def collection_id(connection: sqlite3.Connection, name: str, create: bool = False) -> int | None:
    """Id of a collection by its name (case does not matter); None when there is none and `create` is false."""
    row = connection.execute("SELECT id FROM collections WHERE name = ?", (name,)).fetchone()
    if row is None and create:
        connection.execute("INSERT INTO collections(name) VALUES (?)", (name,))
        row = connection.execute("SELECT id FROM collections WHERE name = ?", (name,)).fetchone()
    return None if row is None else int(row[0])


def same_content(connection: sqlite3.Connection, sha256: str, collection: str) -> tuple[int, str] | None:
    """(document id, name) of the collection's current document with this content, None when there is none."""
    row = connection.execute(
        "SELECT documents.id, documents.name FROM revisions JOIN documents ON documents.id = revisions.document_id"
        " JOIN collections ON collections.id = documents.collection_id WHERE revisions.content_sha256 = ? AND revisions.is_current"
        " AND documents.removed_at IS NULL AND collections.name = ?",
        (sha256, collection),
    ).fetchone()
    return None if row is None else (int(row[0]), str(row[1]))


def store(connection: sqlite3.Connection, incoming: Incoming, collection: str) -> tuple[int, bool]:
    """Write a document within the caller's transaction; returns (document id, whether it replaced an older revision)."""
    scope = collection_id(connection, collection, create=True)
    assert scope is not None
    row = connection.execute(
        "SELECT id FROM documents WHERE collection_id = ? AND name = ? AND removed_at IS NULL", (scope, incoming.name)
    ).fetchone()
    replaces = row is not None
    document = int(row[0]) if row else _inserted(connection, "documents", collection_id=scope, name=incoming.name)
    if replaces:
        connection.execute("DELETE FROM passages WHERE document_id = ?", (document,))
        connection.execute("UPDATE revisions SET is_current = 0 WHERE document_id = ?", (document,))
    revision = _revision(connection, document, incoming)
    kind = "replaced" if replaces else "added"
    seq = _inserted(connection, "changes", kind=kind, collection_id=scope, document_id=document, revision_id=revision)
    for draft, vector in zip(incoming.drafts, incoming.vectors, strict=True):
        passage = _passage(connection, draft, scope, document, revision, seq)
        connection.execute(
            "INSERT INTO passage_vectors(passage_id, encoder, vector) VALUES (?, ?, ?)",
            (passage, incoming.encoder, vector.astype("<f4").tobytes()),
        )
    return document, replaces


def _revision(connection: sqlite3.Connection, document: int, incoming: Incoming) -> int:
    number = connection.execute("SELECT coalesce(max(number), 0) + 1 FROM revisions WHERE document_id = ?", (document,)).fetchone()[0]
    return _inserted(
        connection,
        "revisions",
        document_id=document,
        number=number,
        content_sha256=incoming.sha256,
        kind=incoming.reading.kind,
        size_bytes=incoming.size_bytes,
        pages=incoming.reading.pages,
        pages_without_text=json.dumps(incoming.reading.pages_without_text),
        reader_version=READER_VERSION,
        is_current=1,
    )


def _passage(connection: sqlite3.Connection, draft: Draft, scope: int, document: int, revision: int, seq: int) -> int:
    first, last = draft.pages
    return _inserted(
        connection,
        "passages",
        collection_id=scope,
        document_id=document,
        revision_id=revision,
        ordinal=draft.ordinal,
        kind=draft.kind,
        heading=json.dumps(draft.heading, ensure_ascii=False),
        text=draft.text,
        page_first=first,
        page_last=last,
        boxes=json.dumps(draft.boxes),
        quote_start=draft.quote_start,
        quote_end=draft.quote_end,
        quote_sha256=draft.quote_sha256,
        reader_version=READER_VERSION,
        added_seq=seq,
    )


def _inserted(connection: sqlite3.Connection, table: str, **values: object) -> int:
    columns, marks = ", ".join(values), ", ".join("?" * len(values))
    return int(connection.execute(f"INSERT INTO {table}({columns}) VALUES ({marks})", tuple(values.values())).lastrowid or 0)


def remove(connection: sqlite3.Connection, document_id: int) -> tuple[str, int, set[str]]:
    """Take a document out within the caller's transaction; returns (name, passages deleted, hashes of its originals).

    Raises:
        KeyError: there is no such document.
    """
    row = connection.execute("SELECT name, collection_id FROM documents WHERE id = ? AND removed_at IS NULL", (document_id,)).fetchone()
    if row is None:
        raise KeyError(f"there is no document {document_id}")
    passages = connection.execute("SELECT count(*) FROM passages WHERE document_id = ?", (document_id,)).fetchone()[0]
    connection.execute("DELETE FROM passages WHERE document_id = ?", (document_id,))
    connection.execute("UPDATE documents SET removed_at = datetime('now') WHERE id = ?", (document_id,))
    _inserted(connection, "changes", kind="removed", collection_id=row["collection_id"], document_id=document_id)
    hashes = {str(entry[0]) for entry in connection.execute("SELECT content_sha256 FROM revisions WHERE document_id = ?", (document_id,))}
    return str(row["name"]), int(passages), hashes
