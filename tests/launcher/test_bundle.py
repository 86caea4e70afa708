"""A bundle holds the app without leftovers, and takes no folder that is in use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from launcher import bundle
from launcher.installation import Installation, SetupFailed


def test_the_copied_app_is_whole_and_clean(tmp_path: Path) -> None:
    bundle._app(Installation(), tmp_path)
    result = subprocess.run(
        [sys.executable, "-B", tmp_path / "flashkb" / "launch.py", "--help"], capture_output=True, encoding="utf-8", check=True
    )
    assert "[setup | test | shortcut | bundle]" in result.stdout
    names = {path.name for path in (tmp_path / "flashkb").rglob("*")}
    assert {"app.py", "requirements.txt", "LICENSE", "config.toml", "HX 200 and HX 300 pump manual.pdf"} <= names
    assert not names & {"__pycache__", ".venv", ".git", "tests"}
    assert not (tmp_path / "flashkb" / "engine" / "native" / "build").exists()


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").touch()
    with pytest.raises(SetupFailed, match=r"holds other things \(thesis\.docx\)"):
        bundle.make(Installation(), tmp_path, bundle.setup.Options())
