"""Fixtures that every room's tests may enter through: a fresh home, the default models, the development documents."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARE = Path(sys.prefix) / "share" / "flashkb"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that does not exist yet; whoever opens a library in it makes it."""
    return tmp_path / "home"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real documents of other makers, which are not part of the repository; the test is skipped where they are absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the development documents in {folder}")
    return folder


@pytest.fixture(scope="session")
def default_pack() -> Path:
    """The packed default model."""
    return _installed(SHARE / "smollm2-135m-instruct.pack", "manifest.json")


@pytest.fixture(scope="session")
def default_encoder() -> Path:
    """The folder of the default sentence encoder."""
    return _installed(SHARE / "encoder", "model.safetensors")


def _installed(folder: Path, member: str) -> Path:
    """`folder` when set-up has filled it. Absent, the test is skipped, but fails where CI=true: there nothing may go untested."""
    if (folder / member).is_file():
        return folder
    message = f"{folder} is missing; run `python launch.py setup`"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
