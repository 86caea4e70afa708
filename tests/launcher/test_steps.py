"""A set-up runs what is due, in order, and goes on where it stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from launcher import steps
from launcher.installation import SetupFailed
from launcher.steps import Step


def fail() -> None:
    raise SetupFailed("no compiler")


def test_a_step_that_ran_is_due_again_only_when_its_fingerprint_changes(tmp_path: Path) -> None:
    stamp, ran = tmp_path / "setup.json", []
    ladder = [Step("packages", "Packages", "v1", lambda: ran.append("v1"))]
    steps.run(ladder, stamp, say=str)
    assert ran == ["v1"]
    assert steps.due(ladder, stamp) == []
    assert steps.due([Step("packages", "Packages", "v2", fail)], stamp) != []


def test_a_step_whose_product_is_gone_is_due(tmp_path: Path) -> None:
    product = tmp_path / "product"
    ladder = [Step("pack", "Packing", "v1", product.touch, product.exists)]
    steps.run(ladder, tmp_path / "setup.json", say=str)
    assert steps.due(ladder, tmp_path / "setup.json") == []
    product.unlink()
    assert steps.due(ladder, tmp_path / "setup.json") == ladder


def test_a_set_up_that_failed_goes_on_at_the_step_that_failed(tmp_path: Path) -> None:
    stamp = tmp_path / "setup.json"
    ladder = [Step("first", "First", "1", lambda: None), Step("second", "Second", "1", fail), Step("third", "Third", "1", lambda: None)]
    with pytest.raises(SetupFailed, match=r"Step 2 of 3 \(Second\) failed\.\nno compiler"):
        steps.run(ladder, stamp, say=str)
    assert [step.name for step in steps.due(ladder, stamp)] == ["second", "third"]


def test_a_step_that_is_not_needed_warns_and_waits_for_an_explicit_set_up(tmp_path: Path) -> None:
    stamp, said = tmp_path / "setup.json", []
    ladder = [Step("native", "Native library", "1", fail, needed=False)]
    steps.run(ladder, stamp, said.append)
    assert said == ["[1/1] Native library", "      Warning: no compiler"]
    assert steps.due(ladder, stamp) == []
    assert steps.due(ladder, stamp, retry=True) == ladder


def test_a_stamp_cut_short_makes_everything_due(tmp_path: Path) -> None:
    stamp = tmp_path / "setup.json"
    stamp.write_text('{"packages": "v', encoding="utf-8")
    ladder = [Step("packages", "Packages", "v1", lambda: None)]
    assert steps.due(ladder, stamp) == ladder
    steps.run(ladder, stamp, say=str)
    assert steps.due(ladder, stamp) == []


def test_forgetting_keeps_the_models(tmp_path: Path) -> None:
    stamp = tmp_path / "setup.json"
    ladder = [Step(name, name, "1", lambda: None) for name in ("packages", "models")]
    steps.run(ladder, stamp, say=str)
    steps.forget(stamp, keep=("models",))
    assert [step.name for step in steps.due(ladder, stamp)] == ["packages"]
