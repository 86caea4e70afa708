"""The answer bank: answers, all passages that they rest on, and the questions that lead to them, with their frozen vectors.

Offsets in `bank_sources` count characters of the passage's text. An answer is *serving* while it is active and was checked against
the newest change that added passages to its collection; both are compared in SQL, so that a commit of new passages suspends at once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from kb.database import set_setting, setting, transaction
from surrogates.pairs import Pair

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kb.library import Library

ENCODER_KEY = "surrogates.bank.encoder"

# Ids of the answers that may serve: active, and checked against the newest change that added passages to their collection.
SERVING = """
WITH newest(collection_id, seq) AS MATERIALIZED (
    SELECT collection_id, max(seq) FROM changes WHERE kind IN ('added', 'replaced') GROUP BY collection_id
)
SELECT id FROM bank_answers JOIN newest USING (collection_id) WHERE state = 'active' AND checked_seq >= seq"""


@dataclass(frozen=True)
class Support:
    """A passage that an answer rests on, and the words in it."""

    passage_id: int
    quote: str
    sha256: str


@dataclass(frozen=True)
class BankAnswer:
    """One answer of the bank with everything that it rests on."""

    id: int
    collection_id: int
    text: str
    source: str
    support: tuple[Support, ...]

    @property
    def passage_ids(self) -> frozenset[int]:
        """The passages that it rests on."""
        return frozenset(support.passage_id for support in self.support)


def store(
    connection: sqlite3.Connection,
    pairs: Sequence[Pair],
    vectors: NDArray[np.float32],  # [len(pairs), d]
    *,
    teacher: str,
    prompt_version: str,
    checked_seq: int,
) -> int:
    """Add pairs whose passages are all still there; returns how many questions were new.

    Pairs with the same answer on the same passages share one row. Run it in the transaction that records the passage as taught.
    """
    added = 0
    with transaction(connection):
        for pair, vector in zip(pairs, vectors, strict=True):
            rows = _passage_rows(connection, pair)
            if rows is None:
                continue
            answer_id = _known_id(connection, pair)
            if answer_id is None:
                answer_id = _insert(connection, pair, rows, "active", (teacher, prompt_version, checked_seq))
            added += add_question(connection, answer_id, pair.question, pair.source, vector, teacher)
    return added


def store_proposed(
    connection: sqlite3.Connection,
    pair: Pair,
    vector: NDArray[np.float32],  # [d]
    *,
    teacher: str,
    prompt_version: str,
    checked_seq: int,
) -> int | None:
    """Keep a pair that was asked by a person as a proposed answer of its own; its id, None when a passage of it is gone."""
    with transaction(connection):
        rows = _passage_rows(connection, pair)
        if rows is None:
            return None
        answer_id = _insert(connection, pair, rows, "proposed", (teacher, prompt_version, checked_seq))
        add_question(connection, answer_id, pair.question, "human", vector)
    return answer_id


def adopt(connection: sqlite3.Connection, pair: Pair, checked_seq: int) -> int | None:
    """The id of an answer that was read in its passages, which are kept with it from now on; None when one of them is gone.

    It leads no question to itself: the passages are read again for the next one.
    """
    with transaction(connection):
        rows = _passage_rows(connection, pair)
        if rows is None:
            return None
        known = _known_id(connection, pair)
        return _insert(connection, pair, rows, "active", ("", "read-1", checked_seq)) if known is None else known


def add_question(
    connection: sqlite3.Connection, answer_id: int, text: str, source: str, vector: NDArray[np.float32], teacher: str = ""
) -> int:
    """Let another question, with its frozen vector [d], lead to an answer; returns 0 when it did already, else 1.

    `teacher` is the model that wrote the question, "" where a person or the structure did.
    """
    with transaction(connection):
        cursor = connection.execute(
            "INSERT OR IGNORE INTO bank_questions(answer_id, text, source, vector, teacher) VALUES (?, ?, ?, ?, ?)",
            (answer_id, text, source, np.asarray(vector, np.float32).tobytes(), teacher),
        )
    return cursor.rowcount


def _passage_rows(connection: sqlite3.Connection, pair: Pair) -> dict[int, sqlite3.Row] | None:
    ids = {quote.passage_id for quote in pair.quotes}
    marks = ",".join("?" * len(ids))
    rows = connection.execute(f"SELECT id, collection_id, revision_id, text, quote_sha256 FROM passages WHERE id IN ({marks})", tuple(ids))
    found = {int(row["id"]): row for row in rows}
    return found if len(found) == len(ids) else None


def _known_id(connection: sqlite3.Connection, pair: Pair) -> int | None:
    """The answer that says the same from the same place, if teaching made one."""
    first = pair.quotes[0]
    known = connection.execute(
        "SELECT id FROM bank_answers JOIN bank_sources ON answer_id = id WHERE passage_id = ? AND quote_start = ? AND text = ?"
        " AND state != 'tombstoned' AND id NOT IN (SELECT answer_id FROM proposals)",
        (first.passage_id, first.start, pair.answer),
    ).fetchone()
    return None if known is None else int(known[0])


def _insert(connection: sqlite3.Connection, pair: Pair, rows: dict[int, sqlite3.Row], state: str, made_by: tuple[str, str, int]) -> int:
    """A new answer with its sources; `made_by` is teacher, prompt version and the change that it was checked against."""
    collection_id = rows[pair.quotes[0].passage_id]["collection_id"]
    cursor = connection.execute(
        "INSERT INTO bank_answers(collection_id, text, source, state, teacher, prompt_version, checked_seq) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (collection_id, pair.answer, pair.source, state, *made_by),
    )
    answer_id = int(cursor.lastrowid or 0)
    for quote in pair.quotes:
        row = rows[quote.passage_id]
        words = row["text"][quote.start : quote.end]
        connection.execute(
            "INSERT INTO bank_sources VALUES (?, ?, ?, ?, ?, ?, ?)",
            (answer_id, quote.passage_id, row["revision_id"], words, quote.start, quote.end, row["quote_sha256"]),
        )
    return answer_id


def answer(connection: sqlite3.Connection, answer_id: int) -> BankAnswer:
    """Read one answer, whatever its state.

    Raises:
        KeyError: there is no such answer.
    """
    row = connection.execute("SELECT id, collection_id, text, source FROM bank_answers WHERE id = ?", (answer_id,)).fetchone()
    if row is None:
        raise KeyError(f"there is no bank answer {answer_id}")
    sources = connection.execute(
        "SELECT passage_id, quote, quote_sha256 FROM bank_sources WHERE answer_id = ? ORDER BY rowid", (answer_id,)
    ).fetchall()
    support = tuple(Support(source["passage_id"], source["quote"], source["quote_sha256"]) for source in sources)
    return BankAnswer(row["id"], row["collection_id"], row["text"], row["source"], support)


def is_current(connection: sqlite3.Connection, answer_id: int) -> bool:
    """Whether the answer serves now: active, checked against the newest passages, and every passage there with the text it had."""
    row = connection.execute(
        f"{SERVING} AND bank_answers.id = ? AND NOT EXISTS (SELECT 1 FROM bank_sources s LEFT JOIN passages p"
        " ON p.id = s.passage_id WHERE s.answer_id = bank_answers.id AND p.quote_sha256 IS NOT s.quote_sha256)",
        (answer_id,),
    ).fetchone()
    return row is not None


def counts(connection: sqlite3.Connection) -> dict[str, int]:
    """Answers by state, and the questions of those that are active."""
    states = {str(state): int(n) for state, n in connection.execute("SELECT state, count(*) FROM bank_answers GROUP BY state")}
    questions = connection.execute("SELECT count(*) FROM bank_questions JOIN bank_answers a ON a.id = answer_id WHERE state = 'active'")
    return {**states, "questions": int(questions.fetchone()[0])}


def teacher_of(connection: sqlite3.Connection, answer_id: int, question: str) -> str:
    """The model that wrote a question of the bank or its answer, "document structure" where none did."""
    row = connection.execute(
        "SELECT coalesce(nullif(q.teacher, ''), a.teacher) FROM bank_questions q JOIN bank_answers a ON a.id = q.answer_id"
        " WHERE a.id = ? AND q.text = ?",
        (answer_id, question),
    ).fetchone()
    return str(row[0]) if row and row[0] else "document structure"


def teachers(connection: sqlite3.Connection) -> str:
    """The models that wrote what may serve, and "document structure" where none did, in one phrase."""
    rows = connection.execute(
        "SELECT teacher FROM bank_answers WHERE state = 'active' AND teacher != '' UNION SELECT q.teacher FROM bank_questions q"
        " JOIN bank_answers a ON a.id = q.answer_id WHERE a.state = 'active' AND q.teacher != '' ORDER BY 1"
    )
    return ", ".join(str(row[0]) for row in rows) or "document structure"


def use_encoder(library: Library) -> int:
    """Make the stored vectors those of the library's encoder; returns how many questions had to be encoded again."""
    connection = library.connection
    name = library.encoder.name
    if setting(connection, ENCODER_KEY, None) == name:
        return 0
    rows = connection.execute("SELECT id, text FROM bank_questions").fetchall()
    vectors = library.encoder.encode([row["text"] for row in rows])
    with transaction(connection):
        for row, vector in zip(rows, vectors, strict=True):
            connection.execute("UPDATE bank_questions SET vector = ? WHERE id = ?", (np.asarray(vector, np.float32).tobytes(), row["id"]))
        set_setting(connection, ENCODER_KEY, name)
    return len(rows)


@dataclass
class View:
    """The bank in memory, for matrix products; rows are questions in the order of their ids."""

    ids: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))  # [n]
    answer_ids: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))  # [n]
    texts: list[str] = field(default_factory=list)
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))  # [n, d]
    serving: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))  # [n]
    collection_ids: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))  # [n]
    by_person: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))  # [n], asked by a person, who confirmed the answer
    _passages: dict[int, frozenset[int]] = field(default_factory=dict, repr=False)
    _rows: dict[int, NDArray[np.int64]] = field(default_factory=dict, repr=False)

    def refresh(self, connection: sqlite3.Connection) -> bool:
        """Read what is new and what serves now; returns whether questions were added."""
        newest = int(self.ids[-1]) if len(self.ids) else 0
        rows = connection.execute(
            "SELECT q.id, q.answer_id, q.text, q.source, q.vector, a.collection_id FROM bank_questions q"
            " JOIN bank_answers a ON a.id = q.answer_id WHERE q.id > ? AND a.state != 'tombstoned' ORDER BY q.id",
            (newest,),
        ).fetchall()
        if rows:
            self._append(rows)
        serving = [row[0] for row in connection.execute(SERVING)]
        self.serving = np.isin(self.answer_ids, np.asarray(serving, np.int64))
        return bool(rows)

    def passages_of(self, connection: sqlite3.Connection, answer_id: int) -> frozenset[int]:
        """The passages that an answer rests on; they never change for an answer."""
        if answer_id not in self._passages:
            rows = connection.execute("SELECT passage_id FROM bank_sources WHERE answer_id = ?", (answer_id,))
            self._passages[answer_id] = frozenset(int(row[0]) for row in rows)
        return self._passages[answer_id]

    def rows_of(self, answer_id: int) -> NDArray[np.int64]:
        """The rows of an answer's questions."""
        if not self._rows and len(self.ids):
            order = np.argsort(self.answer_ids, kind="stable")
            answers, firsts = np.unique(self.answer_ids[order], return_index=True)
            self._rows = {int(answer): rows for answer, rows in zip(answers, np.split(order, firsts[1:]), strict=True)}
        return self._rows.get(answer_id, np.zeros(0, np.int64))

    def _append(self, rows: Sequence[sqlite3.Row]) -> None:
        fresh = np.stack([np.frombuffer(row["vector"], np.float32) for row in rows])  # [m, d]
        self.vectors = np.concatenate([self.vectors, fresh]) if len(self.ids) else fresh
        self.ids = np.concatenate([self.ids, _column(rows, "id")])
        self.answer_ids = np.concatenate([self.answer_ids, _column(rows, "answer_id")])
        self.collection_ids = np.concatenate([self.collection_ids, _column(rows, "collection_id")])
        self.by_person = np.concatenate([self.by_person, np.asarray([row["source"] == "human" for row in rows], bool)])
        self.texts += [str(row["text"]) for row in rows]
        self._rows = {}


def _column(rows: Iterable[sqlite3.Row], name: str) -> NDArray[np.int64]:
    return np.asarray([row[name] for row in rows], np.int64)
