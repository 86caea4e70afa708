"""A PDF file as a reading: opening and refusing, page by page, bookmarks."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kb.blocks import Reading, UnreadableDocument
from kb.readers.limits import ReaderLimits
from kb.readers.pdf.page import Page, read_page
from kb.readers.pdf.structure import Outline, blocks_of, plain

MOST_BOOKMARKS = 5000


def read_pdf(path: Path, limits: ReaderLimits, on_page: Callable[[int, int], None]) -> Reading:
    """Read a PDF with a text layer. Pages without text are named in the reading.

    Raises:
        UnreadableDocument: encrypted, broken, without pages, with too many, or without text in any page.
    """
    logging.getLogger("pdfminer").setLevel(logging.ERROR)
    with _opened(path) as document, _Plumber(path) as plumber:
        count = len(document)
        if count == 0:
            raise UnreadableDocument("the PDF has no pages")
        if count > limits.pages:
            raise UnreadableDocument(f"the PDF has {count:,} pages, the limit is {limits.pages:,}; split it")
        pages = []
        for number in range(1, count + 1):
            pages.append(_page(document, number, plumber))
            on_page(number, count)
        outline = _outline(document)
    empty = tuple(page.number for page in pages if not page.has_text)
    if len(empty) == count:
        without = f"{count} {'page' if count == 1 else 'pages'} without text"
        raise UnreadableDocument(f"scanned; {without}; make it searchable with OCR and add it again", count, empty)
    return Reading("pdf", tuple(blocks_of(pages, outline)), count, empty)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        told = str(error).lower()
        if "password" in told or "security" in told:
            raise UnreadableDocument("the PDF is encrypted; save a copy without a password") from error
        if _has_no_pages(path):
            raise UnreadableDocument("the PDF has no pages; save or print it to PDF again") from error
        raise UnreadableDocument(
            "the PDF is broken and cannot be opened; open it in a PDF viewer and save or print it to PDF again"
        ) from error
    try:
        if document.get_formtype() > 0:
            document.init_forms()
        yield document
    finally:
        document.close()


def _has_no_pages(path: Path) -> bool:
    """Whether a file that PDFium refuses is a PDF in order, only without pages."""
    import pdfplumber
    from pdfplumber.utils.exceptions import PdfminerException

    try:
        with pdfplumber.open(path) as document:
            return len(document.pages) == 0 and b"/Pages" in path.read_bytes()[-1_000_000:]
    except PdfminerException:
        return False


def _page(document: Any, number: int, plumber: _Plumber) -> Page:
    page = document[number - 1]
    try:
        return read_page(page, number, plumber.page)
    finally:
        page.close()
        plumber.forget()


class _Plumber:
    """pdfplumber over the same file, opened when the first ruled page asks for it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._document: Any = None
        self._page: Any = None

    def __enter__(self) -> _Plumber:
        return self

    def __exit__(self, *error: object) -> None:
        if self._document is not None:
            self._document.close()

    def page(self, number: int) -> Any:
        """Page `number`, from 1."""
        if self._document is None:
            import pdfplumber

            self._document = pdfplumber.open(self._path)
        self._page = self._document.pages[number - 1]
        return self._page

    def forget(self) -> None:
        """Free what the last page took."""
        if self._page is not None:
            self._page.close()
            self._page = None


def _outline(document: Any) -> Outline:
    import pypdfium2

    levels: dict[str, int] = {}
    try:
        for number, bookmark in enumerate(document.get_toc()):
            if number >= MOST_BOOKMARKS:
                break
            levels.setdefault(plain(bookmark.get_title() or ""), bookmark.level + 1)
    except (pypdfium2.PdfiumError, RecursionError):
        return Outline({})
    levels.pop("", None)
    return Outline(levels)
