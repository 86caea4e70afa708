"""Written answers that wait for a person: what passes the filters of teaching may enter the bank once somebody confirms it.

A proposal is a bank answer in the state 'proposed', so that it follows its passages like any other; it never serves before it is
decided. Where the settings say so, a second answer that agrees - to the same question in other words - decides as well.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from kb.database import set_setting, setting, transaction
from surrogates import bank, gates, schema, settings
from surrogates.answer import Answer, Citation
from surrogates.filter import finds_its_passage, reason_to_drop
from surrogates.pairs import Pair, Quote
from surrogates.prompt import PROMPT_VERSION
from surrogates.quotes import Quote as Place
from surrogates.wording import Rarity, words

if TYPE_CHECKING:
    from kb.library import Library
    from kb.records import Passage

Decision = Literal["waiting", "confirmed", "rejected"]
DROPPED_KEY = "surrogates.proposals.dropped"
SECOND_ANSWER = "a second agreeing answer"
ABOUT_ASKED = 0.3  # of what a person's question names, the passages must say so much; a person decides on the rest
SAME_QUESTION = 0.6  # least cosine of two questions that ask the same in other words, beside the gates


@dataclass(frozen=True)
class Proposal:
    """`agreeing` counts answers to differently worded questions that say the same, this one included.

    `is_current` is False once a passage of it has changed or gone.
    """

    id: int
    question: str
    answer: str
    citations: tuple[Citation, ...]
    collection: str
    teacher: str
    made_at: str
    agreeing: int
    decision: Decision
    decided_by: str
    decided_at: str | None
    is_current: bool


def propose(library: Library, question: str, answer: Answer, rarity: Rarity) -> int | None:
    """Keep a written answer as a proposal if it passes; its id, or None with the reason counted.

    The question is the one that was searched for. Drops are counted by reason in `dropped`.
    """
    connection = schema.of(library)
    asked = question if question.endswith("?") else f"{question}?"
    reason = _unfit(answer)
    pair = None if reason else _pair(library, asked, answer)
    if pair is not None:
        passages = [library.passage(quote.passage_id) for quote in pair.quotes]
        reason = reason_to_drop(pair, passages, rarity, ABOUT_ASKED) or _known(connection, pair)
        if reason is None and not finds_its_passage(library, pair, passages[0].collection):
            reason = "not found again"
        if reason is None:
            return _agree(library, pair, rarity) or _store(library, pair, answer.teacher or "engine", passages[0].collection)
    count_drop(library, reason or "document gone")
    return None


def count_drop(library: Library, reason: str) -> None:
    """Count an answer that became no proposal."""
    with transaction(schema.of(library)) as connection:
        set_setting(connection, DROPPED_KEY, dict(Counter(dropped(library)) + Counter([reason])))


def dropped(library: Library) -> dict[str, int]:
    """Written answers that became no proposal, by reason."""
    return dict(setting(schema.of(library), DROPPED_KEY, {}))


def listing(library: Library, decision: Decision | None = "waiting", limit: int = 100) -> list[Proposal]:
    """Proposals of a decision (None: all), those that answers agree on most first, then the newest."""
    rows = schema.of(library).execute(
        "SELECT p.*, a.text AS answer, a.teacher, c.name AS collection FROM proposals p JOIN bank_answers a ON a.id = p.answer_id"
        " JOIN collections c ON c.id = a.collection_id WHERE ? IS NULL OR p.decision = ? ORDER BY p.agreeing DESC, p.id DESC LIMIT ?",
        (decision, decision, limit),
    )
    return [_proposal(library, row) for row in rows.fetchall()]


def confirm(library: Library, proposal_id: int, by: str) -> None:
    """Let a proposal serve from now on, in the name of `by`.

    Raises:
        KeyError: there is no such proposal.
        ValueError: nobody signs, or a passage that it rests on has changed since.
    """
    with transaction(schema.of(library)) as connection:
        answer_id = _decide(library, proposal_id, "confirmed", by)
        if not _is_current(library, answer_id):
            raise ValueError(f"proposal {proposal_id} rests on text that has changed since; reject it and ask the question again")
        newest = library.newest_seq(_collection_of(connection, answer_id))
        connection.execute("UPDATE bank_answers SET state = 'active', checked_seq = ? WHERE id = ?", (newest, answer_id))


def reject(library: Library, proposal_id: int, by: str) -> None:
    """Put a proposal aside; the same answer to the same question is not proposed again. Raises like `confirm`."""
    with transaction(schema.of(library)) as connection:
        _stop_serving(connection, _decide(library, proposal_id, "rejected", by))


def withdraw(library: Library, proposal_id: int, by: str) -> None:
    """Undo a decision: the proposal waits again and does not serve. Raises like `confirm`."""
    with transaction(schema.of(library)) as connection:
        _stop_serving(connection, _decide(library, proposal_id, "waiting", by))


def _stop_serving(connection: sqlite3.Connection, answer_id: int) -> None:
    connection.execute("UPDATE bank_answers SET state = 'proposed' WHERE id = ? AND state != 'tombstoned'", (answer_id,))


def _unfit(answer: Answer) -> str | None:
    """Why a written answer is no candidate for the bank at all."""
    from surrogates.router import STOPPED

    if answer.route != "engine" or not answer.citations:
        return "not written"
    if any(citation.correction_id is not None for citation in answer.citations):
        return "corrected by a person"
    return "stopped" if STOPPED in answer.notes else None


def _pair(library: Library, question: str, answer: Answer) -> Pair | None:
    """The pair with its quotes' places; None when a quote does not stand in its passage any more."""
    quotes = []
    for citation in answer.citations:
        try:
            text = library.passage(citation.passage_id).text
        except KeyError:
            return None
        start = text.find(citation.quote)
        if start < 0 or not citation.quote:
            return None
        quotes.append(Quote(citation.passage_id, start, start + len(citation.quote)))
    return Pair(question, answer.text, tuple(quotes), "engine")


def _known(connection: sqlite3.Connection, pair: Pair) -> str | None:
    """Why this question with this answer need not be proposed: it was before, or the bank holds it."""
    said = words(pair.question)
    rows = connection.execute(
        "SELECT q.text, a.state, p.decision FROM bank_answers a JOIN bank_questions q ON q.answer_id = a.id"
        " LEFT JOIN proposals p ON p.answer_id = a.id WHERE a.text = ?",
        (pair.answer,),
    ).fetchall()
    same = [row for row in rows if words(row["text"]) == said]
    if any(row["decision"] == "rejected" for row in same):
        return "rejected before"
    return "known" if any(row["state"] != "tombstoned" for row in same) else None


def _agree(library: Library, pair: Pair, rarity: Rarity) -> int | None:
    """Count the pair for a waiting proposal with the same answer to the same question in other words; that proposal's id."""
    evidence = "\n".join([pair.answer, *(_evidence(library.passage(quote.passage_id)) for quote in pair.quotes)])
    for other in listing(library):
        if other.answer != pair.answer or not other.is_current:
            continue
        vectors = library.encoder.encode([pair.question, other.question])  # [2, d]
        refused = gates.refusal(pair.question, other.question, evidence, rarity) or gates.refusal(
            other.question, pair.question, evidence, rarity
        )
        if refused is None and float(vectors[0] @ vectors[1]) >= SAME_QUESTION:
            _add_wording(library, other, pair)
            return other.id
    return None


def _add_wording(library: Library, proposal: Proposal, pair: Pair) -> None:
    connection = library.connection
    with transaction(connection):
        (answer_id,) = connection.execute("SELECT answer_id FROM proposals WHERE id = ?", (proposal.id,)).fetchone()
        bank.add_question(connection, answer_id, pair.question, "human", library.encoder.encode([pair.question])[0])
        connection.execute("UPDATE proposals SET agreeing = agreeing + 1 WHERE id = ?", (proposal.id,))
        if settings.load(connection).accept_agreeing:
            confirm(library, proposal.id, SECOND_ANSWER)


def _store(library: Library, pair: Pair, teacher: str, collection: str) -> int | None:
    connection = library.connection
    seq = library.newest_seq(collection)
    vector = library.encoder.encode([pair.question])[0]
    with transaction(connection):
        answer_id = bank.store_proposed(connection, pair, vector, teacher=teacher, prompt_version=PROMPT_VERSION, checked_seq=seq)
        if answer_id is None:
            return None
        cursor = connection.execute("INSERT INTO proposals(answer_id, question) VALUES (?, ?)", (answer_id, pair.question))
    return int(cursor.lastrowid or 0)


def _decide(library: Library, proposal_id: int, decision: Decision, by: str) -> int:
    """Write the decision down; the proposal's bank answer."""
    if not by.strip():
        raise ValueError("a decision needs a name; say who decides")
    connection = library.connection
    row = connection.execute("SELECT answer_id FROM proposals WHERE id = ?", (proposal_id,)).fetchone()
    if row is None:
        raise KeyError(f"there is no proposal {proposal_id}")
    connection.execute(
        "UPDATE proposals SET decision = ?, decided_by = ?, decided_at = datetime('now') WHERE id = ?", (decision, by.strip(), proposal_id)
    )
    return int(row[0])


def _proposal(library: Library, row: sqlite3.Row) -> Proposal:
    citations = []
    for support in bank.answer(library.connection, row["answer_id"]).support:
        try:
            passage = library.passage(support.passage_id)
        except KeyError:
            continue
        start = max(passage.text.find(support.quote), 0)
        citations.append(Place(passage, start, start + len(support.quote)).citation())
    return Proposal(
        id=row["id"],
        question=row["question"],
        answer=row["answer"],
        citations=tuple(citations),
        collection=row["collection"],
        teacher=row["teacher"],
        made_at=row["made_at"],
        agreeing=row["agreeing"],
        decision=row["decision"],
        decided_by=row["decided_by"],
        decided_at=row["decided_at"],
        is_current=_is_current(library, row["answer_id"]),
    )


def _is_current(library: Library, answer_id: int) -> bool:
    for support in bank.answer(library.connection, answer_id).support:
        row = library.connection.execute("SELECT quote_sha256 FROM passages WHERE id = ?", (support.passage_id,)).fetchone()
        if row is None or row[0] != support.sha256:
            return False
    return True


def _collection_of(connection: sqlite3.Connection, answer_id: int) -> str:
    row = connection.execute(
        "SELECT c.name FROM bank_answers a JOIN collections c ON c.id = a.collection_id WHERE a.id = ?", (answer_id,)
    ).fetchone()
    return str(row[0])


def _evidence(passage: Passage) -> str:
    return f"{' > '.join(passage.heading)}\n{passage.text}"
