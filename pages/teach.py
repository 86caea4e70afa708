"""The page of teaching: the language model writes questions and answers over the library, and the surrogate learns them."""

from __future__ import annotations

import random
import sqlite3
import time
from pathlib import Path

import streamlit as st

from kb import jobs
from pages.elements import frame, taught, teacher, text, work
from surrogates import chat, judging, settings, teaching

KINDS = ("teach", "train")
WHOLE_LIBRARY = "Whole library"
EVERYTHING = "All that is not taught yet"
SOME = "Some, to try it"
NEWEST = 200
FAIR_SHARE = 0.05  # of the work done before an estimate of the rest means anything


def draw(home: Path) -> None:
    """Draw the page."""
    frame.header(
        "Teach",
        "The language model reads your documents and writes questions with answers; only those that prove right are kept."
        " From then on such questions, also in other words, are answered in an instant.",
    )
    with frame.library(home) as library:
        collections = library.collections()
    if not collections:
        st.info("The library is empty. Add documents first, or try the sample library.", icon=":material/library_add:")
        frame.link("library", "Go to the library", ":material/library_books:")
        return
    with frame.data(home) as connection:
        running = _running(connection) is not None
        teacher.draw_notice(settings.load(connection))
    if not running:
        _draw_start(home, collections)
    frame.follow(lambda: _draw_state(home), running=running, every_s=1.0)
    if not running:
        _draw_examples(home)


def _running(connection: sqlite3.Connection) -> jobs.Job | None:
    return next(iter(jobs.listing(connection, KINDS, open_only=True)), None)


def _draw_start(home: Path, collections: list[str]) -> None:
    with st.form("teach"), st.container(horizontal=True, vertical_alignment="bottom"):
        scope = st.selectbox("Teach", [WHOLE_LIBRARY, *collections], key="teach-scope", width=220)
        extent = st.selectbox("How much", [EVERYTHING, SOME], key="teach-extent", width=240)
        limit = st.number_input("Passages, if some", min_value=1, value=20, step=10, key="teach-limit", width=160)
        if st.form_submit_button("Start teaching", type="primary", icon=":material/school:"):
            with frame.data(home) as connection:
                scope_id = chat.collection_id(connection, None if scope == WHOLE_LIBRARY else scope)
                jobs.enqueue(connection, "teach", {"limit": int(limit) if extent == SOME else None}, scope_id)
            st.rerun()


def _draw_state(home: Path) -> bool:
    """The run under way or the last one, and the figures so far; False when none is under way."""
    with frame.data(home) as connection:
        running = _running(connection)
        last = next(iter(jobs.listing(connection, KINDS, limit=1)), None)
        level = settings.load(connection).level
    with frame.library(home) as library:
        status = teaching.status(library)
        certificate = judging.certificate(library, level)
    if running is not None:
        _draw_running(home, running)
    elif last is not None:
        _draw_end(last)
    if last is not None or status["structure_read"]:
        taught.draw_figures(status)
        taught.draw_trust(level, certificate, status["model"]["problem"])
        taught.draw_renewal(home, certificate)
    return running is not None


def _draw_running(home: Path, job: jobs.Job) -> None:
    frame.keep_worker(home)
    with st.container(border=True):
        st.progress(job.progress, text=text.as_label(job.stage or "waiting for its turn", 120))
        with st.container(horizontal=True, vertical_alignment="center"):
            work.draw_stop(home, [job], key=f"stop-{job.id}")
            st.caption(" · ".join([*_times(job), "Questions go first: asking slows teaching, never the other way round."]))


def _times(job: jobs.Job) -> list[str]:
    if job.started_at is None:
        return []
    spent_s = time.time() - job.started_at
    if job.progress < FAIR_SHARE:
        return [f"running for {text.duration(spent_s)}"]
    return [f"about {text.duration(spent_s * (1 - job.progress) / job.progress)} left"]


def _draw_end(job: jobs.Job) -> None:
    if job.state == "failed":
        st.error(f"Teaching ended early: {job.error}", icon=":material/error:")
    elif job.state == "cancelled":
        st.info("Teaching was stopped. What was made is kept; starting again goes on from there.", icon=":material/pause_circle:")
    else:
        st.success("Teaching is done. Ask one of the questions below, in your own words.", icon=":material/check_circle:")


def _draw_examples(home: Path) -> None:
    with frame.library(home) as library:
        newest = teaching.examples(library, NEWEST)
    if not newest:
        return
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("Some of what is taught", anchor=False)
        st.button("Show others", icon=":material/shuffle:", key="other-examples")
    with st.container(key="examples"):
        taught.draw_examples(random.sample(newest, min(len(newest), taught.EXAMPLES)))


if __name__ == "__main__":
    frame.run_app()
