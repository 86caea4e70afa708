"""Tables of the surrogates' room in the library's database: chat, feedback and the answer bank."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from kb import database, schema
from kb.database import Migration

if TYPE_CHECKING:
    from kb.library import Library

FIRST = Migration(
    1,
    """
CREATE TABLE chats (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id INTEGER REFERENCES collections(id),   -- NULL: the whole library
    title TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL DEFAULT (datetime('now')),
    deleted_at TEXT
) STRICT;

-- One question and its answer; the answer is the job's text and result.
CREATE TABLE turns (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    chat_id INTEGER NOT NULL REFERENCES chats(id),
    question TEXT NOT NULL,
    job_id INTEGER NOT NULL REFERENCES jobs(id),
    asked_at TEXT NOT NULL DEFAULT (datetime('now'))
) STRICT;
CREATE INDEX turns_by_chat ON turns(chat_id);

CREATE TABLE feedback (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    turn_id INTEGER NOT NULL REFERENCES turns(id),
    verdict TEXT NOT NULL CHECK (verdict IN ('right', 'wrong')),
    comment TEXT NOT NULL DEFAULT '',
    given_at TEXT NOT NULL DEFAULT (datetime('now'))
) STRICT;

-- state: active may answer; suspended waits for a recheck; tombstoned lost a passage that it rests on; proposed waits for a person.
CREATE TABLE bank_answers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id INTEGER NOT NULL REFERENCES collections(id),
    text TEXT NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('structure', 'engine', 'human')),
    teacher TEXT NOT NULL,                      -- model that wrote it, '' for structure
    prompt_version TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'tombstoned', 'proposed')),
    checked_seq INTEGER NOT NULL,               -- newest library change it was checked against
    made_at TEXT NOT NULL DEFAULT (datetime('now'))
) STRICT;
CREATE INDEX bank_answers_by_state ON bank_answers(collection_id, state);

-- All passages that an answer rests on, anchored so that a later reader can find the place again.
CREATE TABLE bank_sources (
    answer_id INTEGER NOT NULL REFERENCES bank_answers(id),
    passage_id INTEGER NOT NULL,                -- no foreign key: the passage may go, the record stays
    revision_id INTEGER NOT NULL,
    quote TEXT NOT NULL,
    quote_start INTEGER NOT NULL,
    quote_end INTEGER NOT NULL,
    quote_sha256 TEXT NOT NULL,                 -- of the whole passage text
    PRIMARY KEY (answer_id, passage_id, quote_start)
) STRICT;
CREATE INDEX bank_sources_by_passage ON bank_sources(passage_id);

CREATE TABLE bank_questions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    answer_id INTEGER NOT NULL REFERENCES bank_answers(id),
    text TEXT NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('structure', 'engine', 'human')),
    vector BLOB NOT NULL,                       -- float32 of the frozen encoder, unit length
    UNIQUE (answer_id, text)
) STRICT;

-- One row a passage once teaching has dealt with it; counts are JSON {"made": n, "kept": n, "dropped": {"reason": n}}.
CREATE TABLE taught_passages (
    passage_id INTEGER PRIMARY KEY,
    teacher TEXT NOT NULL,
    prompt_version TEXT NOT NULL,
    counts TEXT NOT NULL,
    engine_s REAL NOT NULL,
    at TEXT NOT NULL DEFAULT (datetime('now'))
) STRICT;

-- A passage that goes takes the answers that rest on it along, in the same transaction, whoever deleted it.
CREATE TRIGGER bank_follows_passages AFTER DELETE ON passages BEGIN
    UPDATE bank_answers SET state = 'tombstoned'
    WHERE id IN (SELECT answer_id FROM bank_sources WHERE passage_id = old.id);
    DELETE FROM taught_passages WHERE passage_id = old.id;
END;
""",
)

JUDGING = Migration(
    2,
    """
-- Questions that people asked, taken down before anything was decided about them, and questions entered to be judged.
CREATE TABLE sampled_questions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id INTEGER REFERENCES collections(id),   -- NULL: the whole library
    text TEXT NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('asked', 'entered')),
    job_id INTEGER UNIQUE,                      -- NULL when entered
    place REAL NOT NULL,                        -- 0..1, drawn at random: the order in which questions are offered for judging
    at TEXT NOT NULL DEFAULT (datetime('now'))
) STRICT;

-- What the bank and model of `fingerprint` would answer instantly; one row a question, the newest.
CREATE TABLE candidates (
    question_id INTEGER PRIMARY KEY REFERENCES sampled_questions(id),
    fingerprint TEXT NOT NULL,
    confidence REAL NOT NULL,                   -- 0 where a gate refuses or nothing is near
    answer TEXT NOT NULL,
    matched_question TEXT NOT NULL,
    passage_id INTEGER,                         -- the first that it rests on
    citations TEXT NOT NULL                     -- JSON, as an answer has them
) STRICT;

-- Verdicts on an answer to a sampled question; the newest of a question and an answer counts.
CREATE TABLE judgements (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    question_id INTEGER NOT NULL REFERENCES sampled_questions(id),
    answer TEXT NOT NULL,
    citations TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('right', 'wrong', 'unclear')),
    provenance TEXT NOT NULL CHECK (provenance IN ('human', 'span', 'teacher')),
    judged_by TEXT NOT NULL,
    note TEXT NOT NULL DEFAULT '',
    at TEXT NOT NULL DEFAULT (datetime('now'))
) STRICT;
CREATE INDEX judgements_by_question ON judgements(question_id);

-- Every test of a level against the judged answers, passed (accept_at) or not (NULL); each spends a part of delta.
CREATE TABLE certifications (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    level INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    teacher TEXT NOT NULL,
    delta REAL NOT NULL,
    labels INTEGER NOT NULL,                    -- judged answers at the level when it was tested
    answered INTEGER NOT NULL,
    wrong INTEGER NOT NULL,
    accept_at REAL,
    at TEXT NOT NULL DEFAULT (datetime('now'))
) STRICT;
""",
)

LEARNING = Migration(
    3,
    """
-- Written answers that wait for a person; each has a bank answer of its own in the state 'proposed' until it is decided.
CREATE TABLE proposals (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    answer_id INTEGER NOT NULL UNIQUE REFERENCES bank_answers(id),
    question TEXT NOT NULL,
    agreeing INTEGER NOT NULL DEFAULT 1,        -- answers to differently worded questions that say the same, this one included
    decision TEXT NOT NULL DEFAULT 'waiting' CHECK (decision IN ('waiting', 'confirmed', 'rejected')),
    decided_by TEXT NOT NULL DEFAULT '',
    decided_at TEXT,
    made_at TEXT NOT NULL DEFAULT (datetime('now'))
) STRICT;

-- What a person says against the documents, or beside them; never deleted, only withdrawn.
CREATE TABLE corrections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id INTEGER REFERENCES collections(id),   -- NULL: the whole library
    question TEXT NOT NULL,
    text TEXT NOT NULL,
    signed_by TEXT NOT NULL,
    signed_at TEXT NOT NULL DEFAULT (datetime('now')),
    withdrawn_by TEXT NOT NULL DEFAULT '',
    withdrawn_at TEXT
) STRICT;
CREATE TABLE correction_passages (
    correction_id INTEGER NOT NULL REFERENCES corrections(id),
    passage_id INTEGER NOT NULL,                -- no foreign key: the passage may go, the correction then waits for a look
    quote_sha256 TEXT NOT NULL,
    PRIMARY KEY (correction_id, passage_id)
) STRICT;

-- Every instant answer that was given, and whether its passages bear it out; audited NULL: not yet, or not drawn.
CREATE TABLE served_answers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id INTEGER UNIQUE,
    collection_id INTEGER REFERENCES collections(id),
    question TEXT NOT NULL,
    answer_id INTEGER NOT NULL,
    answer TEXT NOT NULL,
    confidence REAL NOT NULL,
    level INTEGER NOT NULL,
    is_drawn INTEGER NOT NULL CHECK (is_drawn IN (0, 1)),
    audit TEXT CHECK (audit IN ('held', 'failed', 'gone')),   -- gone: the library changed before it could be audited
    why TEXT NOT NULL DEFAULT '',
    audited_at TEXT,
    at TEXT NOT NULL DEFAULT (datetime('now'))
) STRICT;
CREATE INDEX served_answers_open ON served_answers(audit, is_drawn);

-- Each time that audits found more errors than a level allows: from then on this level needs at least `accept_at`.
CREATE TABLE breaches (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    level INTEGER NOT NULL,
    accept_at REAL NOT NULL,
    audited INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    last_served INTEGER NOT NULL,               -- the newest answer that it counted; a new count begins after it
    lifted_by TEXT NOT NULL DEFAULT '',
    lifted_at TEXT,
    at TEXT NOT NULL DEFAULT (datetime('now'))
) STRICT;
""",
)

TEACHERS = Migration(
    4,
    """
-- Who wrote the question; an answer cut from the passage may have been found by structure before.
ALTER TABLE bank_questions ADD COLUMN teacher TEXT NOT NULL DEFAULT '';
UPDATE bank_questions SET teacher = (SELECT teacher FROM bank_answers WHERE id = answer_id) WHERE source = 'engine';
""",
)

TOKENS = Migration(
    5,
    """
-- Token vectors of the passages that were read (surrogates/interaction.py), and the axes that they are given on, per encoder.
CREATE TABLE token_axes (
    encoder TEXT PRIMARY KEY,
    axes BLOB NOT NULL                          -- float32 [encoder's dimension, axes]
) STRICT;
CREATE TABLE passage_tokens (
    passage_id INTEGER PRIMARY KEY,
    encoder TEXT NOT NULL,
    vectors BLOB NOT NULL,                      -- int8 [tokens, axes], 127 is 1
    places BLOB NOT NULL                        -- int32 [tokens, 2]: first character and end in the passage's text; negative in headings
) STRICT;
CREATE TRIGGER tokens_follow_passages AFTER DELETE ON passages BEGIN
    DELETE FROM passage_tokens WHERE passage_id = old.id;
END;
""",
)

AXES = Migration(
    6,
    """
-- How many passages the axes were found from: a library that had few then gets better ones when it has grown.
ALTER TABLE token_axes ADD COLUMN sampled INTEGER NOT NULL DEFAULT 48;
""",
)

MIGRATIONS = (FIRST, JUDGING, LEARNING, TEACHERS, TOKENS, AXES)


def connect(home: Path) -> sqlite3.Connection:
    """The library's database in `home` with the tables of both rooms up to date; for one thread, and without loading any index."""
    connection = database.connect(home)
    database.migrate(connection, "kb", schema.MIGRATIONS)
    database.migrate(connection, "surrogates", MIGRATIONS)
    return connection


def of(library: Library) -> sqlite3.Connection:
    """The library's own connection, with the surrogates' tables up to date."""
    database.migrate(library.connection, "surrogates", MIGRATIONS)
    return library.connection
