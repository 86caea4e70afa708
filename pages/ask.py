"""The page on which questions are asked: a chat whose answers show what they stand on."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path

import streamlit as st

from pages.elements import answers, frame, text
from pages.elements.suggestions import suggestions
from surrogates import chat, service
from surrogates.question import QuestionRefused, normalise

INPUT = "question"
REFUSED = "refused-question"
SHOWN_TURNS = 15
WHOLE_LIBRARY = "Whole library"


def draw(home: Path) -> None:
    """Draw the page for the chat that the address names (`?chat=3`), or for a new one."""
    with frame.data(home) as connection:
        chats = chat.listing(connection)
        chosen = _chosen(chats)
        _draw_history(chats, chosen)
        with frame.library(home) as library:
            collections = library.collections()
            documents = library.documents()
        if chosen is None:
            _draw_new(home, collections, bool(documents))
        else:
            _draw_chat(home, connection, chosen)
    _draw_refusal()
    if asked := st.chat_input("Ask your documents", key=INPUT):
        scope = chosen.collection if chosen else _scope()
        _ask(home, chosen, scope, asked, "auto")


def _chosen(chats: list[chat.Chat]) -> chat.Chat | None:
    """The chat of the address, else the one that this window showed last, else None for a new one."""
    named = st.query_params.get("chat", str(st.session_state.get("chat", "")))
    found = next((one for one in chats if str(one.id) == named), None)
    if found is None:
        if named:
            st.info(f"There is no chat {text.as_label(named, 20)} any more; here is a new one.", icon=":material/info:")
        _go_to(None)
    else:
        _go_to(found.id)
    return found


def _go_to(chat_id: int | None) -> None:
    if chat_id is None:
        st.session_state.pop("chat", None)
        st.query_params.pop("chat", None)
    elif st.query_params.get("chat") != str(chat_id) or st.session_state.get("chat") != chat_id:
        st.session_state["chat"] = chat_id
        st.query_params["chat"] = str(chat_id)


def _draw_history(chats: list[chat.Chat], chosen: chat.Chat | None) -> None:
    with st.sidebar:
        st.button("New chat", icon=":material/add_comment:", width="stretch", on_click=_go_to, args=(None,), key="new-chat")
        if not chats:
            return
        st.caption("Chats")
        with st.container(gap="xxsmall"):
            for one in chats:
                _draw_chat_button(one, chosen)


def _draw_chat_button(one: chat.Chat, chosen: chat.Chat | None) -> None:
    st.button(
        text.as_label(one.title or "Untitled", 34),
        key=f"chat-{one.id}",
        type="secondary" if chosen and one.id == chosen.id else "tertiary",
        width="stretch",
        wrap=False,
        on_click=_go_to,
        args=(one.id,),
    )


def _draw_new(home: Path, collections: list[str], has_documents: bool) -> None:
    frame.header("Ask", "Answers come from your documents, each with the place that it stands on.")
    if not has_documents:
        st.info("The library is empty. Add documents first, or try the sample library.", icon=":material/library_add:")
        frame.link("library", "Go to the library", ":material/library_books:")
        return
    if len(collections) > 1:
        st.selectbox("Search in", [WHOLE_LIBRARY, *collections], key="scope", width=320)
    _draw_suggestions(home)


def _draw_refusal() -> None:
    """Say why the question could not be asked, and put it back into the input to be changed."""
    if REFUSED in st.session_state:
        question, why = st.session_state.pop(REFUSED)
        st.session_state[INPUT] = question
        st.warning(f"This cannot be asked: {text.as_markdown(why)}.", icon=":material/edit:")


def _scope() -> str | None:
    chosen = st.session_state.get("scope", WHOLE_LIBRARY)
    return None if chosen == WHOLE_LIBRARY else str(chosen)


def _draw_suggestions(home: Path) -> None:
    with frame.data(home) as connection:
        suggested = suggestions(connection, chat.collection_id(connection, _scope()))
    if not suggested:
        return
    st.caption("Questions to start with, from your documents")
    for number, suggestion in enumerate(suggested):
        if st.button(text.as_label(suggestion, 110), key=f"suggestion-{number}", icon=":material/arrow_forward:"):
            _ask(home, None, _scope(), suggestion, "auto")


def _draw_chat(home: Path, connection: sqlite3.Connection, chosen: chat.Chat) -> None:
    _draw_chat_head(home, chosen)
    turns = chat.turns(connection, chosen.id)
    shown = st.session_state.setdefault(f"shown-{chosen.id}", SHOWN_TURNS)
    if len(turns) > shown and st.button(f"Show {text.count(len(turns) - shown, 'earlier question')}", icon=":material/expand_less:"):
        st.session_state[f"shown-{chosen.id}"] = len(turns)
        st.rerun()
    for turn in turns[-shown:]:
        answers.draw_turn(home, connection, turn, partial(_ask, home, chosen, chosen.collection))


def _draw_chat_head(home: Path, chosen: chat.Chat) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader(text.as_label(_title(chosen), chat.TITLE_CHARACTERS + 1), anchor=False)
        with st.container(horizontal=True, width="content", vertical_alignment="center"):
            st.badge(chosen.collection or WHOLE_LIBRARY, icon=":material/folder:", color="gray", help="Where this chat searches")
            with st.popover("Chat", icon=":material/more_horiz:"):
                _draw_chat_menu(home, chosen)


def _title(one: chat.Chat) -> str:
    """The chat's title; one that was cut at its full length says so."""
    return one.title + "…" * (len(one.title) == chat.TITLE_CHARACTERS)


def _draw_chat_menu(home: Path, chosen: chat.Chat) -> None:
    title = st.text_input("Name of this chat", value=chosen.title, max_chars=chat.TITLE_CHARACTERS, key=f"title-{chosen.id}")
    if title.strip() and title != chosen.title:
        with frame.data(home) as connection:
            chat.rename(connection, chosen.id, title)
        st.rerun()
    if st.button("Delete this chat", icon=":material/delete:", key="delete-chat"):
        with frame.data(home) as connection:
            chat.delete(connection, chosen.id)
        _go_to(None)
        st.rerun()


def _ask(home: Path, chosen: chat.Chat | None, collection: str | None, question: str, route: service.AskRoute) -> None:
    """Put a question into the chat, a new one if need be, and show it; one that cannot be asked goes back into the input."""
    try:
        normalise(question)
    except QuestionRefused as refusal:
        st.session_state[REFUSED] = (question, str(refusal))
        st.rerun()
    with frame.data(home) as connection:
        chat_id = chosen.id if chosen else chat.create(connection, collection)
    service.submit(home, question, collection, route, chat_id)
    _go_to(chat_id)
    st.rerun()


if __name__ == "__main__":
    frame.run_app()
