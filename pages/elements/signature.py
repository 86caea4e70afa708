"""Who sits before the screen: the name that verdicts, confirmations and corrections are signed with, kept in the home."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from kb import database
from pages.elements import frame

SIGNED_BY = "pages.signed_by"
LONGEST = 60


def name(home: Path) -> str:
    """The name as it was last given, "" before the first time."""
    with frame.data(home) as connection:
        return str(database.setting(connection, SIGNED_BY, ""))


def keep(home: Path, given: str) -> str:
    """Remember a name for the next time; returns it without blanks around it."""
    clean = " ".join(given.split())[:LONGEST]
    with frame.data(home) as connection:
        database.set_setting(connection, SIGNED_BY, clean)
    return clean


def draw(home: Path, key: str) -> str:
    """A field for the name, filled with the last one; what it holds now."""
    before = name(home)
    given = st.text_input("Your name", value=before, max_chars=LONGEST, key=key, placeholder="Who signs", width=240)
    return keep(home, given) if given != before else before
