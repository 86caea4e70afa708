"""Chats, turns, feedback, and the standing of what an old answer cites."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from kb import jobs
from surrogates import chat, schema
from surrogates.answer import Answer, Citation, Timings


@pytest.fixture
def connection(home: Path) -> Iterator[sqlite3.Connection]:
    with closing(schema.connect(home)) as opened:
        yield opened


def asked(connection: sqlite3.Connection, chat_id: int, question: str) -> int:
    job_id = jobs.enqueue(connection, "ask", {"question": question, "route": "auto", "chat_id": chat_id})
    chat.add_turn(connection, chat_id, question, job_id)
    return job_id


def citation(document_id: int = 1, revision_id: int = 1) -> Citation:
    return Citation("pump.md", document_id, revision_id, 1, 1, 3, ("Pump",), "85 Nm", ((3, 1.0, 2.0, 3.0, 4.0),))


def test_a_chat_takes_its_first_questions_words_as_title_and_keeps_them(connection: sqlite3.Connection) -> None:
    chat_id = chat.create(connection)
    asked(connection, chat_id, "What is the torque?")
    asked(connection, chat_id, "And the pressure?")
    assert [(entry.title, entry.turns) for entry in chat.listing(connection)] == [("What is the torque?", 2)]


def test_the_chat_with_the_newest_question_comes_first(connection: sqlite3.Connection) -> None:
    first, second = chat.create(connection, title="first"), chat.create(connection, title="second")
    connection.execute("UPDATE chats SET created_at = '2020-01-01 00:00:00'")
    asked(connection, first, "What is the torque?")
    assert [entry.id for entry in chat.listing(connection)] == [first, second]


def test_a_deleted_chat_is_gone_and_its_waiting_questions_are_stopped(connection: sqlite3.Connection) -> None:
    chat_id = chat.create(connection)
    job_id = asked(connection, chat_id, "What is the torque?")
    chat.delete(connection, chat_id)
    assert chat.listing(connection) == []
    assert jobs.get(connection, job_id).state == "cancelled"
    with pytest.raises(KeyError, match="no chat"):
        asked(connection, chat_id, "Still there?")


def test_a_renamed_chat_keeps_the_name_and_an_empty_name_is_refused(connection: sqlite3.Connection) -> None:
    chat_id = chat.create(connection)
    chat.rename(connection, chat_id, " Press 4 ")
    assert chat.listing(connection)[0].title == "Press 4"
    with pytest.raises(ValueError, match="empty"):
        chat.rename(connection, chat_id, "  ")


def test_turns_carry_the_answer_once_there_is_one_and_the_newest_verdict(connection: sqlite3.Connection) -> None:
    chat_id = chat.create(connection)
    job_id = asked(connection, chat_id, "What is the torque?")
    assert chat.turns(connection, chat_id)[0].answer is None
    answer = Answer("85 Nm.", "engine", None, (citation(),), Timings(total=1.5))
    jobs.claim(connection, ["ask"])
    jobs.finish(connection, job_id, answer.to_json())
    turn = chat.turns(connection, chat_id)[0]
    chat.feedback(connection, turn.id, "wrong", "dry or oiled?")
    chat.feedback(connection, turn.id, "right")
    turn = chat.turns(connection, chat_id)[0]
    assert turn.answer == answer
    assert (turn.verdict, turn.comment) == ("right", "")


def test_the_previous_question_is_the_one_asked_before_in_the_same_chat(connection: sqlite3.Connection) -> None:
    one, other = chat.create(connection), chat.create(connection)
    asked(connection, one, "What is the torque?")
    asked(connection, other, "What is the pressure?")
    last = asked(connection, one, "And its pitch?")
    assert chat.previous_question(connection, one, last) == "What is the torque?"
    assert chat.previous_question(connection, other, asked(connection, other, "Why?")) == "What is the pressure?"


def test_a_citation_says_whether_its_document_was_replaced_or_removed(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO collections(name) VALUES ('Press')")
    connection.execute("INSERT INTO documents(collection_id, name) VALUES (1, 'pump.md')")
    for number, current in ((1, 0), (2, 1)):
        connection.execute(
            "INSERT INTO revisions(document_id, number, content_sha256, kind, size_bytes, reader_version, is_current)"
            " VALUES (1, ?, 'x', 'markdown', 1, '1', ?)",
            (number, current),
        )
    assert chat.standing(connection, citation(1, 1)) == "replaced"
    assert chat.standing(connection, citation(1, 2)) == "current"
    connection.execute("UPDATE documents SET removed_at = datetime('now')")
    assert chat.standing(connection, citation(1, 2)) == "removed"
    assert chat.standing(connection, citation(7, 9)) == "removed"


def test_an_unknown_collection_is_named_with_those_there_are(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO collections(name) VALUES ('Press')")
    assert chat.collection_id(connection, "press") == 1
    assert chat.collection_id(connection, None) is None
    with pytest.raises(KeyError, match="no collection 'Pump'; the library has Press"):
        chat.collection_id(connection, "Pump")
