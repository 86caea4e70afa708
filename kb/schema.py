"""The library's tables. Every id is AUTOINCREMENT, so that none is ever used twice."""

from __future__ import annotations

from kb.database import Migration

LIBRARY = Migration(
    1,
    """
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

CREATE TABLE collections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    created_at TEXT NOT NULL DEFAULT (datetime('now'))
) STRICT;

-- One row for every change of the library; indexes replay the rows that they have not seen.
CREATE TABLE changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('added', 'replaced', 'removed')),
    collection_id INTEGER NOT NULL REFERENCES collections(id),
    document_id INTEGER NOT NULL,
    revision_id INTEGER,
    at TEXT NOT NULL DEFAULT (datetime('now'))
) STRICT;

CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id INTEGER NOT NULL REFERENCES collections(id),
    name TEXT NOT NULL,                         -- display text only, never a path to open
    added_at TEXT NOT NULL DEFAULT (datetime('now')),
    removed_at TEXT                             -- set on removal; the row stays so that old citations can say so
) STRICT;
CREATE INDEX documents_by_collection ON documents(collection_id, removed_at);

CREATE TABLE revisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    document_id INTEGER NOT NULL REFERENCES documents(id),
    number INTEGER NOT NULL,                    -- 1, 2, 3 .. within the document
    content_sha256 TEXT NOT NULL,               -- the original lies under this name in files/
    kind TEXT NOT NULL,                         -- pdf, docx, markdown, html, text, csv, xlsx
    size_bytes INTEGER NOT NULL,
    pages INTEGER,                              -- NULL where the kind has no pages
    pages_without_text TEXT NOT NULL DEFAULT '[]',
    reader_version TEXT NOT NULL,
    is_current INTEGER NOT NULL CHECK (is_current IN (0, 1)),
    added_at TEXT NOT NULL DEFAULT (datetime('now')),
    UNIQUE (document_id, number)
) STRICT;
CREATE INDEX revisions_by_content ON revisions(content_sha256);
CREATE UNIQUE INDEX revisions_current ON revisions(document_id) WHERE is_current;

-- Only passages of current revisions are here: a row that is gone cannot be cited.
CREATE TABLE passages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id INTEGER NOT NULL REFERENCES collections(id),
    document_id INTEGER NOT NULL REFERENCES documents(id),
    revision_id INTEGER NOT NULL REFERENCES revisions(id),
    ordinal INTEGER NOT NULL,                   -- 0, 1, 2 .. in reading order within the revision
    kind TEXT NOT NULL,                         -- prose, list, table, code
    heading TEXT NOT NULL,                      -- JSON array, outermost first
    text TEXT NOT NULL,
    page_first INTEGER,                         -- 1-based; NULL where the kind has no pages
    page_last INTEGER,
    boxes TEXT NOT NULL DEFAULT '[]',           -- JSON [[page, left, top, right, bottom]], points from the top left
    quote_start INTEGER NOT NULL,               -- offsets into the revision's plain text, in characters
    quote_end INTEGER NOT NULL,
    quote_sha256 TEXT NOT NULL,                 -- of `text`
    reader_version TEXT NOT NULL,
    added_seq INTEGER NOT NULL REFERENCES changes(seq),
    UNIQUE (revision_id, ordinal)
) STRICT;
CREATE INDEX passages_by_document ON passages(document_id);
CREATE INDEX passages_by_collection ON passages(collection_id);
CREATE INDEX passages_by_seq ON passages(added_seq);

-- Vectors outlive the FAISS file, so that the index can be built again without the encoder.
CREATE TABLE passage_vectors (
    passage_id INTEGER PRIMARY KEY REFERENCES passages(id) ON DELETE CASCADE,
    encoder TEXT NOT NULL,
    vector BLOB NOT NULL                        -- float32, little endian, unit length
) STRICT;

-- Full text. It keeps a copy of its own, so that words that are not in the passage can be added beside it later.
CREATE VIRTUAL TABLE passages_fts USING fts5(heading, text, tokenize="porter unicode61 remove_diacritics 2");
CREATE TRIGGER passages_fts_insert AFTER INSERT ON passages BEGIN
    INSERT INTO passages_fts(rowid, heading, text) VALUES (new.id, new.heading, new.text);
END;
CREATE TRIGGER passages_fts_delete AFTER DELETE ON passages BEGIN
    DELETE FROM passages_fts WHERE rowid = old.id;
END;

-- Work of every kind: pages and commands write rows, the worker that holds the lease runs them.
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,                         -- ask, ingest, teach, train, pack, download ..
    collection_id INTEGER REFERENCES collections(id),
    payload TEXT NOT NULL,                      -- JSON object
    state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    progress REAL NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 1),
    stage TEXT NOT NULL DEFAULT '',             -- what it is doing, in the user's words
    text TEXT NOT NULL DEFAULT '',              -- an answer as far as it is written
    result TEXT,                                -- JSON, once done
    error TEXT,                                 -- once failed: what was wrong and what to do
    cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
    attempts INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL,                   -- seconds since the epoch
    started_at REAL,
    finished_at REAL
) STRICT;
CREATE INDEX jobs_open ON jobs(state, kind, id);

CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    expires_at REAL NOT NULL                    -- seconds since the epoch
) STRICT;
""",
)

MIGRATIONS = (LIBRARY,)
