"""The commands of people who look after the answers, on a library without documents and models."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kb.library import Library
from surrogates import sampling, schema
from surrogates.__main__ import main


def run(capsys: pytest.CaptureFixture[str], home: Path, *arguments: str) -> Any:
    assert main([*arguments, "--home", str(home), "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], home: Path, *arguments: str) -> str:
    assert main([*arguments, "--home", str(home), "--json"]) == 1
    return capsys.readouterr().err


def test_judging_an_empty_library_says_how_far_it_is(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, home, "judge")
    assert shown["next"] is None
    assert shown["certificates"][2]["sentence"] == f"not certified: 0 of {shown['certificates'][2]['needed']} judged"


def test_a_verdict_needs_a_question_that_is_there(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no question 7" in refused(capsys, home, "judge", "7", "right")
    assert "judge 7 right" in refused(capsys, home, "judge", "7")


def test_a_verdict_given_by_command_is_on_the_answer_that_was_shown_last(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, home, "judge")
    with closing(schema.connect(home)) as connection:
        for id_ in (1, 2):
            connection.execute("INSERT INTO sampled_questions(text, origin, place) VALUES ('What is it?', 'entered', 0.5)")
            connection.execute("INSERT INTO candidates VALUES (?, 'now', 0.9, 'A pump.', '', 1, '[]')", (id_,))
    with Library(home) as library:
        library.connection.execute("UPDATE candidates SET fingerprint = ?", (sampling.fingerprint(library),))
    shown = run(capsys, home, "judge")["next"]
    other = 3 - shown["id"]
    assert f"question {other} has another answer" in refused(capsys, home, "judge", str(other), "right")
    assert run(capsys, home, "judge", str(shown["id"]), "right", "--by", "Anna")["progress"]["judged"] == 1
    with closing(schema.connect(home)) as connection:
        connection.execute("UPDATE candidates SET answer = 'A press.'")
    assert "has another answer by now" in refused(capsys, home, "judge", str(other), "right")


def test_a_correction_is_added_withdrawn_and_restored(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    added = run(capsys, home, "corrections", "add", "--question", "What pressure?", "--text", "42 bar.", "--by", "Anna")
    assert [(each["text"], each["signed_by"], each["state"]) for each in added] == [("42 bar.", "Anna", "active")]
    assert run(capsys, home, "corrections", "withdraw", "1", "--by", "Bert")[0]["state"] == "withdrawn"
    assert run(capsys, home, "corrections", "restore", "1")[0]["state"] == "active"
    assert "--question and --text" in refused(capsys, home, "corrections", "add")
    assert "corrections withdraw 3" in refused(capsys, home, "corrections", "withdraw")


def test_proposals_are_listed_and_an_unknown_one_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, home, "proposals") == {"waiting": [], "dropped": {}}
    assert "no proposal 5" in refused(capsys, home, "proposals", "confirm", "5", "--by", "Anna")


def test_audits_tell_and_lift(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(schema.connect(home)) as connection:
        connection.execute("INSERT INTO breaches(level, accept_at, audited, failed, last_served) VALUES (3, 0.8, 40, 20, 0)")
    assert "at least 0.80" in run(capsys, home, "audits")["sentence"]
    assert run(capsys, home, "audits", "--lift", "3", "--by", "Anna")["raised_to"] is None


def test_the_teacher_is_local_until_a_server_is_named_and_again_when_it_is_off(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no text leaves" in run(capsys, home, "teacher")["notice"]
    named = run(capsys, home, "teacher", "--url", "https://api.example.com/v1", "--model", "big")
    assert named == {"teacher": "big at api.example.com", "notice": "The text of your passages is sent to api.example.com."}
    assert "ftp" in refused(capsys, home, "teacher", "--url", "ftp://x")
    assert run(capsys, home, "teacher")["teacher"] == "big at api.example.com"
    assert "no text leaves" in run(capsys, home, "teacher", "--off")["notice"]
