"""The page of the documents: adding them, seeing what became of each, looking into them, removing them."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from kb import samples
from kb.records import Document
from pages.elements import documents, frame, text, uploads

SAMPLE_COLLECTION = "Sample library"
EVERY_COLLECTION = "All"


def draw(home: Path) -> None:
    """Draw the page."""
    frame.header("Library", "Manuals, data sheets and tables that answers may come from. They stay on this computer.")
    _sweep_once(home)
    with frame.library(home) as library:
        collections = library.collections()
        held = library.documents()
    if not held and not uploads.are_waiting(home):
        _draw_empty(home)
    _draw_adding(home, collections)
    uploads.draw(home)
    with frame.library(home) as library:  # read again: a file that was done just before the uploads were drawn is in the list too
        held = library.documents()
    if held:
        _draw_documents(home, collections, held)


@st.cache_resource(show_spinner=False)
def _sweep_once(home: Path) -> None:
    uploads.sweep(home)


def _draw_empty(home: Path) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        with st.container(gap="xsmall"):
            st.markdown("**The library is empty.** Drop files below, or try it with three made-up documents first:")
            st.caption("a hydraulic pump's manual, an injection moulding machine's alarms and a safety data sheet")
        if st.button("Add the sample library", type="primary", icon=":material/auto_stories:", key="add-samples"):
            for path in samples.paths():
                uploads.accept_path(home, path, SAMPLE_COLLECTION)
            st.rerun()


def _draw_adding(home: Path, collections: list[str]) -> None:
    round_number = st.session_state.setdefault("upload-round", 0)
    known = [uploads.DEFAULT_COLLECTION, *(name for name in collections if name != uploads.DEFAULT_COLLECTION)]
    collection = st.selectbox(
        "Add to collection",
        known,
        accept_new_options=True,
        key="upload-collection",
        width=360,
        help="A collection is usually one machine or line. Questions can be asked within one. Type a new name to make one.",
    )
    files = st.file_uploader(
        "Drop files here: PDF, Word, Excel, Markdown, HTML, text, CSV",
        accept_multiple_files=True,
        key=f"upload-{round_number}",
    )
    if files:
        for file in files:
            uploads.accept(home, file.name, file, collection or uploads.DEFAULT_COLLECTION)
        st.session_state["upload-round"] = round_number + 1
        st.rerun()


def _draw_documents(home: Path, collections: list[str], held: list[Document]) -> None:
    passages = sum(document.passages for document in held)
    st.subheader(f"{text.count(len(held), 'document')}, {text.count(passages, 'passage')}", anchor=False)
    shown = held
    if len(collections) > 1:
        chosen = st.pills("Collection", [EVERY_COLLECTION, *collections], default=EVERY_COLLECTION, key="shown-collection")
        shown = held if chosen in (None, EVERY_COLLECTION) else [one for one in held if one.collection == chosen]
    documents.draw(home, shown)


if __name__ == "__main__":
    frame.run_app()
