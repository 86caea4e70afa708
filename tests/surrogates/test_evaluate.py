import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.request import Generation, Request
from kb.library import Library
from surrogates import evaluate, teaching
from surrogates.evaluate import BadQuestions, Outcome, aurc, is_in, is_right, read, speed_up, summary, token_f1
from surrogates.surrogate import Surrogate


def outcome(confidence: float, right: bool | None, refused: str | None = None, kind: str = "") -> Outcome:
    prediction: Any = SimpleNamespace(confidence=confidence, refused_by=refused)
    return Outcome("1", "What?", prediction, right, None, 0.01, kind)


def test_risk_is_least_when_the_surest_are_right() -> None:
    good = [outcome(0.9, True), outcome(0.8, True), outcome(0.1, False)]
    bad = [outcome(0.9, False), outcome(0.8, True), outcome(0.1, True)]
    assert aurc(good) == pytest.approx((0 + 0 + 1 / 3) / 3)
    assert aurc(good) < aurc(bad)


def test_what_a_gate_refused_is_not_answered() -> None:
    found = summary([outcome(0.9, True), outcome(0.95, False, "numbers"), outcome(0.7, False)], accept=0.6)
    assert (found["answered"], found["wrong"], found["error"]) == (2, 1, 0.5)
    assert found["refused_by"] == {"numbers": 1}


def test_false_hits_are_counted_apart_and_by_kind() -> None:
    strange = replace(outcome(0.9, False, kind="weather"), is_answerable=False)
    lure = replace(outcome(0.9, False, kind="lure"), is_look_alike=True)
    found = summary([outcome(0.9, True, kind="fact"), outcome(0.8, False, kind="fact"), strange, lure], accept=0.85)
    assert found["out_of_domain"] == {"questions": 1, "answered": 1, "answered_share": 1.0, "wrong": 1, "error": 1.0}
    assert found["look_alikes"]["wrong"] == 1
    assert found["kinds"]["fact"] == {"questions": 2, "answered": 1, "answered_share": 0.5, "wrong": 0, "error": 0.0}
    assert [point["coverage"] for point in found["risk_coverage"]] == [0.75, 1.0]


def test_any_answer_to_what_the_library_does_not_answer_is_wrong() -> None:
    source: Any = SimpleNamespace(passage=SimpleNamespace(heading=("Pump", "Oil"), document="pump.md"))
    prediction: Any = SimpleNamespace(sources=(source,))
    assert is_right({"section": ["Oil"]}, prediction)
    assert is_right({"section": ["Oil"]}, None) is False
    assert is_right({"answerable": False}, prediction) is False
    assert is_right({"look_alike": True}, prediction) is False
    assert is_right({"question": "?"}, prediction) is None


def test_without_gold_places_no_error_is_claimed() -> None:
    found = summary([outcome(0.9, None)], accept=0.5)
    assert found["error"] is None
    assert found["aurc"] is None


def test_the_speed_up_over_all_traffic_pays_for_the_attempts_that_fail() -> None:
    found = speed_up(0.5, 0.02, 2.0)
    assert found["speed_up_per_answer"] == 100.0
    assert found["speed_up_overall"] == pytest.approx(2.0 / 1.02, abs=0.01)
    assert speed_up(0.5, 0.02, None)["speed_up_overall"] is None


def test_token_f1_counts_words_in_common() -> None:
    assert token_f1("close the valve", "Close the valve.") == 1.0
    assert token_f1("close the valve", "open a door") == 0.0
    assert token_f1("close the valve", "close the door") == pytest.approx(2 / 3)


def test_a_place_is_compared_by_the_end_of_its_heading_path() -> None:
    passage: Any = SimpleNamespace(heading=("Manual", "Pump", "Oil"), document="set/pump.md")
    assert is_in({"section": ["Pump", "Oil"]}, passage)
    assert is_in({"heading": "oil", "document": "pump.md"}, passage)
    assert not is_in({"section": ["Press", "Oil"]}, passage)
    assert is_in({"question": "?"}, passage) is None


@pytest.mark.parametrize(("content", "problem"), [("", "no questions"), ("{", "line 1"), ('{"id": 3}', 'no "question"')])
def test_a_bad_file_is_refused_by_line(tmp_path: Path, content: str, problem: str) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(BadQuestions, match=problem):
        read(file)


def test_a_file_of_another_encoding_is_refused_by_the_name_its_user_gave_it(tmp_path: Path) -> None:
    file = tmp_path / "0c1d"
    file.write_bytes('{"question": "Wie groß?"}'.encode("latin-1"))
    with pytest.raises(BadQuestions, match=r"mine\.jsonl is no UTF-8"):
        read(file, "mine.jsonl")


def test_the_mark_that_windows_editors_write_first_is_no_part_of_the_questions(tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text('{"question": "What?"}\n', encoding="utf-8-sig")
    assert [line["question"] for line in read(file)] == ["What?"]


def test_questions_are_judged_against_a_taught_library(word_library: Library, add: Callable[[str, str], int]) -> None:
    add("press.md", "# Press\n\n## Maximum pressure\n\nThe maximum pressure of the press is 200 bar.\n")
    teaching.teach(word_library, _silent)
    line = {"id": "a", "question": "What is the maximum pressure?", "section": ["Press", "Maximum pressure"], "answer": "200 bar"}
    found = evaluate._ask(Surrogate(word_library), line, None)
    assert found.right
    assert found.f1 is not None
    assert found.f1 > 0
    assert json.dumps(summary([found], 0.1))


def _silent(request: Request) -> Generation:
    return Generation("", 0, 1, "stop", 1.0, 0.1, 0.0, 0.0, 0.0, 1, "exact")
