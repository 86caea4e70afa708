"""What every page shares: the way to the home's data, the header, the worker's care, and elements that follow running work."""

from __future__ import annotations

import logging
import runpy
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import streamlit as st

from kb import database
from kb.encoder import EncoderMissing
from kb.library import Library
from surrogates import schema, service

POLL_S = 0.4
WORKER_CHECK_S = 5
LOGO, ICON = (Path(__file__).resolve().parent.parent / name for name in ("logo.svg", "icon.svg"))
APP = LOGO.parent.parent / "app.py"
LINKS = "page-links"
SAID = "said"
log = logging.getLogger(__name__)

# One width of text on all pages; the marks of a running script would flicker while a page follows work.
STYLE = """<style>
.stMainBlockContainer, [data-testid="stBottomBlockContainer"] { max-width: 60rem; margin: 0 auto; }
.stMainBlockContainer { padding-top: 4.5rem; }
[data-testid="stStatusWidget"] { display: none; }
[data-testid="stSidebar"] [class*="st-key-chat-"] button * { justify-content: flex-start; text-align: left; }
</style>"""


def run_app() -> None:
    """Run app.py: Streamlit runs a file of pages/ by itself when its address is the first one opened after a start."""
    runpy.run_path(str(APP), run_name="__main__")


def page(home: Path, draw: Callable[[Path], None], path: str, title: str, icon: str, default: bool = False) -> st.Page:
    """`draw` as a page of the navigation, which says in words what went wrong when the library cannot be used."""

    def shown() -> None:
        st.html(STYLE)
        try:
            keep_worker(home)
            draw(home)
        except database.UnusableHome as error:
            st.error(f"The library cannot be opened: {error}", icon=":material/folder_off:")
        except EncoderMissing as error:
            st.error(f"The set-up is not complete: {error}.", icon=":material/build:")
        except (OSError, sqlite3.Error) as error:
            log.exception("the page %s failed", path)
            st.error(f"This page could not read or write its data in {home}: {error}. Free the disk or the file, then reload the page.")

    made = st.Page(shown, title=title, icon=icon, url_path=path, default=default)
    st.session_state.setdefault(LINKS, {})[path] = made
    return made


def link(path: str, label: str, icon: str) -> None:
    """A link to another page of the app."""
    st.page_link(st.session_state[LINKS][path], label=label, icon=icon)


def header(title: str, line: str) -> None:
    """The head of a page: its name and one line that says what it is for."""
    st.title(title, anchor=False)
    st.caption(line)
    if said := st.session_state.pop(SAID, None):
        st.toast(said, icon=":material/check:")


def say_after_redraw(sentence: str) -> None:
    """Have the next draw of a page say this for a moment: what is said before `st.rerun` would never be seen."""
    st.session_state[SAID] = sentence


def keep_worker(home: Path) -> None:
    """Make sure that a worker process is alive; looks at most every few seconds, so every draw may call it."""
    _checked_worker(home)


@st.cache_resource(ttl=WORKER_CHECK_S, show_spinner=False)
def _checked_worker(home: Path) -> None:
    service.ensure_worker(home)


@contextmanager
def data(home: Path) -> Iterator[sqlite3.Connection]:
    """A short-lived connection to the library's rows, for one draw."""
    connection = schema.connect(home)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def library(home: Path) -> Iterator[Library]:
    """A short-lived library, for one draw; its encoder is never loaded here."""
    with Library(home) as opened:
        yield opened


def follow(draw: Callable[[], bool], *, running: bool, every_s: float = POLL_S) -> None:
    """Draw, and while work is `running` draw again by itself.

    `draw` returns whether things are as the page shows them, the work still running; when not, the whole page is drawn once more,
    and the polling stops once nothing runs.
    """

    def step() -> None:
        if not draw() and running:
            st.rerun()

    st.fragment(step, run_every=every_s if running else None)()
