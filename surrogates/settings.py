"""What the user has chosen for the home: the model, its memory, and how sure an instant answer must be."""

from __future__ import annotations

import sqlite3
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.request import Mode
from kb import database

KEY = "surrogates.settings"
DEFAULT_PACK = "smollm2-135m-instruct.pack"
LEVELS = 5


@dataclass(frozen=True)
class Settings:
    """`model` is a pack folder, None the default model.

    `level` is how sure an instant answer must be: 1 answers most, 5 only the surest. `accept_agreeing` lets a written answer that waits
    for a person into the bank when a second one, to the question in other words, agrees. `teacher_url` is the base address of an
    OpenAI-compatible server that teaches with its `teacher_model` instead of `model`; None: no text goes to any server.
    """

    model: str | None = None
    memory_bytes: int = 700_000_000
    mode: Mode = "exact"
    level: int = 3
    accept_agreeing: bool = False
    teacher_url: str | None = None
    teacher_model: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.level <= LEVELS:
            raise ValueError(f"level is {self.level}, expected 1 to {LEVELS}")
        if self.memory_bytes < 1_000_000:
            raise ValueError(f"memory_bytes is {self.memory_bytes}, expected bytes: at least 1000000")
        if self.mode not in ("exact", "balanced"):
            raise ValueError(f'mode is {self.mode!r}, expected "exact" or "balanced"')

    @property
    def pack(self) -> Path:
        """The pack folder to run; it may not exist."""
        return Path(self.model) if self.model else default_pack()


def load(connection: sqlite3.Connection) -> Settings:
    """The home's settings; what was never set has its default, and a key of another version is passed over."""
    kept = database.setting(connection, KEY, {})
    return Settings(**{name: value for name, value in kept.items() if name in Settings.__dataclass_fields__})


def save(connection: sqlite3.Connection, settings: Settings) -> None:
    """Keep the settings; the worker takes them up with its next question."""
    database.set_setting(connection, KEY, asdict(settings))


def default_pack() -> Path:
    """Where set-up puts the default model: the running environment's share, or the project's `.venv` when another interpreter runs."""
    project = Path(__file__).resolve().parent.parent / ".venv"
    places = [Path(prefix) / "share" / "flashkb" / DEFAULT_PACK for prefix in (sys.prefix, project)]
    return next((place for place in places if place.is_dir()), places[0])


def packs(home: Path) -> list[Path]:
    """The default model and the packs that the user added to `home`, each a folder with a manifest."""
    added = sorted((home / "models").glob("*/manifest.json"))
    return [pack for pack in [default_pack(), *(manifest.parent for manifest in added)] if (pack / "manifest.json").is_file()]
