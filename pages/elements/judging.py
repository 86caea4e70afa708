"""One question after the other for a person to judge, how far the certificate is, and what audits found."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from kb.library import Library
from pages.elements import answers, frame, taught, text
from surrogates import audits, judging, settings
from surrogates.judging import Progress, Question, Verdict
from surrogates.question import QuestionRefused
from surrogates.threshold import Certificate

POLL_S = 2.0
BUTTONS: tuple[tuple[Verdict, str, str, str], ...] = (
    ("right", "Right", ":material/check:", "y"),
    ("wrong", "Wrong", ":material/close:", "n"),
    ("unclear", "Unclear", ":material/help:", "u"),
)
HOW = (
    "Judge the answer alone: is it what somebody with this question needs, and does the cited place say so?"
    " Unclear counts as wrong. The keys Y, N and U press the buttons."
)


def draw(home: Path, by: str) -> None:
    """The certificate of the chosen level, the audits, and the next question."""
    with frame.library(home) as library:
        level = settings.load(library.connection).level
        certificate = judging.certificate(library)
        audited = audits.state(library)
        progress = judging.progress(library)
        question = judging.next_question(library)
    _draw_certificate(home, level, certificate)
    _draw_audits(home, audited, by)
    if question is not None:
        _draw_question(home, question, by)
    else:
        _draw_none(home, progress)
    _draw_own(home)


def _draw_certificate(home: Path, level: int, certificate: Certificate) -> None:
    sentence = text.as_markdown(certificate.sentence())
    if certificate.kind == "certified":
        st.success(f"**{taught.LEVELS[level]}**: {sentence}.", icon=":material/verified:")
    else:
        share = min(1.0, certificate.judged / max(1, certificate.needed))
        st.progress(share, text=f"**{taught.LEVELS[level]}**: {sentence}")
        st.caption(
            f"Once enough are judged, a test shows whether at most {certificate.alpha:.0%} of the instant answers are wrong."
            " Until then nobody can promise it."
        )
    taught.draw_renewal(home, certificate)


def _draw_audits(home: Path, state: audits.State, by: str) -> None:
    waiting = f" {text.count(state.waiting, 'answer')} waiting for the audit." if state.waiting else ""
    if state.raised_to is None:
        st.caption(f":material/fact_check: {text.as_markdown(state.sentence())}.{waiting}")
        return
    st.warning(f"{text.as_markdown(state.sentence())}.{waiting}", icon=":material/gpp_maybe:")
    if st.button("What was wrong is mended", icon=":material/build_circle:", key="lift", disabled=not by, help="Signed with your name."):
        with frame.library(home) as library:
            audits.lift(library, state.level, by)
        st.rerun()


def _draw_question(home: Path, question: Question, by: str) -> None:
    with st.container(border=True, key="judged"):
        st.markdown(f"**{text.as_markdown(question.text)}**")
        if question.matched_question:
            st.caption(f"Understood as: {text.as_markdown(question.matched_question)}")
        st.markdown(text.as_markdown(question.answer))
        with frame.data(home) as connection:
            answers.draw_citations(home, connection, f"judge-{question.id}", question.citations)
        note = st.text_input(
            "Note", key=f"note-{question.id}", placeholder="What is wrong with it, if anything", label_visibility="collapsed"
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            for verdict, label, icon, letter in BUTTONS:
                st.button(
                    label,
                    icon=icon,
                    key=f"judge-{verdict}",
                    type="primary" if verdict == "right" else "secondary",
                    shortcut=letter,
                    on_click=_judge,
                    args=(home, question, verdict, note, by),
                )
    st.caption(HOW)


def _judge(home: Path, question: Question, verdict: Verdict, note: str, by: str) -> None:
    try:
        with frame.library(home) as library:
            judging.judge(library, question.id, verdict, note.strip(), by, shown=question.shown)
    except judging.AnswerReplaced:
        st.toast("The answer changed while it was shown; here is the new one.", icon=":material/history:")


def _draw_none(home: Path, progress: Progress) -> None:
    if progress.preparing:
        st.info(
            f"{text.count(progress.preparing, 'question')} being prepared, while nothing else is asked or taught.",
            icon=":material/hourglass_top:",
        )
        frame.follow(lambda: _still_preparing(home), running=True, every_s=POLL_S)
    elif progress.sampled:
        st.info(
            "All questions with an instant answer are judged. More come as people ask, or enter some below.", icon=":material/task_alt:"
        )
    else:
        st.info(
            "Questions that people ask come here to be judged, with the instant answer that each would get. Ask some, or enter some below.",
            icon=":material/forum:",
        )


def _still_preparing(home: Path) -> bool:
    frame.keep_worker(home)
    with frame.library(home) as library:
        return judging.next_question(library) is None and judging.progress(library).preparing > 0


def _draw_own(home: Path) -> None:
    with st.form("own-question", clear_on_submit=True, border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        asked = st.text_input("A question of your own to judge", key="own-question-text", placeholder="As you would ask a colleague")
        if st.form_submit_button("Enter", icon=":material/add:") and asked.strip():
            with frame.library(home) as library:
                _enter(library, asked)


def _enter(library: Library, asked: str) -> None:
    try:
        judging.enter(library, asked)
    except QuestionRefused as refusal:
        st.warning(f"This cannot be asked: {text.as_markdown(str(refusal))}.", icon=":material/edit:")
        return
    frame.say_after_redraw("The question is taken down; its answer follows in a moment.")
    st.rerun()
