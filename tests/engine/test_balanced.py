from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine import manifest as manifests
from engine.balance import rounded_layout
from engine.balanced import MOST_LOSS, BalanceSettings, balance, lightest
from engine.errors import CorruptPack, Stopped, UnusableSource
from engine.generate import Engine
from engine.plan import Plan, model_of, plan, plan_model
from engine.request import Mode, Request, Segment

SETTINGS = BalanceSettings(tokens=2048, length=128, loss=0.02, passes=4)
TEXT = " ".join(f"The pump {number} runs at {number % 7} bar and stops when the valve {number * 37 % 101} closes." for number in range(80))


@pytest.fixture
def pack(packed: Callable[..., Path], tmp_path: Path) -> Path:
    """A small gated pack of one's own, not calibrated."""
    return Path(shutil.copytree(packed("llama"), tmp_path / "small.pack"))


@pytest.fixture(scope="module")
def calibrated(packed: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with its second form; not to be written to."""
    folder = Path(shutil.copytree(packed("llama"), tmp_path_factory.mktemp("balanced") / "small.pack"))
    balance(folder, TEXT, SETTINGS)
    return folder


BUDGET = 1 << 30


def streaming(pack: Path, mode: Mode) -> Plan:
    """The plan of a small pack when no tile may stay in memory: otherwise all of it would."""
    return plan_model(model_of(manifests.load(pack)), BUDGET, mode, pin=False)


def test_the_loss_that_is_recorded_is_within_what_is_allowed_and_the_form_is_smaller(calibrated: Path) -> None:
    form = manifests.load(calibrated).balanced
    assert form is not None and form.loss <= MOST_LOSS
    assert sum(layer.size for layer in form.layers) < manifests.load(calibrated).ffn_bytes
    assert any(part.format == "q3_1" for layer in form.layers for part in layer.parts)
    assert form.perplexity_exact > 1 and min(form.tokens) > 0


def test_a_balanced_plan_reads_less_and_says_what_it_computes(calibrated: Path) -> None:
    exact, small = streaming(calibrated, "exact"), streaming(calibrated, "balanced")
    assert (exact.arithmetic, small.arithmetic, small.form) == ("exact", "balanced", "balanced")
    assert small.expected_bytes_read_per_token < exact.expected_bytes_read_per_token


def test_where_everything_fits_a_balanced_plan_computes_exactly(calibrated: Path) -> None:
    assert plan(calibrated, BUDGET, "balanced").arithmetic == "exact"


def test_a_pack_that_was_not_calibrated_computes_exactly_in_balanced_mode(pack: Path) -> None:
    found = streaming(pack, "balanced")
    assert (found.mode, found.arithmetic, found.form) == ("balanced", "exact", "exact")


def test_what_an_engine_computes_in_balanced_mode_has_the_perplexity_that_is_recorded(calibrated: Path) -> None:
    """Exact and balanced likelihoods of a text differ as the recorded perplexities let one expect, and not in nothing."""
    found: dict[Mode, float] = {}
    modes: tuple[Mode, ...] = ("exact", "balanced")
    for mode in modes:
        with Engine(calibrated, BUDGET, mode, pin=False) as engine:
            tokens = engine.encode(TEXT)[:300]
            found[mode] = float(np.mean(engine.log_likelihoods(tokens, 1)))
            answer = engine.generate(Request((Segment("The pump", None),), max_tokens=3))
            assert answer.mode == mode and answer.bytes_read_per_token > 0
    assert found["exact"] != found["balanced"]
    assert abs(found["exact"] - found["balanced"]) < 0.1


def test_stopping_leaves_the_pack_as_it_was(pack: Path) -> None:
    before = {file.name: file.read_bytes() for file in pack.iterdir()}
    asked: list[None] = []

    def later() -> bool:
        asked.append(None)
        return len(asked) > 20

    with pytest.raises(Stopped, match="as it was"):
        balance(pack, TEXT, SETTINGS, should_stop=later)
    assert {file.name: file.read_bytes() for file in pack.iterdir()} == before


def test_calibrating_again_replaces_the_form_before(calibrated: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(calibrated, tmp_path / "again.pack"))
    shares: list[float] = []
    made = balance(folder, TEXT[::-1], SETTINGS, lambda share, stage: shares.append(share))
    files = [file.name for file in folder.glob("*balanced*")]
    assert made.balanced is not None and files == [made.balanced.file]
    assert manifests.load(folder) == made
    assert shares == sorted(shares) and shares[-1] == 1.0


def test_an_altered_byte_of_the_second_form_is_found_when_it_is_read(calibrated: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(calibrated, tmp_path / "altered.pack"))
    found = manifests.load(folder)
    assert found.balanced is not None
    with (folder / found.balanced.file).open("r+b") as file:
        file.seek(-found.balanced.layers[-1].stride, 2)
        file.write(b"\xff\xfe\xfd\xfc")
    with pytest.raises(CorruptPack, match="altered"), Engine(folder, BUDGET, "balanced", pin=False) as engine:
        engine.generate(Request((Segment("The pump", None),), max_tokens=2))


def test_a_model_whose_neurons_are_read_one_by_one_and_too_short_a_text_are_refused(packed: Callable[..., Path], pack: Path) -> None:
    with pytest.raises(UnusableSource, match="one by one"):
        balance(packed("opt"), TEXT, SETTINGS)
    with pytest.raises(UnusableSource, match="needs at least 512"):
        balance(pack, "short", SETTINGS)
    with pytest.raises(ValueError, match="is at most"):
        BalanceSettings(loss=0.5)


def test_parts_that_cost_most_for_what_they_save_keep_their_grid(calibrated: Path) -> None:
    layers = manifests.load(calibrated).layers
    shares = {(number, name): 0.01 for number in range(3) for name in ("inner", "down")} | {(1, "down"): 90.0, (2, "inner"): 0.12}
    choice = lightest(layers, shares, allowed=0.08)
    assert choice == {(0, "inner"): 3, (0, "down"): 3, (1, "inner"): 3, (2, "inner"): 4, (2, "down"): 3}
    assert lightest(layers, shares, allowed=1000.0) == dict.fromkeys(shares, 3)
    assert lightest(layers, shares, allowed=0.0) == {}


def test_a_rounded_tile_holds_its_parts_without_gaps_on_whole_sectors(calibrated: Path) -> None:
    layer = replace(manifests.load(calibrated).layers[0], permutation=None)
    small = rounded_layout(layer, {"up": 3, "gate": 3, "down": 2})
    ends = [part.offset + part.size for part in small.parts]
    assert [part.offset for part in small.parts] == [0, *ends[:-1]] and small.stride % 512 == 0 and small.stride - ends[-1] < 512
    assert {part.format for part in small.parts} == {"q3_1", "q2_1"} and small.tiles == layer.tiles
