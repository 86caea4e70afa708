"""Bytes to text, whatever encoding the file was saved in."""

from __future__ import annotations

import codecs
from pathlib import Path

from kb.blocks import UnreadableDocument

BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SAMPLE_BYTES = 200_000


def decode(path: Path) -> str:
    """The file's text with "\\n" line ends and no control characters other than tab.

    A byte order mark decides, then UTF-8 if it fits, else the likeliest encoding by charset-normalizer.

    Raises:
        UnreadableDocument: the file is empty or is not text.
    """
    data = path.read_bytes()
    if not data.strip(b"\0 \t\r\n"):
        raise UnreadableDocument("the file is empty")
    text = _decoded(data).replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n")
    controls = sum(1 for character in text[:SAMPLE_BYTES] if character < " " and character not in "\n\t")
    if controls > len(text[:SAMPLE_BYTES]) / 100:
        raise UnreadableDocument("the file is not text (it holds binary data); convert it to PDF, DOCX or plain text first")
    return "".join(character for character in text if character >= " " or character in "\n\t")


def _decoded(data: bytes) -> str:
    for mark, encoding in BOMS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode(_likeliest_encoding(data), errors="replace")


def _likeliest_encoding(data: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(data[:SAMPLE_BYTES]).best()
    return "cp1252" if best is None else best.encoding
