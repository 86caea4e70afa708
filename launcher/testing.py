"""`launch.py test`: pytest in the environment, with the browser that the browser tests drive."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from launcher.installation import Installation

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge", "microsoft-edge")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
    "C:/Program Files/Microsoft/Edge/Application/msedge.exe",
)
GET_A_BROWSER = """No Chromium, Chrome or Edge was found; the browser tests need one.
  Debian, Ubuntu:  sudo apt install chromium   (Ubuntu: sudo snap install chromium)
  Fedora:          sudo dnf install chromium
  macOS:           brew install --cask chromium, or install Google Chrome
  Windows:         Edge is part of the system; otherwise install Google Chrome"""


def run(installation: Installation, slow: bool, arguments: Sequence[str]) -> int:
    """Run the tests, without the slow ones unless `slow`; returns pytest's exit code."""
    if not has_browser():
        print(GET_A_BROWSER, flush=True)
    chosen = [] if slow else ["-m", "not slow"]
    command = [str(installation.python), "-m", "pytest", *chosen, *arguments]
    return subprocess.run(command, cwd=installation.root, env={**os.environ, "PYTHONUTF8": "1"}, check=False).returncode


def has_browser() -> bool:
    """Whether a browser of the Chromium family is installed for the whole system."""
    return any(shutil.which(name) for name in BROWSERS) or any(Path(place).is_file() for place in PLACES)
