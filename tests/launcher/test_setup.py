"""What a set-up consists of, when it is due, and that a folder of wheels is all it needs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from launcher import instance, setup, steps
from launcher.installation import Installation, SetupFailed


@pytest.fixture
def checkout(tmp_path: Path) -> Installation:
    """The files of a checkout that a set-up is made from, with one requirement."""
    return fill(Installation(tmp_path / "checkout"))


def fill(checkout: Installation) -> Installation:
    root = checkout.root
    (root / "engine" / "native" / "src").mkdir(parents=True)
    (root / "engine" / "manifest.py").write_text("LAYOUT_VERSION = 7\n", encoding="utf-8")
    (root / "engine" / "native" / "src" / "pool.c").write_text("int x;\n", encoding="utf-8")
    (root / "requirements.txt").write_text("tiny-tool==1.0  # why\n", encoding="utf-8")
    (root / "requirements-dev.txt").write_text("pytest==9.2.0\n", encoding="utf-8")
    return checkout


def fingerprints(checkout: Installation, **options: bool) -> dict[str, str]:
    return {step.name: step.fingerprint for step in setup.plan(checkout, setup.Options(**options))}


def test_the_steps_stand_in_their_order(checkout: Installation) -> None:
    assert list(fingerprints(checkout)) == ["environment", "packages", "models", "native", "pack", "check"]
    assert list(fingerprints(checkout, tests=True))[:3] == ["environment", "packages", "test packages"]


@pytest.mark.parametrize(
    ("file", "text", "due"),
    [
        ("requirements.txt", "tiny-tool==2.0\n", {"packages", "check"}),
        ("requirements-dev.txt", "pytest==10.0\n", {"test packages"}),
        ("engine/manifest.py", "LAYOUT_VERSION = 8\n", {"pack", "check"}),
        ("engine/native/src/pool.c", "int y;\n", {"native", "check"}),
        ("requirements.txt", "tiny-tool==1.0  # why\r\n", set()),
    ],
)
def test_a_changed_file_makes_its_own_steps_due(checkout: Installation, file: str, text: str, due: set[str]) -> None:
    before = fingerprints(checkout, tests=True)
    (checkout.root / file).write_text(text, encoding="utf-8", newline="")
    after = fingerprints(checkout, tests=True)
    assert {name for name in after if after[name] != before[name]} == due


def test_a_checkout_that_lacks_a_file_is_named(checkout: Installation) -> None:
    (checkout.root / "requirements.txt").unlink()
    with pytest.raises(SetupFailed, match=r"requirements\.txt is missing"):
        setup.ensure(checkout, setup.Options())


@pytest.mark.usefixtures("no_network")
def test_packages_come_from_a_folder_when_there_is_no_network(
    installation: Installation, tmp_path: Path, make_wheel: Callable[[Path, str, Mapping[str, bytes]], Path]
) -> None:
    checkout, bundle = fill(installation), tmp_path / "bundle"
    make_wheel(bundle / "wheels", "tiny-tool", {"tiny_tool.py": b"print('tiny')"})
    ladder = setup.plan(checkout, setup.Options(bundle))[:2]
    steps.run(ladder, checkout.stamp, say=str)
    assert steps.due(ladder, checkout.stamp) == []
    assert subprocess.run([checkout.python, "-m", "tiny_tool"], capture_output=True, check=True).stdout.strip() == b"tiny"


@pytest.mark.slow
def test_an_environment_whose_python_is_gone_is_made_again_and_its_packages_are_due(checkout: Installation) -> None:
    steps.run([step for step in _empty(setup.plan(checkout, setup.Options()))], checkout.stamp, say=str)
    (checkout.environment / "bin").mkdir(parents=True, exist_ok=True)
    (checkout.environment / "bin" / "python").write_text("not a program", encoding="utf-8")
    model = checkout.share / "encoder" / "config.json"
    model.parent.mkdir(parents=True)
    model.touch()
    setup.ensure_environment(checkout)
    assert subprocess.run([checkout.python, "-m", "pip", "--version"], capture_output=True, check=True).stdout.startswith(b"pip")
    assert model.exists()
    assert [step.name for step in steps.due(_empty(setup.plan(checkout, setup.Options())), checkout.stamp)] == [
        "packages",
        "native",
        "check",
    ]


def _empty(ladder: list[steps.Step]) -> list[steps.Step]:
    """The same steps without deeds."""
    return [steps.Step(step.name, step.title, step.fingerprint, lambda: None) for step in ladder]


def test_two_set_ups_of_one_folder_do_not_meet(checkout: Installation) -> None:
    with instance.held(checkout.environment, "setup.lock") as ours:
        assert ours
        with pytest.raises(SetupFailed, match=r"another set-up of .* is running"):
            setup.ensure(checkout, setup.Options())


def test_a_bundle_for_another_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupFailed, match="is not a bundle"):
        setup.check_bundle(tmp_path)
    (tmp_path / "bundle.txt").write_text("win32 amd64, Python 3.12\n", encoding="utf-8")
    with pytest.raises(SetupFailed, match=r"was made for win32 amd64, Python 3\.12, this computer has "):
        setup.check_bundle(tmp_path)
    (tmp_path / "bundle.txt").write_text(setup.platform_label() + "\n", encoding="utf-8")
    setup.check_bundle(tmp_path)


def test_a_drive_that_is_nearly_full_is_refused_before_anything_is_made(checkout: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "NEEDED_BYTES", shutil.disk_usage(checkout.root).total * 2)
    with pytest.raises(SetupFailed, match=r"GB free; .* GB are needed"):
        setup.ensure_environment(checkout)
    assert not checkout.python.exists()
