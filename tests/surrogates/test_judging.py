"""The certificate's bookkeeping, on candidates whose confidence and rightness are known."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.request import Generation, Request
from kb.database import transaction
from kb.library import Library
from surrogates import chat, judging, sampling, teaching, threshold
from surrogates.judging import share_of_delta
from surrogates.surrogate import Surrogate
from surrogates.threshold import ALPHAS, FLOORS, least_labels

Add = Callable[[str, str], int]
PRESS = "# Press\n\n## Maximum pressure\n\nThe maximum pressure of the press is 200 bar.\n"


def silent(request: Request) -> Generation:
    return Generation("", 0, 1, "stop", 1.0, 0.1, 0.0, 0.0, 0.0, 1, "exact")


@pytest.fixture
def taught(word_library: Library, add: Add) -> Library:
    """A library whose bank answers questions about one press."""
    add("press.md", PRESS)
    teaching.teach(word_library, silent)
    return word_library


def put(library: Library, questions: int, confidence: float = 0.95, first_passage: int = 0) -> list[int]:
    """Entered questions with a candidate each, on passages of their own."""
    now, ids = sampling.fingerprint(library), []
    with transaction(library.connection):
        for number in range(questions):
            ids.append(judging.enter(library, f"What is thing {first_passage + number}?"))
            library.connection.execute(
                "INSERT INTO candidates VALUES (?, ?, ?, ?, '', ?, '[]')",
                (ids[-1], now, confidence, f"It is {number}.", 1_000 + first_passage + number),
            )
    return ids


def judge(library: Library, id_: int, verdict: judging.Verdict) -> None:
    """As somebody who was shown what stands there now."""
    row = library.connection.execute("SELECT answer, citations FROM candidates WHERE question_id = ?", (id_,)).fetchone()
    judging.judge(library, id_, verdict, shown=sampling.mark(*row))


def judge_all(library: Library, ids: list[int], verdict: Callable[[int], judging.Verdict] = lambda id_: "right") -> None:
    with transaction(library.connection):
        for id_ in ids:
            judge(library, id_, verdict(id_))


def test_a_question_is_taken_down_once_however_often_its_job_runs(taught: Library) -> None:
    first = sampling.take_down(taught.connection, "What is the maximum pressure?", None, 7)
    assert sampling.take_down(taught.connection, "What is the maximum pressure?", None, 7) == first


def test_an_asked_question_is_offered_with_the_answer_that_would_be_given(taught: Library) -> None:
    sampling.take_down(taught.connection, "What is the maximum pressure of the press?", None, 1)
    assert judging.next_question(taught) is None
    assert judging.progress(taught) == judging.Progress(sampled=1, preparing=1, open=0, judged=0)
    sampling.prepare(Surrogate(taught))
    offered = judging.next_question(taught)
    assert offered is not None
    assert "200 bar" in offered.answer
    assert offered.citations[0].document == "press.md"
    judging.judge(taught, offered.id, "right", "checked on the plate", "Anna", shown=offered.shown)
    assert judging.next_question(taught) is None
    row = taught.connection.execute("SELECT verdict, provenance, judged_by, note, citations FROM judgements").fetchone()
    assert tuple(row)[:4] == ("right", "human", "Anna", "checked on the plate")
    assert "press.md" in row["citations"]


def test_what_would_never_be_answered_is_not_offered(taught: Library) -> None:
    judging.enter(taught, "What is the minimum pressure of the press?")
    judging.enter(taught, "How is the weather?")
    sampling.prepare(Surrogate(taught))
    assert judging.next_question(taught) is None


def test_until_enough_are_judged_it_says_how_many_there_are(taught: Library) -> None:
    judge_all(taught, put(taught, 12))
    standing = judging.certificate(taught)
    needed = least_labels(ALPHAS[2], share_of_delta(0))
    assert standing.sentence() == f"not certified: 12 of {needed} judged"
    assert standing.accept_at == FLOORS[2]


def test_enough_right_verdicts_certify_and_name_the_teacher(taught: Library) -> None:
    judge_all(taught, put(taught, least_labels(0.05, share_of_delta(0))))
    standing = judging.certificate(taught, 3)
    assert standing.kind == "certified"
    assert "certified: at most 5% wrong, 0 of" in standing.sentence()
    assert standing.teacher == "document structure"
    assert standing.fingerprint == sampling.fingerprint(taught)
    assert judging.certificate(taught, 5).kind != "certified"
    assert threshold.accept_at(taught, 3) == standing.accept_at


def test_wrong_and_unclear_verdicts_keep_it_from_being_certified(taught: Library) -> None:
    for verdict in ("wrong", "unclear"):
        ids = put(taught, 100, first_passage=200 if verdict == "unclear" else 0)
        judge_all(taught, ids, lambda id_, bad=verdict: bad if id_ % 3 == 0 else "right")  # type: ignore[misc]
        assert judging.certificate(taught, 3).kind != "certified"


def test_thumbs_never_calibrate(taught: Library) -> None:
    chat_id = chat.create(taught.connection)
    from kb import jobs

    for _ in range(100):
        turn = chat.add_turn(taught.connection, chat_id, "What is it?", jobs.enqueue(taught.connection, "ask", {}))
        chat.feedback(taught.connection, turn, "right")
    assert judging.certificate(taught).judged == 0


def test_a_change_of_the_bank_voids_it_and_half_of_the_delta_left_renews_it(taught: Library, add: Add) -> None:
    needed = [least_labels(0.05, share_of_delta(tests)) for tests in (0, 1)]
    ids = put(taught, needed[1])
    judge_all(taught, ids[: needed[0]])
    assert judging.certificate(taught, 3).kind == "certified"
    add("saw.md", "# Saw\n\n## Blade speed\n\nThe blade speed of the saw is 30 m/s.\n")
    teaching.teach(taught, silent)
    void = judging.certificate(taught, 3)
    assert (void.kind, void.needed) == ("none", needed[1])
    assert "has changed" in void.void
    assert threshold.accept_at(taught, 3) == FLOORS[2]
    assert judging.renew(taught)[2].kind != "certified", "the candidates of the new bank are not there yet"
    taught.connection.execute("UPDATE candidates SET fingerprint = ?", (sampling.fingerprint(taught),))
    assert judging.renew(taught)[2].kind != "certified", "too few labels for what is left of delta"
    judge_all(taught, ids[needed[0] :])
    assert judging.renew(taught)[2].kind == "certified"
    spent = [row[0] for row in taught.connection.execute("SELECT delta FROM certifications WHERE level = 3")]
    assert spent == [share_of_delta(0), share_of_delta(1)]


def test_an_answer_that_changed_is_judged_again_before_anything_is_tested(taught: Library) -> None:
    ids = put(taught, 50)
    judge_all(taught, ids[:-1])
    taught.connection.execute("UPDATE candidates SET answer = 'Something else.' WHERE question_id = ?", (ids[3],))
    offered = judging.next_question(taught)
    assert offered is not None
    assert offered.id == ids[3]
    before = judging.certificate(taught, 2)
    judging.renew(taught)
    assert judging.certificate(taught, 2).at == before.at


def test_a_question_that_a_person_put_into_the_bank_tests_nothing_any_more(taught: Library) -> None:
    ids = put(taught, 3)
    judge_all(taught, ids)
    answer_id = taught.connection.execute("SELECT id FROM bank_answers").fetchone()[0]
    taught.connection.execute(
        "INSERT INTO bank_questions(answer_id, text, source, vector) VALUES (?, 'what is thing 0?', 'human', x'00')", (answer_id,)
    )
    taught.connection.execute("UPDATE candidates SET fingerprint = ?", (sampling.fingerprint(taught),))
    assert judging.certificate(taught, 3).judged == 2


def test_only_what_waits_can_be_judged(taught: Library) -> None:
    with pytest.raises(KeyError, match="no question 99"):
        judging.judge(taught, 99, "right", shown="")
    with pytest.raises(ValueError, match="perhaps"):
        judge(taught, put(taught, 1)[0], "perhaps")  # type: ignore[arg-type]


def test_a_verdict_goes_to_the_answer_that_was_shown_and_to_no_other(taught: Library) -> None:
    (id_,) = put(taught, 1)
    offered = judging.next_question(taught)
    assert offered is not None
    taught.connection.execute("UPDATE candidates SET answer = 'Something else.' WHERE question_id = ?", (id_,))
    with pytest.raises(judging.AnswerReplaced, match="another answer by now"):
        judging.judge(taught, id_, "right", shown=offered.shown)
    assert judging.progress(taught).judged == 0
    again = judging.next_question(taught)
    assert again is not None
    judging.judge(taught, id_, "wrong", shown=again.shown)
    assert taught.connection.execute("SELECT answer FROM judgements").fetchone()[0] == "Something else."


def test_a_candidate_found_again_for_another_bank_is_still_the_one_that_was_shown(taught: Library) -> None:
    (id_,) = put(taught, 1)
    offered = judging.next_question(taught)
    assert offered is not None
    taught.connection.execute("UPDATE candidates SET fingerprint = 'another'")
    judging.judge(taught, id_, "right", shown=offered.shown)
    assert judging.progress(taught).judged == 1


def test_a_program_with_other_gates_is_another_fingerprint(taught: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sampling.fingerprint(taught)
    assert sampling.fingerprint(taught) == before
    monkeypatch.setattr(sampling, "_program", lambda: "newer")
    assert sampling.fingerprint(taught) != before


def test_line_endings_make_no_other_program(tmp_path: Path) -> None:
    for ending in ("\n", "\r\n"):
        folder = tmp_path / f"{len(ending)}"
        folder.mkdir()
        for name in sampling.DECIDING:
            (folder / name).write_text("one\ntwo\n", encoding="utf-8", newline=ending)
    assert sampling.hash_of(tmp_path / "1") == sampling.hash_of(tmp_path / "2")
    (tmp_path / "2" / "gates.py").write_text("one\n", encoding="utf-8")
    assert sampling.hash_of(tmp_path / "1") != sampling.hash_of(tmp_path / "2")


@pytest.mark.slow
def test_judging_on_and_on_certifies_a_false_level_in_few_of_many_runs(taught: Library) -> None:
    """Every level is false here (22 % wrong at every confidence): whatever gets certified, at whichever moment, is a breach."""
    chance, breaches = random.Random(3), 0
    for _ in fresh(taught, 60):
        ids = put(taught, 90)
        certified = False
        for id_ in ids:
            judge(taught, id_, "wrong" if chance.random() < 0.22 else "right")
        certified = bool(taught.connection.execute("SELECT count(*) FROM certifications WHERE accept_at IS NOT NULL").fetchone()[0])
        breaches += certified
    assert breaches <= 9


def fresh(library: Library, runs: int) -> Iterator[int]:
    """So many times with nothing judged yet."""
    for run in range(runs):
        with transaction(library.connection):
            for table in ("judgements", "candidates", "certifications", "sampled_questions"):
                library.connection.execute(f"DELETE FROM {table}")
            yield run
