"""The one call, and jobs followed from outside."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

import pytest

import surrogates
from kb import jobs
from surrogates import chat, schema, service
from surrogates.question import QuestionRefused


def test_an_empty_library_asks_for_documents_and_cites_nothing(home: Path) -> None:
    answer = surrogates.ask("What does alarm E-17 mean?", home)
    assert answer.route == "declined"
    assert "add" in answer.text
    assert answer.citations == ()


def test_submitting_returns_at_once_with_a_job_and_a_turn(home: Path) -> None:
    with closing(schema.connect(home)) as connection:
        chat_id = chat.create(connection)
        job_id = service.submit(home, "  What is\nthe torque? ", chat_id=chat_id)
        assert jobs.get(connection, job_id).payload == {"question": "What is the torque?", "route": "auto", "chat_id": chat_id}
        assert [turn.job.id for turn in chat.turns(connection, chat_id)] == [job_id]


def test_what_cannot_be_asked_is_refused_and_leaves_no_job(home: Path) -> None:
    with pytest.raises(QuestionRefused, match="10,000"):
        service.submit(home, "x" * 10_000)
    with pytest.raises(KeyError, match="no collection"):
        service.submit(home, "What is the torque?", collection="Nowhere")
    with pytest.raises(KeyError, match="no chat 5"):
        service.submit(home, "What is the torque?", chat_id=5)
    with pytest.raises(ValueError, match="route is 'magic'"):
        service.submit(home, "What is the torque?", route="magic")  # type: ignore[arg-type]
    with closing(schema.connect(home)) as connection:
        assert jobs.listing(connection) == []


def test_following_a_job_shows_its_growing_text_and_ends_with_it(home: Path) -> None:
    with closing(schema.connect(home)) as connection:
        job_id = jobs.enqueue(connection, "ask", {})
        updates = service.follow(home, job_id)
        assert next(updates).state == "queued"
        jobs.claim(connection, ["ask"])
        assert next(updates).state == "running"
        jobs.report(connection, job_id, text="85")
        assert next(updates).text == "85"
        jobs.finish(connection, job_id, {"answer": "85 Nm"})
        assert [job.result for job in updates] == [{"answer": "85 Nm"}]


def test_a_job_that_is_stopped_while_waiting_ends(home: Path) -> None:
    with closing(schema.connect(home)) as connection:
        job_id = jobs.enqueue(connection, "ask", {})
    assert service.wait(home, job_id, should_stop=lambda: True).state == "cancelled"


def test_two_questions_at_once_are_both_answered(home: Path) -> None:
    answers: list[surrogates.Answer] = []
    threads = [threading.Thread(target=lambda: answers.append(surrogates.ask("What is the torque?", home))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.route for answer in answers] == ["declined", "declined"]


def test_without_a_worker_the_state_is_off(home: Path) -> None:
    with closing(schema.connect(home)) as connection:
        assert service.worker_state(connection) == service.WorkerState("off")
