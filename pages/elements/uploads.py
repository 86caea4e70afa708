"""Files on their way into the library: taking uploads, and the list of what became of each."""

from __future__ import annotations

import shutil
import sqlite3
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import streamlit as st

from kb import database, ingest, jobs
from pages.elements import frame, text, work

FOLDER = "uploads"
DEFAULT_COLLECTION = "General"
DISMISSED = "pages.uploads_dismissed"
LISTED = 2_000
ABANDONED_S = 86_400
OUTCOMES = {
    "indexed": (":material/check_circle:", "green"),
    "replaced": (":material/published_with_changes:", "green"),
    "duplicate": (":material/content_copy:", "gray"),
    "refused": (":material/error:", "red"),
    "stopped": (":material/stop_circle:", "gray"),
}


@dataclass(frozen=True)
class Outcome:
    """What became of one file. `status` is one of `OUTCOMES`; `detail` is the reason of a refusal, or what is in the library now."""

    name: str
    status: str
    detail: str


def accept(home: Path, name: str, content: BinaryIO, collection: str) -> int:
    """Keep an uploaded file in the home and queue it for the library; returns the job's id.

    `name` is only shown: the file itself lies under a name of our own.
    """
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / uuid.uuid4().hex
    with kept.open("wb") as target:
        shutil.copyfileobj(content, target, 1 << 20)
    return _enqueue(home, {"path": str(kept), "name": name, "delete_after": True}, collection)


def accept_path(home: Path, path: Path, collection: str) -> int:
    """Queue a file where it lies; it is copied, never changed."""
    return _enqueue(home, {"path": str(path), "name": path.name, "delete_after": False}, collection)


def _enqueue(home: Path, payload: dict[str, Any], collection: str) -> int:
    with frame.data(home) as connection, database.transaction(connection):
        scope = ingest.collection_id(connection, collection.strip() or DEFAULT_COLLECTION, create=True)
        return jobs.enqueue(connection, "ingest", payload, scope)


def sweep(home: Path) -> None:
    """Delete uploads that no waiting job needs any more, left by a crash."""
    with frame.data(home) as connection:
        needed = {job.payload.get("path") for job in jobs.listing(connection, ["ingest"], open_only=True, limit=100_000)}
    for kept in (home / FOLDER).glob("*"):
        if str(kept) not in needed and time.time() - kept.stat().st_mtime > ABANDONED_S:
            kept.unlink(missing_ok=True)


def are_waiting(home: Path) -> bool:
    """Whether a file is being added or waits to be."""
    with frame.data(home) as connection:
        return bool(_waiting(_listed(connection)))


def draw(home: Path) -> None:
    """The list of files that were added since the list was last dismissed; follows them while any is under way."""
    with frame.data(home) as connection:
        waiting = _waiting(_listed(connection))

    def step() -> bool:
        with frame.data(home) as connection:
            listed = _listed(connection)
        _draw_list(home, listed)
        return len(_waiting(listed)) == len(waiting)  # a file that is done changes the page's other parts too

    frame.follow(step, running=bool(waiting))


def _waiting(listed: list[jobs.Job]) -> list[jobs.Job]:
    return [job for job in listed if not job.is_over]


def _listed(connection: sqlite3.Connection) -> list[jobs.Job]:
    dismissed = int(database.setting(connection, DISMISSED, 0))
    return [job for job in reversed(jobs.listing(connection, ["ingest"], limit=LISTED)) if job.id > dismissed]


def _draw_list(home: Path, listed: list[jobs.Job]) -> None:
    if not listed:
        return
    waiting = _waiting(listed)
    if waiting:
        frame.keep_worker(home)
    with st.container(border=True):
        _draw_head(home, listed, waiting)
        for job in [one for one in waiting if one.state == "running"]:
            st.progress(job.progress, text=f"**{text.as_label(job.payload['name'], 70)}** · {job.stage or 'starting'}")
        queued = sum(job.state == "queued" for job in waiting)
        if queued:
            st.caption(f"{text.count(queued, 'file')} waiting")
        _draw_outcomes([outcome(job) for job in listed if job.is_over])


def _draw_head(home: Path, listed: list[jobs.Job], waiting: list[jobs.Job]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        done = len(listed) - len(waiting)
        st.markdown(f"**Added files** · {done:,} of {len(listed):,} done" if waiting else f"**Added files** · {text.count(done, 'file')}")
        if waiting:
            work.draw_stop(home, waiting, key="stop-uploads")
        if not waiting and st.button("Dismiss", icon=":material/close:", key="dismiss-uploads"):
            with frame.data(home) as connection:
                database.set_setting(connection, DISMISSED, listed[-1].id)
            st.rerun()


def outcome(job: jobs.Job) -> Outcome:
    """What a finished ingest job means for the user, in one sentence."""
    name = str(job.payload["name"])
    if job.state == "cancelled":
        return Outcome(name, "stopped", "stopped before it was finished; the library is as it was before this file")
    if job.state == "failed":
        return Outcome(name, "refused", job.error or "the program met an error; see the log folder")
    status = str(job.result["status"])
    if status in ("refused", "duplicate"):
        return Outcome(name, status, str(job.result["reason"] or "the same content is in this collection already"))
    return Outcome(name, status, _added_words(job.result))


def _added_words(added: dict[str, Any]) -> str:
    words = [text.count(added["passages"], "passage")]
    if added["pages"]:
        words.insert(0, text.count(added["pages"], "page"))
    if added["pages_without_text"]:
        words.append(f"no text on {page_list(added['pages_without_text'])} (scanned or drawn)")
    if added["status"] == "replaced":
        words.append("a new revision; the former one no longer answers")
    return ", ".join(words)


def page_list(pages: list[int], shown: int = 8) -> str:
    """Page numbers in a few words: "page 3", "pages 1 and 4", "pages 1, 4, 9 and 12 more"."""
    if len(pages) == 1:
        return f"page {pages[0]}"
    named = [str(page) for page in pages[:shown]]
    last = f"{len(pages) - shown} more" if len(pages) > shown else named.pop()
    return f"pages {', '.join(named)} and {last}"


def _draw_outcomes(outcomes: list[Outcome]) -> None:
    refused = [one for one in outcomes if one.status == "refused"]
    others = [one for one in outcomes if one.status != "refused"]
    if refused:
        _draw_rows(refused, f"{text.count(len(refused), 'file')} could not be added", always_open=True)
    if others:
        _draw_rows(others, f"{text.count(len(others), 'file')} done", always_open=len(others) <= 5)


def _draw_rows(outcomes: list[Outcome], title: str, always_open: bool) -> None:
    with st.container(gap="xsmall") if always_open else st.expander(title):
        for one in outcomes:
            icon, color = OUTCOMES[one.status]
            st.markdown(f":{color}[{icon} {one.status}] **{text.as_label(one.name, 90)}** · {text.as_markdown(one.detail)}")
