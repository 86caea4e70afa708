"""The page that shows how good instant answers are, measured on a file of questions with known places."""

from __future__ import annotations

import shutil
import sqlite3
import uuid
from pathlib import Path
from typing import BinaryIO

import streamlit as st

from kb import jobs
from pages.elements import frame, measured, text, work
from pages.elements.uploads import FOLDER

KIND = "evaluate"
DISMISSED = "pages.evaluations_dismissed"
EXAMPLE = """{"question": "torque for the flange bolts", "document": "pump.pdf", "section": "Mounting", "answer": "42 Nm", "kind": "value"}
{"question": "what does alarm E-99 mean", "look_alike": true}
{"question": "who won the match", "answerable": false}
"""


def draw(home: Path) -> None:
    """Draw the page."""
    frame.header(
        "Insights",
        "How many questions are answered at once, how many of those answers are wrong, and what each level of caution buys.",
    )
    with frame.data(home) as connection:
        running = next(iter(jobs.listing(connection, (KIND,), open_only=True)), None)
        last = _last(connection)
    _draw_start(home, is_first=last is None)
    work.draw(home, (KIND,), DISMISSED, lambda job: str(job.payload.get("name", "Questions")))
    if last is not None:
        st.subheader(text.as_label(str(last.payload.get("name", "Questions")), 80), anchor=False)
        measured.draw(last.result)
    elif running is None:
        st.info("Nothing is measured yet. Add a file of questions whose places in the documents you know.", icon=":material/monitoring:")


def _last(connection: sqlite3.Connection) -> jobs.Job | None:
    return next((job for job in jobs.listing(connection, (KIND,), limit=50) if job.state == "done" and job.result), None)


def _draw_start(home: Path, is_first: bool) -> None:
    with st.expander("Measure on a file of questions", icon=":material/quiz:", expanded=is_first):
        st.caption(
            "One JSON object a line: the question, and where its answer is. `look_alike` marks one that looks like a taught question and"
            " needs another answer, `answerable` false one that the library does not answer."
        )
        st.code(EXAMPLE, language="json", wrap_lines=True)
        given = st.file_uploader("Questions", type=["jsonl"], key="questions-file", label_visibility="collapsed")
        if st.button("Measure", type="primary", icon=":material/play_arrow:", disabled=given is None, key="measure") and given is not None:
            accept(home, given.name, given)
            st.rerun()


def accept(home: Path, name: str, content: BinaryIO) -> int:
    """Keep a file of questions in the home until it is measured, and queue that; returns the job's id."""
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / uuid.uuid4().hex
    with kept.open("wb") as target:
        shutil.copyfileobj(content, target, 1 << 20)
    with frame.data(home) as connection:
        return jobs.enqueue(connection, KIND, {"path": str(kept), "name": name, "delete_after": True})


if __name__ == "__main__":
    frame.run_app()
