"""File names as display text: never a path to open, never a way to disturb a screen."""

from __future__ import annotations

import re
import unicodedata

MAX_LENGTH = 200
DRIVE = re.compile(r"^[A-Za-z]:")


def display_name(name: str) -> str:
    """A name that is safe to show and to compare: folders stay, ways out of them and control characters go.

    >>> display_name("../../etc/pass\\x00wd")
    'etc/passwd'
    """
    visible = "".join(character for character in unicodedata.normalize("NFC", name) if unicodedata.category(character)[0] != "C")
    parts = [DRIVE.sub("", part).strip() for part in visible.replace("\\", "/").split("/")]
    safe = "/".join(" ".join(part.split()) for part in parts if part not in ("", ".", ".."))
    return safe[-MAX_LENGTH:] or "unnamed"
