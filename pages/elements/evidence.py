"""The place that an answer stands on: its page as a picture with the passage marked, or its text among its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from kb import render
from kb.library import Library
from kb.records import Document, Passage
from pages.elements import frame, text
from surrogates.answer import Citation
from surrogates.chat import Standing

SCALE = 1.8  # pixels a point: sharp on the widest dialog, and a page stays well under a megabyte
AROUND = 15  # passages before and after the middle of what is shown of a text
STANDING_WORDS: dict[Standing, str] = {
    "current": "",
    "replaced": "The document has a newer revision since; this is the one that the answer was made from.",
    "removed": "The document was removed from the library since; this is what the answer quoted.",
}


@dataclass(frozen=True)
class Place:
    """Pages of a revision as the viewer opens them, at `page`, with `boxes` marked."""

    document: str
    revision_id: int
    pages: int
    page: int
    boxes: tuple[tuple[float, ...], ...] = ()
    quote: str = ""


def open_place(home: Path, number: int, cited: Sequence[Citation], standing: Standing) -> None:
    """Show a place in a dialog over the page; `cited` are its citations, at least one."""
    citation, quotes = cited[0], [each.quote for each in cited]

    def content() -> None:
        if citation.correction_id is not None:
            _draw_correction(citation, standing)
            return
        st.markdown(f"**{text.as_label(citation.document, 120)}** · revision {citation.revision}")
        if citation.heading:
            st.caption(text.heading_path(citation.heading))
        if standing != "current":
            st.warning(STANDING_WORDS[standing], icon=":material/history:")
        if standing == "removed":
            st.html(text.marked_html("\n".join(quotes)))
            return
        with frame.library(home) as library:
            if citation.page is None:
                _draw_passages(_neighbours(library, citation), citation.passage_id, quotes)
            else:
                _draw_pages(library, _place(library, citation, citation.page))

    st.dialog(f"Source {number}", width="medium")(content)()


def _draw_correction(citation: Citation, standing: Standing) -> None:
    """What a person said, which stands on no page."""
    st.markdown(f"**{text.as_label(citation.document, 120)}**")
    if standing == "removed":
        st.warning("This correction was withdrawn since.", icon=":material/history:")
    st.html(text.marked_html(citation.quote, citation.quote))


def open_document(home: Path, document: Document) -> None:
    """Leaf through a document in a dialog: its pages as pictures, or its text."""

    def content() -> None:
        with frame.library(home) as library:
            if document.pages:
                _draw_pages(library, Place(document.name, document.revision_id, document.pages, page=1))
            else:
                _draw_whole_text(library, document)

    st.dialog(text.as_label(document.name), width="medium")(content)()


def _place(library: Library, citation: Citation, page: int) -> Place:
    row = library.connection.execute("SELECT pages FROM revisions WHERE id = ?", (citation.revision_id,)).fetchone()
    pages = page if row is None else int(row["pages"] or page)
    return Place(citation.document, citation.revision_id, pages, page, citation.boxes, citation.quote)


def _draw_pages(library: Library, place: Place) -> None:
    page = place.page
    if place.pages > 1:
        page = st.pagination(place.pages, default=place.page, key=f"leaf-{place.revision_id}-{place.page}-{hash(place.boxes)}")
    boxes = tuple(box for box in place.boxes if int(box[0]) == page)
    try:
        image = render.page_image(library, place.revision_id, page, boxes, SCALE)
    except (KeyError, render.PageNotShown) as error:
        st.warning(f"Page {page} cannot be shown as a picture: {error.args[0]}", icon=":material/image_not_supported:")
        st.html(text.marked_html(place.quote))
        return
    marked = ", the cited passage marked" if boxes else ""
    st.image(image, width="stretch", output_format="PNG", alt=f"Page {page} of {place.document}{marked}")


def _neighbours(library: Library, citation: Citation) -> list[Passage]:
    """The cited passage and those around it; none when it is no longer in the library."""
    try:
        return library.context(citation.passage_id)
    except KeyError:
        return []


def _draw_whole_text(library: Library, document: Document) -> None:
    rows = library.connection.execute("SELECT id FROM passages WHERE document_id = ? ORDER BY ordinal", (document.id,))
    ids = [int(row["id"]) for row in rows]
    at_once = 2 * AROUND + 1
    parts = -(-len(ids) // at_once)
    part = st.pagination(parts, key=f"part-{document.revision_id}") if parts > 1 else 1
    shown = ids[(part - 1) * at_once : part * at_once]
    passages = library.context(shown[0], around=at_once) if shown else []
    _draw_passages([passage for passage in passages if passage.id in set(shown)], None, [])


def _draw_passages(passages: list[Passage], cited: int | None, quotes: Sequence[str]) -> None:
    """Passages in reading order, each heading once, `quotes` marked in the cited one; these alone when there are none."""
    if not passages:
        st.html(text.marked_html("\n".join(quotes)))
    heading: tuple[str, ...] = ()
    with st.container(height=560, border=True):
        for passage in passages:
            if passage.heading != heading:
                heading = passage.heading
                st.markdown(f"**{text.heading_path(heading)}**")
            st.html(text.marked_html(passage.text, *(quotes if passage.id == cited else ())))
