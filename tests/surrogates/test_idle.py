"""What is done when nobody asks anything."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from engine.request import Generation
from kb import jobs
from kb.library import Library
from surrogates import idle, judging, proposals, sampling, teaching
from surrogates.answer import Answer, Timings
from surrogates.quotes import Quote
from surrogates.router import Resources
from surrogates.scheduling import Scheduler
from surrogates.settings import Settings
from surrogates.surrogate import Surrogate

Add = Callable[[str, str], int]
PRESS = "# Press\n\n## Maximum pressure\n\nThe maximum pressure of the press is 200 bar.\n"
QUESTION = "What is the maximum pressure of the press?"


@pytest.fixture
def resources(word_library: Library, add: Add) -> Resources:
    add("press.md", PRESS)
    return Resources(word_library, Surrogate(word_library), Scheduler(Settings()))


def teach(library: Library) -> None:
    teaching.teach(library, lambda request: Generation("", 0, 1, "stop", 1.0, 0.1, 0.0, 0.0, 0.0, 1, "exact"))


def all_of_it(resources: Resources) -> int:
    pieces = 0
    while idle.work(resources, lambda: False):
        pieces += 1
        assert pieces < 100, "idle work does not end"
    return pieces


def answered(library: Library, answer: Answer) -> int:
    """A finished question job."""
    job_id = jobs.enqueue(library.connection, "ask", {"question": QUESTION, "route": "auto", "chat_id": None})
    jobs.claim(library.connection, ["ask"])
    jobs.finish(library.connection, job_id, json.loads(json.dumps(answer.to_json())))
    return job_id


def test_idle_work_ends(resources: Resources) -> None:
    all_of_it(resources)
    assert all_of_it(resources) == 0


def test_a_written_answer_becomes_a_proposal_once(resources: Resources) -> None:
    library = resources.library
    passage = next(library.passages())
    quote = Quote(passage, 0, len(passage.text))
    answered(library, Answer(passage.text, "engine", None, (quote.citation(),), Timings(1.0), teacher="tiny"))
    all_of_it(resources)
    assert [each.question for each in proposals.listing(library)] == [QUESTION]
    all_of_it(resources)
    assert proposals.dropped(library) == {}


def test_an_answer_that_always_fails_is_given_up_with_its_reason_and_the_next_is_taken_in(resources: Resources) -> None:
    library = resources.library
    broken = answered(library, Answer("", "engine", None, (), Timings(1.0)))
    library.connection.execute('UPDATE jobs SET result = \'{"route": "engine"}\' WHERE id = ?', (broken,))
    passage = next(library.passages())
    answered(library, Answer(passage.text, "engine", None, (Quote(passage, 0, len(passage.text)).citation(),), Timings(1.0)))
    for _ in range(idle.TRIES - 1):
        with pytest.raises(KeyError):
            all_of_it(resources)
    all_of_it(resources)
    (reason,) = proposals.dropped(library)
    assert reason.startswith("failed: KeyError")
    assert [each.question for each in proposals.listing(library)] == [QUESTION]


def test_an_instant_answer_is_remembered_and_audited(resources: Resources) -> None:
    library = resources.library
    teach(library)
    row = library.connection.execute("SELECT id, text FROM bank_answers LIMIT 1").fetchone()
    job_id = answered(library, Answer(row["text"], "surrogate", 0.95, (), Timings(0.01), answer_id=row["id"]))
    all_of_it(resources)
    assert [tuple(row) for row in library.connection.execute("SELECT job_id, audit FROM served_answers")] == [(job_id, "held")]


def test_sampled_questions_get_their_candidates(resources: Resources) -> None:
    teach(resources.library)
    sampling.take_down(resources.library.connection, QUESTION, None, 1)
    all_of_it(resources)
    assert judging.next_question(resources.library) is not None


def test_answers_that_new_passages_suspended_are_looked_at_again(resources: Resources, add: Add) -> None:
    library = resources.library
    teach(library)
    add("weights.md", "# Scales\n\n## Parts\n\nSpare parts are kept in the blue store.\n")
    resources.surrogate.follow()
    library.connection.execute("UPDATE bank_answers SET state = 'suspended'")
    all_of_it(resources)
    states = {row[0] for row in library.connection.execute("SELECT state FROM bank_answers")}
    assert "active" in states


def test_a_piece_that_is_broken_off_is_done_again(resources: Resources) -> None:
    assert idle.recheck(resources, lambda: True)
    assert idle.recheck(resources, lambda: False)
    assert not idle.recheck(resources, lambda: False)
