"""The command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from surrogates.__main__ import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_an_answer_is_one_json_value_with_route_confidence_citations_and_times(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "ask", "What does alarm E-17 mean?", "--home", str(home), "--json")
    value = json.loads(out)
    assert code == 0
    assert {"answer", "route", "confidence", "citations", "seconds"} <= value.keys()
    assert {"total", "first_token"} <= value["seconds"].keys()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ask", ""], "empty"),
        (["ask", "x" * 10_000], "10,000 characters"),
        (["ask", "What?", "--collection", "Nowhere"], "no collection 'Nowhere'"),
        (["ask"], "--batch"),
        (["ask", "--batch", "none.jsonl"], "none.jsonl"),
    ],
)
def test_what_cannot_be_done_is_one_line_on_stderr(home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    code, out, err = run(capsys, *arguments, "--home", str(home), "--json")
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert said in err


def test_a_batch_answers_every_line_under_its_id_and_names_the_ones_that_cannot_be_asked(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch, out = tmp_path / "batch.jsonl", tmp_path / "out.jsonl"
    batch.write_text('{"id": 1, "question": "What is the torque?"}\n\n{"id": "b", "question": ""}\n', encoding="utf-8")
    code, printed, _ = run(capsys, "ask", "--batch", str(batch), "--out", str(out), "--home", str(home), "--json")
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert code == 0
    assert [row["id"] for row in rows] == [1, "b"]
    assert rows[0]["route"] == "declined"
    assert "empty" in rows[1]["error"]
    assert json.loads(printed)["routes"] == {"declined": 1, "error": 1}


def test_a_batch_line_that_is_no_question_is_named(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    batch = tmp_path / "batch.jsonl"
    batch.write_text('{"id": 1, "question": "What?"}\n{"id": 2}\n', encoding="utf-8")
    code, _, err = run(capsys, "ask", "--batch", str(batch), "--home", str(home))
    assert code == 1
    assert "line 2" in err


@pytest.mark.models
def test_the_status_of_a_home_that_never_taught_is_all_zero(home: Path, default_encoder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "status", "--home", str(home), "--json")
    assert code == 0
    assert json.loads(out)["kept"] == 0
