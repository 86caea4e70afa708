"""Pages as pictures."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from kb.library import Library
from kb.render import PageNotShown, page_image


def test_a_cited_page_is_shown_with_its_passage_marked(library: Library, pdf: Path) -> None:
    from PIL import Image

    library.add(pdf)
    passage = next(passage for passage in library.passages() if "A-09" in passage.text)
    plain = Image.open(io.BytesIO(page_image(library, passage.revision_id, 2, (), 1.0)))
    marked = Image.open(io.BytesIO(page_image(library, passage.revision_id, 2, passage.boxes, 1.0)))
    _, _, top, right, bottom = passage.boxes[-1]
    inside = (int(right) - 3, int((top + bottom) / 2))
    assert plain.size == marked.size == (596, 842)
    assert plain.getpixel(inside) == (255, 255, 255) != marked.getpixel(inside)
    assert plain.getpixel((500, 700)) == marked.getpixel((500, 700))


def test_a_picture_is_kept_and_drawn_once(library: Library, pdf: Path) -> None:
    library.add(pdf)
    revision = library.documents()[0].revision_id
    first = page_image(library, revision, 1)
    (cached,) = (library.home / "cache").iterdir()
    cached.write_bytes(b"kept")
    assert first.startswith(b"\x89PNG") and page_image(library, revision, 1) == b"kept"


def test_what_cannot_be_shown_says_why(library: Library, pdf: Path, pump: Path) -> None:
    library.add(pdf)
    library.add(pump)
    revisions = {document.name: document.revision_id for document in library.documents()}
    with pytest.raises(PageNotShown, match="page 9 was asked for, the document has 4"):
        page_image(library, revisions["press.pdf"], 9)
    with pytest.raises(PageNotShown, match="no pages to show"):
        page_image(library, revisions["pump.md"], 1)
    with pytest.raises(KeyError):
        page_image(library, 999, 1)
    with pytest.raises(ValueError, match="scale is 50"):
        page_image(library, revisions["press.pdf"], 1, (), 50)
