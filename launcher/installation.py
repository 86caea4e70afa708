"""Where an installation keeps its things, and what stops a set-up."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class SetupFailed(Exception):
    """A step failed; the message says which, why, and what to do."""


@dataclass(frozen=True)
class Installation:
    """A checkout with its environment. `root` is the folder of launch.py."""

    root: Path = ROOT

    @property
    def environment(self) -> Path:
        """The virtual environment."""
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")

    @property
    def share(self) -> Path:
        """The default model and encoder; they belong to the installation, not to a home."""
        return self.environment / "share" / "flashkb"

    @property
    def pack(self) -> Path:
        """The default model as the engine reads it."""
        return self.share / "smollm2-135m-instruct.pack"

    @property
    def stamp(self) -> Path:
        """Which steps are done, and from what."""
        return self.share / "setup.json"

    @property
    def log(self) -> Path:
        """What the commands of the last set-up printed."""
        return self.environment / "setup.log"
