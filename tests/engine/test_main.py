from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.__main__ import main


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    def call(*arguments: object) -> Any:
        assert main([*map(str, arguments), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return call


def test_pack_reports_what_it_made(run: Callable[..., Any], checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    value = run("pack", checkpoint("qwen2"), tmp_path / "a.pack", "--format", "q4")
    assert value["architecture"] == "qwen2" and value["format"] == "q4" and value["layers"] == 3
    assert value["pack_bytes"] == sum(file.stat().st_size for file in (tmp_path / "a.pack").iterdir() if file.name != "manifest.json")


def test_generate_gives_every_field_of_its_contract(run: Callable[..., Any], packed: Callable[..., Path]) -> None:
    value = run("generate", "--model", packed("llama"), "--memory", "400MB", "--mode", "exact", "--prompt", "oil", "--max-tokens", 5)
    fields = (
        "text tokens tokens_per_second first_token_seconds bytes_read_per_token reads_per_token stall_share peak_rss_bytes mode kernels"
    )
    assert set(fields.split()) <= set(value)
    assert value["mode"] == "exact" and 0 < value["tokens"] <= 5 and value["peak_rss_bytes"] < 400_000_000


def test_balanced_mode_says_that_exact_arithmetic_ran(run: Callable[..., Any], packed: Callable[..., Path]) -> None:
    value = run("generate", "--model", packed("llama"), "--mode", "balanced", "--prompt", "oil", "--max-tokens", 2)
    assert value["mode"] == "exact"


def test_a_model_is_found_by_its_name_in_the_home(run: Callable[..., Any], checkpoint: Callable[..., Path], home: Path) -> None:
    run("pack", checkpoint("opt"), home / "models" / "small.pack")
    assert run("plan", "--home", home, "--model", "small.pack", "--memory", "300MB")["strategy"] == "resident"


def test_bench_climbs_the_ladder_and_holds_it_against_the_machine(run: Callable[..., Any], packed: Callable[..., Path]) -> None:
    value = run("bench", "--model", packed("llama"), "--memory", "300MB", "--tokens", 2)
    naive, hybrid, pinned, ahead = value["rows"]
    assert [row["name"] for row in value["rows"]] == ["naive", "attention resident", "+ pinned tiles", "+ read ahead"]
    assert naive["bytes_per_token"] > hybrid["bytes_per_token"] > pinned["bytes_per_token"] == ahead["bytes_per_token"] == 0
    assert value["limit_token_s"] > 0 and value["share_of_the_limit"] > 0


def test_perplexity_of_a_random_model_is_about_its_vocabulary(run: Callable[..., Any], packed: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("The pump draws oil from the tank. " * 20, "utf-8")
    value = run("perplexity", "--model", packed("llama"), tmp_path / "text.txt")
    assert value["tokens"] == 255
    assert 150 < value["perplexity"] < 1000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pack", "nowhere.gguf", "out.pack"], "there is no checkpoint at nowhere.gguf"),
        (["plan", "--model", "nowhere"], "there is no pack 'nowhere'"),
        (["generate", "--model", "PACK", "--memory", "10MB", "--prompt", "x"], "give at least"),
        (["generate", "--model", "PACK", "--prompt", ""], "the prompt is empty"),
        (["generate", "--model", "PACK", "--prompt", "x", "--max-tokens", "0"], "expected at least 1"),
        (["perplexity", "--model", "PACK", "nowhere.txt"], "nowhere.txt"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_was_wrong(
    arguments: list[str],
    words: str,
    packed: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code = main([str(packed("llama")) if argument == "PACK" else argument for argument in arguments])
    captured = capsys.readouterr()
    assert code == 1 and captured.out == ""
    assert words in captured.err
    assert len(captured.err.strip().splitlines()) == 1


def test_a_size_that_is_none_is_refused_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["plan", "--memory", "plenty"])
    assert "700MB" in capsys.readouterr().err


NOT_FOR_THE_COMMAND = ("numpy", "engine.manifest")
NOT_FOR_THE_PROCESS = ("tokenizers", "torch", "transformers", "_hashlib", "subprocess")


@pytest.mark.parametrize(("module", "absent"), [("engine.__main__", NOT_FOR_THE_COMMAND), ("engine.process", NOT_FOR_THE_PROCESS)])
def test_a_process_loads_no_more_than_it_needs(module: str, absent: tuple[str, ...]) -> None:
    """The command waits beside the engine's process: both count where memory is bounded."""
    script = f"import sys, {module}; print(*(name for name in {absent!r} if name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split() == []
