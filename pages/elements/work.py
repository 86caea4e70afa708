"""Jobs that take their time, one line each: how far they are, a way to stop them, and how they ended until that is dismissed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import streamlit as st

from kb import database, jobs
from pages.elements import frame, text

ENDED = {
    "done": (":green[:material/check_circle: done]", ""),
    "cancelled": (":gray[:material/stop_circle: stopped]", ""),
    "failed": (":red[:material/error: failed]", "the program met an error; see the log folder"),
}


def draw(home: Path, kinds: Sequence[str], dismissed_key: str, name: Callable[[jobs.Job], str]) -> None:
    """Draw the jobs of `kinds` since the list was last dismissed, and follow them while one runs."""

    def listed(connection: sqlite3.Connection) -> list[jobs.Job]:
        dismissed = int(database.setting(connection, dismissed_key, 0))
        return [job for job in reversed(jobs.listing(connection, kinds)) if job.id > dismissed]

    def step() -> bool:
        with frame.data(home) as connection:
            found = listed(connection)
        for job in found:
            _draw_job(home, job, name(job))
        running = any(not job.is_over for job in found)
        if found and not running and st.button("Dismiss", icon=":material/close:", key=f"dismiss-{dismissed_key}"):
            with frame.data(home) as connection:
                database.set_setting(connection, dismissed_key, found[-1].id)
            st.rerun()
        return running

    with frame.data(home) as connection:
        running = any(not job.is_over for job in listed(connection))
    frame.follow(step, running=running)


def _draw_job(home: Path, job: jobs.Job, name: str) -> None:
    if job.is_over:
        ended, otherwise = ENDED[job.state]
        st.markdown(f"{ended} **{text.as_label(name, 90)}** {text.as_markdown(job.error or otherwise)}")
        return
    frame.keep_worker(home)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(job.progress, text=f"**{text.as_label(name, 60)}** · {text.as_label(job.stage or 'waiting for its turn', 80)}")
        draw_stop(home, [job], key=f"stop-{job.id}")


def draw_stop(home: Path, running: Sequence[jobs.Job], key: str) -> None:
    """A button that stops these jobs, the last queued one first, so that none starts meanwhile."""
    is_stopping = all(job.cancel_requested for job in running)
    st.button(
        "Stopping" if is_stopping else "Stop",
        icon=":material/stop_circle:",
        key=key,
        disabled=is_stopping,
        on_click=_stop,
        args=(home, [job.id for job in running]),
    )


def _stop(home: Path, ids: Sequence[int]) -> None:
    with frame.data(home) as connection:
        for job_id in sorted(ids, reverse=True):
            jobs.request_cancel(connection, job_id)
