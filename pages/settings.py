"""The page of the settings: the model and its memory, how sure an instant answer must be, where the data lies."""

from __future__ import annotations

import datetime
import re
from dataclasses import replace
from pathlib import Path

import streamlit as st

from pages.elements import frame, models, taught, teacher, text
from surrogates import judging, settings

PROJECT = Path(__file__).resolve().parent.parent
CHANGELOG, LICENCES = PROJECT / "CHANGELOG.md", PROJECT / "docs" / "licences.md"
LEVEL_HELP = {
    1: "Most taught questions are answered at once; more of these answers may miss the point.",
    2: "More instant answers than usual, at a somewhat higher risk of a wrong one.",
    3: "A fair trade between speed and risk.",
    4: "Fewer instant answers; when in doubt the language model writes the answer.",
    5: "Instant only when the question is as good as the taught one.",
}


def draw(home: Path) -> None:
    """Draw the page."""
    frame.header(
        "Settings", "Everything runs on this computer; nothing is sent anywhere unless you start a download or let a server teach here."
    )
    with frame.data(home) as connection:
        now = settings.load(connection)
    st.subheader("Language model", anchor=False)
    models.draw(home, now)
    st.subheader("Instant answers", anchor=False)
    _draw_level(home, now)
    st.subheader("Teacher", anchor=False)
    teacher.draw(home, now)
    st.subheader("Appearance", anchor=False)
    st.markdown("Light, dark or as the system has it: choose in the menu :material/more_vert: at the top right.")
    st.subheader("Your data", anchor=False)
    _draw_data(home)
    st.subheader("About", anchor=False)
    _draw_about()


def _draw_level(home: Path, now: settings.Settings) -> None:
    chosen = st.select_slider(
        "How sure an instant answer must be",
        options=list(taught.LEVELS),
        value=now.level,
        format_func=taught.LEVELS.__getitem__,
        key="level",
        width=560,
    )
    with frame.library(home) as library:
        certificate = judging.certificate(library, chosen)
    st.caption(f"{LEVEL_HELP[chosen]} {taught.certificate_words(certificate)}.")
    taught.draw_renewal(home, certificate)
    if chosen != now.level:
        with frame.data(home) as connection:
            settings.save(connection, replace(settings.load(connection), level=chosen))
        frame.say_after_redraw("Kept; it holds from the next question on.")
        st.rerun()


def _draw_data(home: Path) -> None:
    st.markdown("Documents, chats and taught answers lie in this folder:")
    st.code(str(home), language=None)
    with st.form("backup", border=True):
        folder = st.text_input(
            "Folder for a backup",
            value=str(Path.home()),
            help="Best on another disk. The backup is one file; the app may stay open meanwhile.",
        )
        if st.form_submit_button("Back up now", icon=":material/save:"):
            _back_up(home, Path(folder).expanduser())


def _back_up(home: Path, folder: Path) -> None:
    if not folder.is_dir():
        st.error(f"There is no folder {folder}; name one that exists.", icon=":material/folder_off:")
        return
    target = folder / f"flashkb-{datetime.datetime.now():%Y-%m-%d-%H%M%S}.zip"
    try:
        with st.spinner("Writing the backup"), frame.library(home) as library:
            library.backup(target)
    except OSError as error:
        st.error(f"The backup could not be written to {target}: {error}. Choose a folder with room that you may write to.")
        return
    st.success(
        f"Kept in {target} ({text.size(target.stat().st_size)}). To restore it: `python -m kb restore FILE`.", icon=":material/check:"
    )


def _draw_about() -> None:
    st.markdown(
        f"FlashKB {version(CHANGELOG.read_text(encoding='utf-8'))} is free software (Apache License 2.0). The default model is"
        " SmolLM2-135M-Instruct and the encoder all-MiniLM-L6-v2, both Apache-2.0."
    )
    with st.expander("Licences of everything inside", icon=":material/balance:"):
        st.markdown(LICENCES.read_text(encoding="utf-8"))


def version(changelog: str) -> str:
    """The newest version that the changelog names."""
    found = re.search(r"^## ([0-9][^\s]*)", changelog, re.MULTILINE)
    return found.group(1) if found else ""


if __name__ == "__main__":
    frame.run_app()
