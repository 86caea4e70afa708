"""The command line and its JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kb import library
from kb.__main__ import main
from kb.encoder import Encoder

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(home: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs one command on the test's home; returns exit code, standard output and standard error."""
    monkeypatch.setattr(library, "shared_encoder", lambda: encoder)

    def command(*arguments: object) -> tuple[int, str, str]:
        code = main([*map(str, arguments), "--home", str(home)])
        out, err = capsys.readouterr()
        return code, out, err

    return command


def test_add_reports_every_file_as_json(run: Run, pump: Path, pdf: Path, tmp_path: Path) -> None:
    (tmp_path / "documents" / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    code, out, err = run("add", tmp_path / "documents", "--json")
    entries = {Path(entry["path"]).name: entry for entry in json.loads(out)}
    assert code == 0 and set(entries) == {"pump.md", "press.pdf", "photo.png"} and "indexed" in err
    keys = {"path", "status", "reason", "pages", "pages_without_text", "passages", "seconds", "document_id"}
    assert all(set(entry) == keys for entry in entries.values())
    assert entries["press.pdf"]["pages_without_text"] == [4] and entries["photo.png"]["status"] == "refused"


def test_search_gives_place_and_text(run: Run, pdf: Path) -> None:
    run("add", pdf)
    code, out, _ = run("search", "A-09", "--json", "--limit", 1)
    (hit,) = json.loads(out)
    assert code == 0 and hit["document"] == "press.pdf" and hit["page"] == 2 and hit["heading"] == ["2 Alarms"]
    assert "Die not clamped" in hit["text"] and len(hit["boxes"][0]) == 5


def test_a_batch_repeats_the_ids(run: Run, pump: Path, tmp_path: Path) -> None:
    run("add", pump)
    batch, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    batch.write_text('{"id": "a", "question": "oil grade"}\n\n{"id": 2, "question": "E-18"}\n', encoding="utf-8")
    assert run("search", "--batch", batch, "--out", out, "--json")[0] == 0
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [line["id"] for line in lines] == ["a", 2] and all(line["hits"] for line in lines)


def test_a_document_is_removed_by_name_or_id(run: Run, pump: Path, pdf: Path) -> None:
    run("add", pump, pdf)
    assert json.loads(run("remove", "pump.md", "--json")[1])["passages"] == 2
    (left,) = json.loads(run("list", "--json")[1])
    assert run("remove", left["id"])[0] == 0 and json.loads(run("list", "--json")[1]) == []


def test_check_backup_and_restore(run: Run, pump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("add", pump)
    assert json.loads(run("check", "--json")[1])["is_consistent"] is True
    assert run("backup", tmp_path / "b.zip")[0] == 0
    assert main(["restore", str(tmp_path / "b.zip"), "--home", str(tmp_path / "new"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["documents"] == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("remove", "nothing"), "there is no document 'nothing'"),
        (("add", "/no/such/place"), "there is no file or folder"),
        (("search",), "give either a text"),
        (("search", "x", "--limit", 0), "--limit is 0"),
        (("restore", "/no/such/file"), "No such file"),
    ],
)
def test_an_error_is_one_line_and_no_success(run: Run, arguments: tuple[object, ...], told: str) -> None:
    code, out, err = run(*arguments)
    assert code == 1 and out == "" and told in err and len(err.strip().splitlines()) == 1
