"""The list of the library's documents, with leafing through one and removing one."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from kb.records import Document
from pages.elements import evidence, frame, text
from pages.elements.uploads import page_list

A_PAGE = 20
SEARCH_FROM = 8
ORDERS = {
    "Newest first": lambda document: (-document.id,),
    "By name": lambda document: (document.name.casefold(),),
    "Most passages first": lambda document: (-document.passages, document.name.casefold()),
}


def draw(home: Path, documents: list[Document]) -> None:
    """Draw the list, a page of it at a time, with a search box and an order once it is long."""
    found = _filtered(documents) if len(documents) >= SEARCH_FROM else sorted(documents, key=ORDERS["Newest first"])
    if not found:
        st.caption("No document has that in its name.")
        return
    pages = -(-len(found) // A_PAGE)
    page = st.pagination(pages, key="documents-page") if pages > 1 else 1
    for document in found[(page - 1) * A_PAGE : page * A_PAGE]:
        _draw_row(home, document)


def _filtered(documents: list[Document]) -> list[Document]:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        wanted = st.text_input("Find a document", placeholder="part of its name", icon=":material/search:", key="documents-wanted")
        order = st.selectbox("Order", list(ORDERS), key="documents-order", width=200)
    words = wanted.casefold().split()
    return sorted((one for one in documents if all(word in one.name.casefold() for word in words)), key=ORDERS[order])


def _draw_row(home: Path, document: Document) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"document-{document.id}"):
        with st.container(gap="xsmall"):
            st.markdown(f"**{text.as_label(document.name, 110)}**")
            st.caption(_facts(document))
            if document.pages_without_text:
                st.caption(
                    f":orange[:material/warning: No text on {page_list(list(document.pages_without_text))}: scanned or drawn, not searched]"
                )
        with st.container(horizontal=True, width="content", wrap=False):
            if st.button("View", icon=":material/visibility:", key=f"view-{document.id}"):
                evidence.open_document(home, document)
            if st.button("Remove", icon=":material/delete:", key=f"remove-{document.id}"):
                _confirm_removal(home, document)


def _facts(document: Document) -> str:
    pages = [] if document.pages is None else [text.count(document.pages, "page")]
    revision = [f"revision {document.revision}"] if document.revision > 1 else []
    facts = [
        text.kind_name(document.kind),
        *pages,
        text.count(document.passages, "passage"),
        *revision,
        text.size(document.size_bytes),
        f"added {document.added_at[:10]}",
        document.collection,
    ]
    return text.as_markdown(" · ".join(facts))


def _confirm_removal(home: Path, document: Document) -> None:
    def content() -> None:
        st.markdown(f"**{text.as_markdown(document.name)}** goes from the library at once, and with it")
        st.markdown(f"- {text.count(document.passages, 'passage')} that searches and answers could use")
        st.markdown(f"- {text.count(_instant_answers(home, document.id), 'instant answer')} taught from it")
        st.caption("Chats keep what was answered; their citations will say that the document was removed.")
        with st.container(horizontal=True):
            if st.button("Remove", type="primary", icon=":material/delete:", key="confirm-removal"):
                with frame.library(home) as library:
                    library.remove(document.id)
                frame.say_after_redraw(f"{text.as_label(document.name)} is removed.")
                st.rerun()
            if st.button("Keep", key="keep-document"):
                st.rerun()

    st.dialog("Remove this document?")(content)()


def _instant_answers(home: Path, document_id: int) -> int:
    """Answers of the bank that may still answer and rest on the document."""
    with frame.data(home) as connection:
        row = connection.execute(
            "SELECT count(DISTINCT bank_answers.id) FROM bank_answers JOIN bank_sources ON bank_sources.answer_id = bank_answers.id"
            " JOIN passages ON passages.id = bank_sources.passage_id WHERE document_id = ? AND state IN ('active', 'suspended')",
            (document_id,),
        ).fetchone()
    return int(row[0])
