"""The insights page: a file of questions is queued, and what an evaluation found is shown for every level."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

from kb import jobs
from kb.library import Library
from pages import insights
from pages.elements import plots
from surrogates import evaluate, schema

Opened = Callable[[str], AppTest]


def level(number: int, answered: int) -> dict[str, Any]:
    return {"level": number, "answered": answered, "answered_share": answered / 10, "error": 0.1 if answered else None}


def test_a_file_of_questions_lies_in_the_home_until_it_is_measured(home: Path) -> None:
    job_id = insights.accept(home, "../my questions.jsonl", io.BytesIO(b'{"question": "why"}\n'))
    with closing(schema.connect(home)) as connection:
        job = jobs.get(connection, job_id)
    kept = Path(job.payload["path"])
    assert job.kind == "evaluate" and job.payload["delete_after"]
    assert kept.read_bytes() == b'{"question": "why"}\n' and kept.parent == home / insights.FOLDER


def test_the_curve_marks_every_level_that_answers_and_fills_the_chosen_one() -> None:
    drawn = plots.risk_coverage([{"confidence": 0.9, "coverage": 0.1, "risk": 0.0}], [level(1, 5), level(2, 3), level(3, 0)], chosen=2)
    marks = drawn["layer"][1]["data"]["values"]
    assert [(mark["level"], mark["chosen"]) for mark in marks] == [(1, False), (2, True)]


def test_before_the_first_evaluation_the_page_says_what_to_do(press: Library, opened: Opened) -> None:
    page = opened("insights")
    assert not page.exception
    assert "Nothing is measured yet" in page.info[0].value


def test_an_evaluation_is_shown_with_what_each_level_buys(press: Library, home: Path, tmp_path: Path, opened: Opened) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text(
        '{"question": "What is the maximum pressure?", "document": "press.md", "section": "Maximum pressure", "kind": "value"}\n'
        '{"question": "Who won the match?", "answerable": false}\n',
        encoding="utf-8",
    )
    outcomes_of = evaluate.summary(_asked(press, evaluate.read(file)), 0.5)
    figures = {**outcomes_of, **_levels(press)}
    with closing(schema.connect(home)) as connection:
        job_id = jobs.enqueue(connection, "evaluate", {"path": str(file), "name": "questions.jsonl", "delete_after": False})
        jobs.claim(connection, ["evaluate"])
        jobs.finish(connection, job_id, figures)
    page = opened("insights")
    assert not page.exception, page.exception[0].value
    before = {metric.label: metric.value for metric in page.metric}
    assert before["Answered at once"] == "50.0%"
    page.select_slider(key="insight-level").set_value(5).run()
    assert {metric.label: metric.value for metric in page.metric}["Answered at once"] == "0.0%"
    table = page.dataframe[0].value
    assert list(table["Answered at once"]) == ["1 (50.0%)"] * 4 + ["0 (0.0%)"]
    assert list(table["Against the chosen one"]) == ["1 more at once"] * 4 + [""]


def _asked(library: Library, lines: list[dict[str, Any]]) -> list[evaluate.Outcome]:
    from surrogates.surrogate import Surrogate

    surrogate = Surrogate(library)
    return [evaluate._ask(surrogate, line, None) for line in lines]


def _levels(library: Library) -> dict[str, Any]:
    """What `evaluate.measure` adds: the levels, of which only the boldest answers here."""
    each = {
        "alpha": 0.05,
        "kind": "none",
        "sentence": "not certified",
        "wrong": 0,
        "error": None,
        "speed_up_overall": None,
        "accept_at": 0.5,
    }
    levels = [{**each, "level": number, "answered": int(number < 5), "answered_share": 0.5 * (number < 5)} for number in range(1, 6)]
    return {"levels": levels, "level": 1, "threshold": 0.5, "certificate": "", "teacher": "structure", "speed_up_per_answer": None}
