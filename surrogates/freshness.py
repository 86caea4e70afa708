"""Bank answers follow the library: each is checked against passages that came after it, before it may serve again.

New passages suspend every answer of their collection by the comparison in `bank.SERVING`. `replay` lifts that from the answers
that the new passages do not touch; the others wait, suspended, for `recheck`.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kb.database import transaction
from surrogates import bank
from surrogates.quantities import signature
from surrogates.wording import Rarity, content

if TYPE_CHECKING:
    from kb.library import Library

CHUNK = 512


@dataclass(frozen=True)
class TouchSettings:
    """When a new passage touches a bank question.

    It does when its cosine is at least `dense_floor` and not more than `dense_slack` below that of the question's own passage; or when
    it is at least `near` and says as much of the question, weighed by rarity (`words_slack` less at most, `words_floor` at least); or
    when it names a code of the question.
    """

    dense_floor: float = 0.5
    dense_slack: float = 0.05
    near: float = 0.25
    words_floor: float = 0.7
    words_slack: float = 0.1


@dataclass(frozen=True)
class Replayed:
    """What a replay did: answers checked, and of those suspended."""

    checked: int
    suspended: int


@dataclass(frozen=True)
class _Waiting:
    """A question of an answer that must be checked, with the passages that the answer rests on."""

    answer_id: int
    text: str
    vector: NDArray[np.float32]
    passage_ids: tuple[int, ...]


@dataclass(frozen=True)
class _Fresh:
    """Passages that came after the answers, with what can be compared."""

    vectors: NDArray[np.float32]  # [n, d]
    words: tuple[frozenset[str], ...]
    codes: frozenset[str]


def replay(library: Library, settings: TouchSettings | None = None) -> Replayed:
    """Check every answer against the passages that came after it; call before predicting whenever the library has grown.

    Untouched answers serve again from now on; touched ones are suspended. Costs one matrix product.
    """
    connection = library.connection
    checked = suspended = 0
    for collection_id, seen, newest in _behind(connection):
        questions = _waiting(connection, collection_id, seen)
        fresh = _fresh(library, collection_id, seen)
        touched = _touched(library, questions, fresh, settings or TouchSettings()) if fresh else set()
        answers = {question.answer_id for question in questions}
        _settle(connection, answers - touched, touched, newest)
        checked += len(answers)
        suspended += len(touched)
    return Replayed(checked, suspended)


def recheck(library: Library, should_stop: Callable[[], bool] | None = None) -> int:
    """Look at suspended answers again; returns how many serve again.

    An answer comes back only if its passage is found first for each of its questions and no newer passage among the first five says
    as much of the question. A newer passage that does may contradict it: the answer stays suspended, and the question goes the long way.
    """
    connection = library.connection
    rarity = Rarity.of_library(connection)
    back = 0
    rows = connection.execute(
        "SELECT a.id, a.checked_seq, c.name FROM bank_answers a JOIN collections c ON c.id = a.collection_id WHERE state = 'suspended'"
    ).fetchall()
    for answer_id, seen, collection in rows:
        if should_stop is not None and should_stop():
            break
        newest = library.newest_seq(collection)
        texts = [row[0] for row in connection.execute("SELECT text FROM bank_questions WHERE answer_id = ?", (answer_id,))]
        sources = bank.answer(connection, answer_id).passage_ids
        if all(_stands(library, text, sources, seen, collection, rarity) for text in texts):
            with transaction(connection):
                connection.execute(
                    "UPDATE bank_answers SET state = 'active', checked_seq = ? WHERE id = ? AND state = 'suspended'", (newest, answer_id)
                )
            back += 1
    return back


def _behind(connection: sqlite3.Connection) -> list[tuple[int, int, int]]:
    """(collection, checked_seq, newest change that added passages) of active answers that have not seen the newest."""
    rows = connection.execute(
        "SELECT a.collection_id, a.checked_seq, n.seq FROM bank_answers a JOIN (SELECT collection_id, max(seq) AS seq FROM changes"
        " WHERE kind IN ('added', 'replaced') GROUP BY collection_id) n USING (collection_id)"
        " WHERE a.state = 'active' AND a.checked_seq < n.seq GROUP BY a.collection_id, a.checked_seq"
    )
    return [(int(row[0]), int(row[1]), int(row[2])) for row in rows]


def _waiting(connection: sqlite3.Connection, collection_id: int, seen: int) -> list[_Waiting]:
    rows = connection.execute(
        "SELECT q.answer_id, q.text, q.vector FROM bank_questions q JOIN bank_answers a ON a.id = q.answer_id"
        " WHERE a.state = 'active' AND a.collection_id = ? AND a.checked_seq = ?",
        (collection_id, seen),
    ).fetchall()
    sources: dict[int, list[int]] = defaultdict(list)
    for answer_id, passage_id in connection.execute(
        "SELECT s.answer_id, s.passage_id FROM bank_sources s JOIN bank_answers a ON a.id = s.answer_id"
        " WHERE a.state = 'active' AND a.collection_id = ? AND a.checked_seq = ?",
        (collection_id, seen),
    ):
        sources[answer_id].append(passage_id)
    return [_Waiting(row[0], row[1], np.frombuffer(row[2], np.float32), tuple(sources[row[0]])) for row in rows]


def _fresh(library: Library, collection_id: int, seen: int) -> _Fresh | None:
    rows = library.connection.execute(
        "SELECT p.id, p.heading || ' ' || p.text, v.vector FROM passages p JOIN passage_vectors v ON v.passage_id = p.id"
        " WHERE p.collection_id = ? AND p.added_seq > ?",
        (collection_id, seen),
    ).fetchall()
    if not rows:
        return None
    codes = frozenset(code for row in rows for code in signature(row[1]).codes)
    return _Fresh(np.stack([np.frombuffer(row[2], np.float32) for row in rows]), tuple(content(row[1]) for row in rows), codes)


def _touched(library: Library, questions: Sequence[_Waiting], fresh: _Fresh, settings: TouchSettings) -> set[int]:
    own = _own_cosines(library, questions)
    rarity = Rarity.of_library(library.connection)
    touched = {question.answer_id for question in questions if signature(question.text).codes & fresh.codes}
    for first in range(0, len(questions), CHUNK):
        batch = questions[first : first + CHUNK]
        scores = np.stack([question.vector for question in batch]) @ fresh.vectors.T  # [b, n]
        floor = np.maximum(settings.dense_floor, own[first : first + CHUNK] - settings.dense_slack)  # [b]
        by_meaning = scores.max(axis=1) >= floor
        for index, question in enumerate(batch):
            if question.answer_id not in touched and (
                by_meaning[index] or _says_as_much(library, question, fresh, scores[index], rarity, settings)
            ):
                touched.add(question.answer_id)
    return touched


def _own_cosines(library: Library, questions: Sequence[_Waiting]) -> NDArray[np.float32]:
    """Cosine of each question with the best of its passages; -1 where they are gone."""
    ids = sorted({passage_id for question in questions for passage_id in question.passage_ids})
    held = _stored(library, ids)
    return np.asarray(
        [max((float(question.vector @ held[id_]) for id_ in question.passage_ids if id_ in held), default=-1.0) for question in questions],
        np.float32,
    )


def _stored(library: Library, ids: Iterable[int]) -> dict[int, NDArray[np.float32]]:
    from kb.dense import stored_vectors

    return dict(stored_vectors(library.connection, list(ids)))


def _says_as_much(
    library: Library, question: _Waiting, fresh: _Fresh, scores: NDArray[np.float32], rarity: Rarity, settings: TouchSettings
) -> bool:
    near = np.flatnonzero(scores >= settings.near)
    wanted = content(question.text)
    if not len(near) or not wanted:
        return False
    best = max(rarity.share(wanted, fresh.words[index]) for index in near)
    return best >= settings.words_floor and best >= _own_share(library, question, wanted, rarity) - settings.words_slack


def _own_share(library: Library, question: _Waiting, wanted: frozenset[str], rarity: Rarity) -> float:
    marks = ",".join("?" * len(question.passage_ids))
    rows = library.connection.execute(f"SELECT heading || ' ' || text FROM passages WHERE id IN ({marks})", question.passage_ids)
    return max((rarity.share(wanted, content(row[0])) for row in rows), default=0.0)


def _settle(connection: sqlite3.Connection, untouched: set[int], touched: set[int], newest: int) -> None:
    with transaction(connection):
        connection.executemany(
            "UPDATE bank_answers SET checked_seq = ? WHERE id = ? AND state = 'active'", [(newest, answer) for answer in untouched]
        )
        connection.executemany(
            "UPDATE bank_answers SET state = 'suspended' WHERE id = ? AND state = 'active'", [(answer,) for answer in touched]
        )


def _stands(library: Library, text: str, sources: frozenset[int], seen: int, collection: str, rarity: Rarity) -> bool:
    hits = library.search(text, collection, limit=5)
    if not hits or hits[0].passage.id not in sources:
        return False
    wanted = content(text)
    newer = [hit for hit in hits if hit.passage.id not in sources and _added_seq(library, hit.passage.id) > seen]
    said = rarity.share(wanted, content(f"{' '.join(hits[0].passage.heading)} {hits[0].passage.text}"))
    return all(rarity.share(wanted, content(f"{' '.join(hit.passage.heading)} {hit.passage.text}")) < said - 0.1 for hit in newer)


def _added_seq(library: Library, passage_id: int) -> int:
    row = library.connection.execute("SELECT added_seq FROM passages WHERE id = ?", (passage_id,)).fetchone()
    return int(row[0]) if row else 0


def data_version(connection: sqlite3.Connection) -> int:
    """Changes when another connection wrote."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


def state_of(connection: sqlite3.Connection) -> tuple[int, ...]:
    """What tells whether passages, questions or answers changed: numbers that only grow, and a sum over the states."""
    row = connection.execute(
        "SELECT (SELECT coalesce(max(seq), 0) FROM changes), (SELECT coalesce(max(id), 0) FROM bank_questions),"
        " (SELECT count(*) FROM bank_answers WHERE state = 'active'), (SELECT coalesce(sum(checked_seq), 0) FROM bank_answers)"
    ).fetchone()
    return tuple(int(value) for value in row)
