"""What people say against the documents or beside them ("ours runs at 42 bar"): signed, dated, and cited before anything else.

A correction answers the question that it was made for, in other words too as far as the gates let it pass. Wherever else an answer
cites a passage that it corrects, instant or written, it is put in front. It rests on its passages like any answer: once one of them
has changed or gone it waits for a person to look at it again. It is never deleted, only withdrawn.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from kb.database import transaction
from surrogates import chat, gates, schema
from surrogates.answer import Answer, Citation, Timings
from surrogates.question import normalise
from surrogates.quotes import Quote
from surrogates.wording import Rarity, content

if TYPE_CHECKING:
    from kb.library import Library
    from kb.records import Passage

LONGEST = 1_000
SAME_QUESTION = 0.7  # least cosine of the asked and the corrected question
SAID_BOTH_WAYS = 0.6  # least idf-weighted share of either's words in the other or its passages
ON_THE_SUBJECT = 0.5  # least share of the corrected question's words in a question whose answer cites the corrected passage


@dataclass(frozen=True)
class Correction:
    """`state`: "active" serves, "to review" rests on text that has changed, "withdrawn" was taken back. `collection` None: all of them."""

    id: int
    question: str
    text: str
    collection: str | None
    signed_by: str
    signed_at: str
    withdrawn_by: str
    withdrawn_at: str | None
    passage_ids: tuple[int, ...]
    state: Literal["active", "to review", "withdrawn"]

    @property
    def signature(self) -> str:
        """Who and when, as it is shown and cited."""
        return f"Correction by {self.signed_by}, {self.signed_at[:10]}"

    def citation(self) -> Citation:
        """The correction as an answer cites it."""
        return Citation(self.signature, 0, 0, 1, 0, None, (), self.text, correction_id=self.id)


def correct(library: Library, question: str, text: str, by: str, collection: str | None = None, passage_ids: Sequence[int] = ()) -> int:
    """Keep what is right for a question, signed by `by`; its id. `passage_ids` are those that the corrected answer cited.

    Raises:
        QuestionRefused: the question is empty or too long.
        ValueError: nobody signs, or the text is empty or longer than `LONGEST` characters.
        KeyError: there is no such collection or passage.
    """
    asked, said, name = normalise(question), " ".join(text.split()), by.strip()
    if not name:
        raise ValueError("a correction needs a name; say who corrects")
    if not 0 < len(said) <= LONGEST:
        raise ValueError(f"the correction has {len(said)} characters, expected 1 to {LONGEST}; say what is right in a sentence or two")
    connection = schema.of(library)
    passages = [library.passage(id_) for id_ in dict.fromkeys(passage_ids)]
    with transaction(connection):
        cursor = connection.execute(
            "INSERT INTO corrections(collection_id, question, text, signed_by) VALUES (?, ?, ?, ?)",
            (chat.collection_id(connection, collection), asked, said, name),
        )
        connection.executemany(
            "INSERT INTO correction_passages VALUES (?, ?, ?)", [(cursor.lastrowid, each.id, each.quote_sha256) for each in passages]
        )
    return int(cursor.lastrowid or 0)


def withdraw(library: Library, correction_id: int, by: str) -> None:
    """Take a correction back, signed by `by`; `restore` undoes it. Raises ValueError when nobody signs, KeyError without the correction."""
    if not by.strip():
        raise ValueError("withdrawing a correction needs a name; say who takes it back")
    _update(library, correction_id, "withdrawn_by = ?, withdrawn_at = datetime('now')", by.strip())


def restore(library: Library, correction_id: int) -> None:
    """Let a withdrawn correction stand again."""
    _update(library, correction_id, "withdrawn_by = ?, withdrawn_at = NULL", "")


def listing(library: Library, collection: str | None = None) -> list[Correction]:
    """Corrections, the newest first; of a collection those that were made for the whole library too."""
    connection = schema.of(library)
    scope = chat.collection_id(connection, collection)
    rows = connection.execute(
        "SELECT k.id, k.question, k.text, c.name AS collection, k.signed_by, k.signed_at, k.withdrawn_by, k.withdrawn_at"
        " FROM corrections k LEFT JOIN collections c ON c.id = k.collection_id"
        " WHERE ? IS NULL OR k.collection_id IS NULL OR k.collection_id = ? ORDER BY k.id DESC",
        (scope, scope),
    ).fetchall()
    return [_correction(connection, row) for row in rows]


def answer(library: Library, question: str, collection: str | None, rarity: Rarity, seconds: Timings) -> Answer | None:
    """The newest correction that was made for this question, as an instant answer with the passages that it corrects; None without one."""
    found = _matching(library, question, _active(library, collection), rarity)
    if found is None:
        return None
    correction, likeness = found
    passages = [library.passage(id_) for id_ in correction.passage_ids]
    return Answer(
        text=correction.text,
        route="surrogate",
        confidence=likeness,
        citations=(correction.citation(), *(Quote(passage, 0, len(passage.text)).citation() for passage in passages)),
        seconds=seconds,
        notes=(f"{correction.signature}.",),
        matched_question=correction.question,
    )


def put_first(given: Answer, library: Library, question: str, collection: str | None, rarity: Rarity) -> Answer:
    """The answer with every correction in front that was made for its question, or on its subject for a passage that it cites."""
    active = _active(library, collection)
    if not active:
        return given
    cited = {citation.passage_id for citation in given.citations} if given.route != "declined" else set()
    said = content(question) | content(given.text)
    same = _matching(library, question, active, rarity)
    fitting = [
        each
        for each in active
        if (same is not None and same[0].id == each.id)
        or (cited & set(each.passage_ids) and rarity.share(content(each.question), said) >= ON_THE_SUBJECT)
    ]
    if not fitting:
        return given
    return replace(
        given,
        text="\n\n".join([*(f"{each.signature}: {each.text}" for each in fitting), given.text]),
        citations=(*(each.citation() for each in fitting), *given.citations),
    )


def _active(library: Library, collection: str | None) -> list[Correction]:
    if library.connection.execute("SELECT 1 FROM corrections WHERE withdrawn_at IS NULL LIMIT 1").fetchone() is None:
        return []
    return [correction for correction in listing(library, collection) if correction.state == "active"]


def _matching(library: Library, question: str, active: Sequence[Correction], rarity: Rarity) -> tuple[Correction, float] | None:
    """The correction whose question this is, and how alike they are; the newest of several."""
    if not active:
        return None
    vectors = library.encoder.encode([question, *(each.question for each in active)])  # [1 + n, d]
    likeness = vectors[1:] @ vectors[0]  # [n]
    for correction, alike in zip(active, likeness, strict=True):
        if float(alike) >= SAME_QUESTION and _asks_the_same(library, question, correction, rarity):
            return correction, min(float(alike), 1.0)
    return None


def _asks_the_same(library: Library, question: str, correction: Correction, rarity: Rarity) -> bool:
    passages = [library.passage(id_) for id_ in correction.passage_ids]
    evidence = "\n".join([correction.text, *(_evidence(passage) for passage in passages)])
    asked, known = content(question), content(correction.question)
    return (
        gates.refusal(question, correction.question, evidence, rarity) is None
        and rarity.share(asked, known | content(evidence)) >= SAID_BOTH_WAYS
        and rarity.share(known, asked) >= SAID_BOTH_WAYS
    )


def _correction(connection: sqlite3.Connection, row: sqlite3.Row) -> Correction:
    held = connection.execute(
        "SELECT k.passage_id, k.quote_sha256 IS p.quote_sha256 AS stands FROM correction_passages k"
        " LEFT JOIN passages p ON p.id = k.passage_id WHERE correction_id = ? ORDER BY k.rowid",
        (row["id"],),
    ).fetchall()
    stands = all(passage["stands"] for passage in held)
    state: Literal["active", "to review", "withdrawn"] = "active" if stands else "to review"
    passages = tuple(int(passage["passage_id"]) for passage in held)
    return Correction(**dict(row), passage_ids=passages, state="withdrawn" if row["withdrawn_at"] else state)


def _update(library: Library, correction_id: int, change: str, value: str) -> None:
    connection = schema.of(library)
    with transaction(connection):
        if connection.execute(f"UPDATE corrections SET {change} WHERE id = ?", (value, correction_id)).rowcount == 0:
            raise KeyError(f"there is no correction {correction_id}")


def _evidence(passage: Passage) -> str:
    return f"{' > '.join(passage.heading)}\n{passage.text}"
