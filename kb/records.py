"""What the library hands out: plain frozen rows of documents, passages and hits."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Literal

Status = Literal["indexed", "duplicate", "replaced", "refused"]

PASSAGE_COLUMNS = (
    "passages.id, passages.document_id, documents.name AS document, passages.revision_id, revisions.number AS revision,"
    " collections.name AS collection, passages.kind, passages.heading, passages.text, passages.page_first, passages.page_last,"
    " passages.boxes, passages.quote_start, passages.quote_end, passages.quote_sha256"
)
PASSAGE_SOURCE = (
    "passages JOIN documents ON documents.id = passages.document_id JOIN revisions ON revisions.id = passages.revision_id"
    " JOIN collections ON collections.id = passages.collection_id"
)


@dataclass(frozen=True)
class Added:
    """What became of one file. `reason` says why for anything but "indexed"; `seconds` covers reading, encoding and storing."""

    path: str
    status: Status
    reason: str = ""
    document_id: int | None = None
    pages: int | None = None
    pages_without_text: tuple[int, ...] = ()
    passages: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Removed:
    """What went with a document."""

    document_id: int
    name: str
    passages: int
    files: int


@dataclass(frozen=True)
class Document:
    """A document as it stands now. `pages` is None where the kind has none; `pages_without_text` are 1-based."""

    id: int
    name: str
    collection: str
    kind: str
    pages: int | None
    pages_without_text: tuple[int, ...]
    passages: int
    revision: int
    revision_id: int
    added_at: str
    size_bytes: int


@dataclass(frozen=True)
class Passage:
    """A piece of a document's current revision.

    `heading` is the path, outermost first. `boxes` are [page, left, top, right, bottom] in points from the page's top left corner.
    `quote_start:quote_end` are characters of the revision's plain text; `text` may begin with a caption or lead-in repeated before them.
    """

    id: int
    document_id: int
    document: str
    revision_id: int
    revision: int
    collection: str
    kind: str
    heading: tuple[str, ...]
    text: str
    page_first: int | None
    page_last: int | None
    boxes: tuple[tuple[float, ...], ...]
    quote_start: int
    quote_end: int
    quote_sha256: str

    @classmethod
    def from_row(cls, row: sqlite3.Row) -> Passage:
        """A row of `PASSAGE_COLUMNS`."""
        values = dict(row)
        values["heading"] = tuple(json.loads(values["heading"]))
        values["boxes"] = tuple(tuple(box) for box in json.loads(values["boxes"]))
        return cls(**values)


@dataclass(frozen=True)
class Hit:
    """A found passage. `rank` counts from 1; `dense` is the cosine and `bm25` the full-text score, None where that side did not find it."""

    passage: Passage
    score: float
    dense: float | None
    bm25: float | None
    rank: int
