"""Corrections: saying what is right for an answer, signed and dated, and the list of them with a way to take one back."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import streamlit as st

from pages.elements import frame, signature, text
from surrogates import chat, corrections
from surrogates.answer import Answer
from surrogates.corrections import LONGEST, Correction
from surrogates.question import QuestionRefused, with_topic

STATES = {
    "active": ("cited first", "green"),
    "to review": ("its passage has changed: look at it again", "orange"),
    "withdrawn": ("withdrawn", "gray"),
}


def open_form(home: Path, turn: chat.Turn, answer: Answer) -> None:
    """Ask in a dialog what is right instead of an answer, and who says so."""

    def content() -> None:
        with frame.data(home) as connection:
            question, collection = _asked(connection, turn)
        st.markdown(f"**{text.as_markdown(question)}**")
        st.caption("The correction is signed, dated, and shown before anything else whenever this is asked again.")
        with st.form("correction", border=False):
            said = st.text_area(
                "What is right", key="correction-text", max_chars=LONGEST, placeholder="Ours runs at 42 bar since the rebuild."
            )
            by = st.text_input("Your name", value=signature.name(home), max_chars=signature.LONGEST, key="correction-by")
            if st.form_submit_button("Keep the correction", type="primary", icon=":material/rate_review:"):
                _keep(home, question, said, signature.keep(home, by), collection, answer)

    st.dialog("Correct this answer", width="medium")(content)()


def _keep(home: Path, question: str, said: str, by: str, collection: str | None, answer: Answer) -> None:
    cited = [citation.passage_id for citation in answer.citations if citation.correction_id is None]
    try:
        with frame.library(home) as library:
            corrections.correct(library, question, said, by, collection, cited)
    except (ValueError, QuestionRefused) as error:
        st.warning(f"{text.as_markdown(str(error)).capitalize()}.", icon=":material/edit:")
        return
    except KeyError:
        st.warning("A cited passage has changed meanwhile; ask again and correct the new answer.", icon=":material/history:")
        return
    frame.say_after_redraw("The correction is kept; it answers this question from now on.")
    st.rerun()


def _asked(connection: sqlite3.Connection, turn: chat.Turn) -> tuple[str, str | None]:
    """The question with the topic that a follow-up took over, and the collection that it was asked in."""
    chat_id = turn.job.payload.get("chat_id")
    previous = None if chat_id is None else chat.previous_question(connection, chat_id, turn.job.id)
    row = connection.execute("SELECT name FROM collections WHERE id = ?", (turn.job.collection_id,)).fetchone()
    return with_topic(turn.question, previous), None if row is None else str(row[0])


def draw(home: Path, by: str) -> None:
    """All corrections, the newest first."""
    with frame.library(home) as library:
        found = corrections.listing(library)
    if not found:
        st.info("Nobody has corrected an answer yet. Under each answer stands a button for it.", icon=":material/rate_review:")
    for correction in found:
        _draw(home, correction, by)


def _draw(home: Path, correction: Correction, by: str) -> None:
    words, colour = STATES[correction.state]
    with st.container(border=True, gap="xsmall", key=f"correction-{correction.id}"):
        st.markdown(f"**{text.as_markdown(correction.question)}**")
        st.markdown(text.as_markdown(correction.text))
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(words, color=colour)  # type: ignore[arg-type]
            st.caption(f"{text.as_label(correction.signature, 100)} · {text.as_label(correction.collection or 'Whole library')}")
            if correction.state == "withdrawn":
                st.button(
                    "Restore",
                    icon=":material/undo:",
                    type="tertiary",
                    key=f"restore-{correction.id}",
                    on_click=_restore,
                    args=(home, correction.id),
                )
            else:
                st.button(
                    "Withdraw",
                    icon=":material/delete:",
                    type="tertiary",
                    key=f"withdraw-{correction.id}",
                    disabled=not by,
                    help="Signed with your name.",
                    on_click=_withdraw,
                    args=(home, correction.id, by),
                )


def _withdraw(home: Path, correction_id: int, by: str) -> None:
    with frame.library(home) as library:
        corrections.withdraw(library, correction_id, by)


def _restore(home: Path, correction_id: int) -> None:
    with frame.library(home) as library:
        corrections.restore(library, correction_id)
