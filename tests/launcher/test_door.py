"""The command line: options before or after the command, and errors in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from launcher import door
from launcher.installation import Installation


@pytest.mark.parametrize("words", [["--port", "9000", "--no-browser", "shortcut"], ["shortcut", "--port", "9000", "--no-browser"]])
def test_options_may_stand_before_or_after_the_command(words: list[str]) -> None:
    choice = door._parser().parse_args(words)
    assert (choice.command, choice.port, choice.browser, choice.home) == ("shortcut", 9000, False, None)
    assert door._start_words(choice) == ["--port", "9000", "--no-browser"]


def test_no_word_at_all_means_start() -> None:
    choice = door._parser().parse_args([])
    assert (choice.command, choice.port, choice.browser) == (None, None, True)


def test_words_for_pytest_pass_through_the_test_command() -> None:
    choice, rest = door._parser().parse_known_args(["test", "--slow", "tests/kb", "-k", "pdf and not slow", "-x"])
    assert choice.slow
    assert rest == ["tests/kb", "-k", "pdf and not slow", "-x"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["setup", "--fast"], "unknown: --fast"),
        (["--port", "0"], "0 is not a port, expected 1 to 65535"),
        (["bundle"], "required: DIR"),
        (["strat"], "invalid choice: 'strat'"),
    ],
)
def test_a_wrong_word_is_named(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        door.main(words)
    assert end.value.code == 2
    assert complaint in capsys.readouterr().err


def test_a_failure_is_a_sentence_and_an_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert door.main(["setup"], Installation(tmp_path)) == 1
    assert "requirements.txt is missing; get the whole project again" in capsys.readouterr().err
