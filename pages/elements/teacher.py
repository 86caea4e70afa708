"""Who teaches: the local model, or a server that the user names. What leaves this computer is said before it does."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import streamlit as st

from pages.elements import frame, text
from surrogates import settings
from surrogates.remote import KEY_VARIABLE, RemoteTeacher
from surrogates.settings import Settings


def draw_notice(now: Settings) -> None:
    """On the page of teaching: which server gets the text of the passages; nothing while the local model teaches."""
    if now.teacher_url is None:
        return
    try:
        teacher = RemoteTeacher(now.teacher_url, now.teacher_model)
    except ValueError as error:
        st.error(f"No teacher can be reached: {text.as_markdown(str(error))}. Mend it in the settings.", icon=":material/error:")
        return
    sentence = f"**{text.as_markdown(teacher.notice())}** The model {text.as_markdown(teacher.model)} there teaches. {_key_words()}"
    if teacher.leaves_computer:
        st.warning(f"{sentence} Do not start if your documents must stay here.", icon=":material/cloud_upload:")
    else:
        st.info(sentence, icon=":material/computer:")


def draw(home: Path, now: Settings) -> None:
    """On the page of the settings: the local model or a server, and what may enter without a person."""
    draw_notice(now)
    with st.expander("Let a larger model on a server teach", icon=":material/dns:", expanded=now.teacher_url is not None, key="teacher"):
        _draw_server(home, now)
    agreeing = st.toggle(
        "A second agreeing answer confirms a proposal",
        value=now.accept_agreeing,
        key="accept-agreeing",
        help="Off, each written answer waits on the page Review until a person confirms it.",
    )
    if agreeing != now.accept_agreeing:
        _save(home, accept_agreeing=agreeing)


def _draw_server(home: Path, now: Settings) -> None:
    st.caption(
        "Any server that speaks the OpenAI chat protocol, on this computer or elsewhere. While one is named, teaching sends it the text of"
        f" your passages; what people ask stays here. {_key_words()}"
    )
    with st.form("teacher-server", border=False):
        url = st.text_input("Base address", value=now.teacher_url or "", key="teacher-url", placeholder="http://localhost:8080/v1")
        model = st.text_input("Model of the server", value=now.teacher_model, key="teacher-model")
        if st.form_submit_button("Let it teach", icon=":material/school:"):
            _name(home, url.strip(), model.strip())
    if now.teacher_url is not None and st.button("Let the local model teach again", icon=":material/undo:", key="teacher-off"):
        _save(home, teacher_url=None, teacher_model="")


def _name(home: Path, url: str, model: str) -> None:
    try:
        RemoteTeacher(url, model)
    except ValueError as error:
        st.warning(f"This cannot be kept: {text.as_markdown(str(error))}.", icon=":material/edit:")
        return
    _save(home, teacher_url=url, teacher_model=model)


def _key_words() -> str:
    if os.environ.get(KEY_VARIABLE):
        return f"Its key is read from the variable {KEY_VARIABLE}, which is set."
    return f"Its key is read from the variable {KEY_VARIABLE}, which is not set: no key is sent."


def _save(home: Path, **changes: object) -> None:
    with frame.data(home) as connection:
        settings.save(connection, replace(settings.load(connection), **changes))  # type: ignore[arg-type]
    frame.say_after_redraw("Kept; it holds from the next teaching on.")
    st.rerun()
