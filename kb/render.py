"""A page of a document as a picture with passages marked: for showing what an answer stands on."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from kb.readers.frames import read_frame, write_frame
from kb.readers.limits import ReaderLimits
from kb.readers.process import Watch, start_child, stop_child

if TYPE_CHECKING:
    from kb.library import Library

CACHE_FILES = 200
MOST_PIXELS = 16_000_000
MARK_RGBA = (255, 214, 0, 90)
EDGE_RGBA = (200, 120, 0, 220)


class PageNotShown(Exception):
    """The page cannot be drawn; the message says why."""


def page_image(library: Library, revision_id: int, page: int, boxes: Sequence[Sequence[float]] = (), scale: float = 1.5) -> bytes:
    """PNG of a page (from 1) of a revision with those `boxes` marked that lie on it; `scale` is pixels per point.

    Drawn in a child process, since PDFium is not thread-safe and may fail on a damaged file; kept in the home's cache.

    Raises:
        KeyError: the revision's original is not in the library any more.
        PageNotShown: the document has no pages, fewer pages, or cannot be drawn.
    """
    original = library.original(revision_id)
    if not 0.1 <= scale <= 10:
        raise ValueError(f"scale is {scale}, expected 0.1 to 10 pixels per point")
    marked = [[float(value) for value in box[1:5]] for box in boxes if int(box[0]) == page]
    key = hashlib.sha256(f"{original.name} {page} {scale} {marked} {MARK_RGBA}".encode()).hexdigest()
    cached = library.home / "cache" / f"{key}.png"
    with contextlib.suppress(FileNotFoundError):
        image = cached.read_bytes()
        os.utime(cached)
        return image
    image = _drawn(original, page, marked, scale, library.limits, library.home / "logs" / "readers.log")
    _keep(cached, image)
    return image


def _drawn(original: Path, page: int, boxes: list[list[float]], scale: float, limits: ReaderLimits, log: Path) -> bytes:
    log.parent.mkdir(exist_ok=True)
    child = start_child("kb.render", log)
    assert child.stdin and child.stdout
    with Watch(child, limits) as watch:
        try:
            write_frame(child.stdin, {"path": str(original), "page": page, "boxes": boxes, "scale": scale})  # type: ignore[arg-type]
            answer: dict[str, Any] = read_frame(child.stdout)  # type: ignore[arg-type]
        except (EOFError, OSError):
            answer = {}
    stop_child(child)
    if "png" in answer:
        return base64.b64decode(answer["png"])
    raise PageNotShown(answer.get("refused") or watch.verdict or f"the page could not be drawn (exit code {child.returncode})")


def _keep(place: Path, image: bytes) -> None:
    """Put a picture into the cache, and the longest unused ones out. A cache that cannot be written costs only time."""
    aside = place.with_name(f"{uuid.uuid4().hex}.part")
    try:
        place.parent.mkdir(exist_ok=True)
        aside.write_bytes(image)
        os.replace(aside, place)
        pictures = sorted(place.parent.glob("*.png"), key=lambda file: file.stat().st_mtime)
        for file in pictures[:-CACHE_FILES]:
            file.unlink(missing_ok=True)
    except OSError:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


def draw(path: Path, page: int, boxes: Sequence[Sequence[float]], scale: float) -> bytes:
    """PNG of a page with boxes [left, top, right, bottom] marked; in this process.

    Raises:
        PageNotShown: the file is not a PDF or has no such page.
    """
    import io

    import pypdfium2
    from PIL import ImageDraw

    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        raise PageNotShown("this kind of document has no pages to show") from error
    if not 1 <= page <= len(document):
        raise PageNotShown(f"page {page} was asked for, the document has {len(document)}")
    sheet = document[page - 1]
    width, height = sheet.get_size()
    scale = min(scale, (MOST_PIXELS / max(width * height, 1.0)) ** 0.5)
    if document.get_formtype() > 0:
        document.init_forms()
        sheet = document[page - 1]
    picture = sheet.render(scale=scale).to_pil().convert("RGB")
    pen = ImageDraw.Draw(picture, "RGBA")
    for left, top, right, bottom in boxes:
        corners = [scale * value for value in (left - 2, top - 1, right + 2, bottom + 1)]
        pen.rectangle(corners, fill=MARK_RGBA, outline=EDGE_RGBA, width=max(1, round(scale)))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer one request, {path, page, boxes, scale}, with {png} in base64 or {refused}."""
    request = read_frame(requests)
    try:
        image = draw(Path(request["path"]), request["page"], request["boxes"], request["scale"])
        write_frame(answers, {"png": base64.b64encode(image).decode("ascii")})
    except PageNotShown as error:
        write_frame(answers, {"refused": str(error)})


if __name__ == "__main__":
    import sys

    serve(sys.stdin.buffer, sys.stdout.buffer)
