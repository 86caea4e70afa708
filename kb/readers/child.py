"""The reader's process: takes one file after another on standard input and answers with what it read, or why it could not."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from kb.blocks import Reading, UnreadableDocument
from kb.readers.frames import read_frame, write_frame
from kb.readers.limits import ReaderLimits

READERS = {
    "pdf": ("kb.readers.pdf.reader", "read_pdf"),
    "docx": ("kb.readers.docx", "read_docx"),
    "xlsx": ("kb.readers.xlsx", "read_xlsx"),
    "markdown": ("kb.readers.markdown", "read_markdown"),
    "html": ("kb.readers.html", "read_html"),
    "csv": ("kb.readers.csv_table", "read_csv"),
    "text": ("kb.readers.text", "read_text"),
}
PAGED = frozenset({"pdf"})
Progress = Callable[[int, int], None]


def read(path: Path, kind: str, limits: ReaderLimits, on_page: Progress) -> Reading:
    """Read a file in this process. `on_page` gets (pages done, pages).

    Raises:
        UnreadableDocument: the file cannot be read; says why.
    """
    module, function = READERS[kind]
    reader = getattr(importlib.import_module(module), function)
    reading: Reading = reader(path, limits, on_page) if kind in PAGED else reader(path, limits)
    if sum(len(block.text) for block in reading.blocks) > limits.text_characters:
        raise UnreadableDocument(f"the file holds more than {limits.text_characters:,} characters of text; split it")
    if not any(block.text.strip() for block in reading.blocks):
        raise UnreadableDocument("the file holds no text")
    return reading


def main() -> None:
    """Serve requests {path, kind, limits} until standard input ends; answers {page}, then {reading} or {refused}."""
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not run into the answers
    while True:
        try:
            request = read_frame(requests)
        except EOFError:
            return
        write_frame(answers, _answer(request, answers))


def _answer(request: dict[str, Any], answers: BinaryIO) -> dict[str, Any]:
    try:
        limits = ReaderLimits(**request["limits"])
        reading = read(Path(request["path"]), request["kind"], limits, lambda done, total: write_frame(answers, {"page": [done, total]}))
        return {"reading": reading.to_json()}
    except UnreadableDocument as error:
        return {"refused": str(error), "pages": error.pages, "pages_without_text": error.pages_without_text}
    except MemoryError:
        return {"refused": "reading it needs more memory than there is; split the file"}
    except Exception as error:  # any library may fail in any way on a damaged file: it costs this file alone, and the log has the trace
        traceback.print_exc()
        return {"refused": f"the file cannot be read, it may be damaged ({type(error).__name__}: {str(error)[:200]})"}


if __name__ == "__main__":
    main()
