"""One turn of a chat: the question, and its answer while it is written and once it stands."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import streamlit as st

from kb import jobs
from pages.elements import corrected, evidence, frame, text, work
from pages.elements.copying import copy_button
from surrogates import chat, service
from surrogates.answer import Answer, Citation, Timings, by_place

VERDICTS: tuple[chat.Verdict, chat.Verdict] = ("wrong", "right")  # as st.feedback counts its thumbs
WAITING_FOR = {
    "off": "starting the answering service",
    "starting": "starting the answering service",
    "warming": "loading the model; the first answer takes a few seconds more",
    "ready": "waiting for its turn",
}
SNIPPET = 220
PATIENCE_S = 60.0
Ask = Callable[[str, service.AskRoute], None]


def draw_turn(home: Path, connection: sqlite3.Connection, turn: chat.Turn, ask: Ask) -> None:
    """Draw one turn. `ask(question, route)` puts a question into the same chat."""
    with st.chat_message("user", avatar=":material/person:"):
        st.markdown(text.as_markdown(turn.question))
    with st.chat_message("assistant", avatar=":material/menu_book:"):
        if not turn.job.is_over:
            frame.follow(partial(_draw_running, home, turn.job.id), running=True)
        elif turn.answer is not None:
            _draw_answer(home, connection, turn, turn.answer, ask)
        else:
            _draw_unanswered(turn, ask)


def _draw_running(home: Path, job_id: int) -> bool:
    """The answer as far as it is written, what is being done, and the way to stop it; False once it is over."""
    frame.keep_worker(home)
    with frame.data(home) as connection:
        job = jobs.get(connection, job_id)
        worker = service.worker_state(connection)
    if job.is_over:
        return False
    if job.text:
        st.markdown(text.as_markdown(job.text) + " ▍")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(_doing(job, worker), icon=":material/progress_activity:", color="gray")
        work.draw_stop(home, [job], key=f"stop-{job_id}")
    if _is_stuck(job, worker):
        st.warning(f"The answering service does not come up. Its log in {home / 'logs'} says why.", icon=":material/healing:")
    elif worker.problem:
        st.warning(f"The language model does not start: {text.as_markdown(worker.problem)}.", icon=":material/memory:")
    return True


def _doing(job: jobs.Job, worker: service.WorkerState) -> str:
    """What a running question waits for or does, in a few words."""
    if job.cancel_requested:
        return "stopping"
    if job.state == "running":
        return job.stage or "searching the library"
    return WAITING_FOR[worker.stage]


def _is_stuck(job: jobs.Job, worker: service.WorkerState) -> bool:
    """Whether the worker should long have come up."""
    return job.state == "queued" and worker.stage in ("off", "starting") and time.time() - job.created_at > PATIENCE_S


def _draw_unanswered(turn: chat.Turn, ask: Ask) -> None:
    if turn.job.text:
        st.markdown(text.as_markdown(turn.job.text))
    if turn.job.state == "cancelled":
        st.badge("stopped before it was finished", icon=":material/stop_circle:", color="gray")
    else:
        st.error(turn.job.error or "No answer came back; ask again.", icon=":material/error:")
    if st.button("Ask again", icon=":material/refresh:", key=f"again-{turn.id}"):
        ask(turn.question, turn.job.payload.get("route", "auto"))


def _draw_answer(home: Path, connection: sqlite3.Connection, turn: chat.Turn, answer: Answer, ask: Ask) -> None:
    _draw_route(answer, stopped=turn.job.state == "cancelled")
    if answer.matched_question is not None:
        st.caption(f"Understood as: {text.as_markdown(answer.matched_question)}")
    st.markdown(text.answer_as_markdown(answer.text))
    for note in answer.notes:
        st.caption(f":material/info: {text.as_markdown(note)}")
    draw_citations(home, connection, str(turn.id), answer.citations, with_quotes=answer.route == "declined")
    _draw_actions(home, turn, answer, ask)


def _draw_route(answer: Answer, stopped: bool) -> None:
    with st.container(horizontal=True, gap="small"):
        if answer.route in ("surrogate", "numeric"):
            sure = "" if answer.confidence is None else f" · {answer.confidence:.0%} sure"
            st.badge(f"instant{sure}", icon=":material/bolt:", color="green", help="A taught answer, checked against the library just now.")
        elif answer.route == "engine":
            st.badge("written", icon=":material/edit_note:", color="blue", help="Written by the language model from the cited passages.")
        else:
            st.badge("declined", icon=":material/do_not_disturb_on:", color="orange", help="The library does not seem to hold the answer.")
        if stopped:
            st.badge("stopped", icon=":material/stop_circle:", color="gray")


def draw_citations(
    home: Path, connection: sqlite3.Connection, key: str, citations: Sequence[Citation], *, with_quotes: bool = False
) -> None:
    """A numbered chip for each place, which opens it; `with_quotes` also what is quoted of it, where there is no answer to read."""
    with st.container(horizontal=not with_quotes, gap="small"):
        for number, place in enumerate(by_place(citations), start=1):
            citation = place[0]
            standing = chat.standing(connection, citation)
            if st.button(
                _chip(number, citation, standing),
                key=f"source-{key}-{number}",
                help=text.heading_path(citation.heading) or None,
                icon=":material/history:" if standing != "current" else ":material/description:",
            ):
                evidence.open_place(home, number, place, standing)
            if with_quotes:
                st.caption(text.as_label(" · ".join(citation.quote.splitlines()), SNIPPET))


def _chip(number: int, citation: Citation, standing: chat.Standing) -> str:
    place = f"page {citation.page}" if citation.page is not None else text.as_label(citation.heading[-1], 32) if citation.heading else ""
    state = {"current": "", "replaced": "newer revision exists", "removed": "removed"}[standing]
    return " · ".join(part for part in (str(number), text.as_label(citation.document, 42), place, state) if part)


def _draw_actions(home: Path, turn: chat.Turn, answer: Answer, ask: Ask) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        copy_button(as_plain_text(answer), key=f"copy-{turn.id}")
        if answer.route == "surrogate" and st.button(
            "Write it out", icon=":material/edit_note:", key=f"write-{turn.id}", help="Ask the language model instead of the taught answer."
        ):
            ask(turn.question, "engine")
        if st.button("Correct", icon=":material/rate_review:", key=f"correct-{turn.id}", help="Say what is right; signed with your name."):
            corrected.open_form(home, turn, answer)
        given = None if turn.verdict is None else VERDICTS.index(turn.verdict)
        key = f"verdict-{turn.id}"
        st.feedback("thumbs", key=key, default=given, on_change=_keep_verdict, args=(home, turn.id, turn.comment, key))
        st.caption(timings(answer.seconds))
    if turn.verdict is not None:
        _draw_comment(home, turn, turn.verdict)


def _draw_comment(home: Path, turn: chat.Turn, verdict: chat.Verdict) -> None:
    key = f"comment-{turn.id}"
    st.text_input(
        "Comment on this answer",
        value=turn.comment,
        key=key,
        placeholder="What would have been right?" if verdict == "wrong" else "What was good about it?",
        label_visibility="collapsed",
        on_change=_keep_comment,
        args=(home, turn.id, verdict, key),
    )


def _keep_verdict(home: Path, turn_id: int, comment: str, key: str) -> None:
    thumb = st.session_state[key]
    if thumb is not None:
        with frame.data(home) as connection:
            chat.feedback(connection, turn_id, VERDICTS[thumb], comment)


def _keep_comment(home: Path, turn_id: int, verdict: chat.Verdict, key: str) -> None:
    with frame.data(home) as connection:
        chat.feedback(connection, turn_id, verdict, st.session_state[key].strip())
    st.toast("Thank you, the comment is kept.", icon=":material/check:")


def as_plain_text(answer: Answer) -> str:
    """The answer with its sources, as it goes into the clipboard."""
    lines = [answer.text]
    for number, (citation, *_) in enumerate(by_place(answer.citations), start=1):
        page = "" if citation.page is None else f", page {citation.page}"
        heading = f", {' / '.join(citation.heading)}" if citation.heading else ""
        lines.append(f"[{number}] {citation.document} (revision {citation.revision}){page}{heading}")
    return "\n".join(lines)


def timings(seconds: Timings) -> str:
    """The small print: how long each step took."""
    steps = (("search", seconds.search), ("first words", seconds.first_token), ("all", seconds.total))
    return " · ".join(f"{name} {text.duration(value)}" for name, value in steps if value is not None)
