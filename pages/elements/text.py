"""Text of documents and models, made fit to be shown: as the characters that it has, never as markup of its own."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from itertools import groupby

from surrogates.units import is_row

KEPT_WHOLE = re.compile(r"(```.*?```|`[^`\n]+`|\*\*[^*\n]+\*\*)", re.DOTALL)
MARKUP = re.compile(r"([\\`*_$\[\]<>#|~:!])")
LEADING_MARKUP = re.compile(r"^(\s*)([+=>]|-(?=\s*-))", re.MULTILINE)
FIELD_ENDS = re.compile(r"; (?=[^:;]{1,60}: \S)")
LIST_MARK = re.compile(r"^\s*[-*•] ")
KIND_NAMES = {"pdf": "PDF", "docx": "Word", "markdown": "Markdown", "html": "HTML", "text": "Text", "csv": "CSV", "xlsx": "Excel"}


def as_markdown(text: str) -> str:
    """Markdown that shows `text`: lists, code and bold stay, everything else that Markdown would read as markup is escaped.

    >>> as_markdown("Torque: 12 $ [a](b)")
    'Torque\\\\: 12 \\\\$ \\\\[a\\\\](b)'
    """
    pieces = KEPT_WHOLE.split(text)
    return "".join(piece if index % 2 else _escaped(piece) for index, piece in enumerate(pieces))


def answer_as_markdown(text: str) -> str:
    """An answer as Markdown: rows of a table, which the library keeps as "label: value; label: value", become readable again.

    A row by itself shows each field on a line of its own, several rows with the same labels are a table.

    >>> answer_as_markdown("Alarm: E-17; Remedy: Top up")
    '**Alarm**: E-17  \\n**Remedy**: Top up'
    """
    if "```" in text:
        return as_markdown(text)
    pieces: list[str] = []
    for labels, lines in groupby(text.splitlines(), key=_labels):
        group = list(lines)
        if not labels:
            pieces.append(as_markdown("\n".join(group)))
        elif len(group) == 1:
            pieces.append("  \n".join(f"**{_cell(label)}**: {_cell(value)}" for label, value in _fields(group[0])))
        else:
            rows = [labels, ["---"] * len(labels), *([value for _, value in _fields(line)] for line in group)]
            pieces.append("\n".join(f"| {' | '.join(cell if cell == '---' else _cell(cell) for cell in row)} |" for row in rows))
    return "\n\n".join(pieces)


def _labels(line: str) -> tuple[str, ...]:
    return tuple(label for label, _ in _fields(line)) if is_row(line) else ()


def _fields(line: str) -> list[tuple[str, str]]:
    parts = [part.partition(": ") for part in FIELD_ENDS.split(LIST_MARK.sub("", line).strip())]
    return [(label.strip(), value.strip()) for label, _, value in parts]


def _cell(value: str) -> str:
    return _escaped(value.replace("**", ""))


def _escaped(piece: str) -> str:
    plain = LEADING_MARKUP.sub(r"\1\\\2", MARKUP.sub(r"\\\1", piece))
    return re.sub(r"(?<!\n)\n(?!\n)", "  \n", plain)


def as_label(text: str, limit: int = 60) -> str:
    """One line for a button or a heading, cut at `limit` characters."""
    line = " ".join(text.split())
    return MARKUP.sub(r"\\\1", line if len(line) <= limit else line[: limit - 1].rstrip() + "…")


def marked_html(text: str, *quotes: str) -> str:
    """`text` as HTML with its line breaks, and each of `quotes` marked where it first occurs word for word."""
    body, done = "", 0
    for start, quote in sorted((text.find(quote), quote) for quote in quotes if quote):
        if start >= done:
            body += f"{html.escape(text[done:start])}<mark>{html.escape(quote)}</mark>"
            done = start + len(quote)
    body += html.escape(text[done:])
    return f'<div style="white-space: pre-wrap; overflow-wrap: anywhere">{body}</div>'


def heading_path(heading: Sequence[str], limit: int = 90) -> str:
    """Headings from the outermost in, as one line of Markdown; each is cut at `limit` characters."""
    return " / ".join(as_label(part, limit) for part in heading)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: "1 page", "1,200 passages"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def size(size_bytes: float) -> str:
    """Bytes as people write them, in powers of ten: "48 KB", "1.2 GB"."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size_bytes >= scale:
            return f"{size_bytes / scale:.{1 if size_bytes < 10 * scale else 0}f} {unit}"
    return f"{size_bytes:.0f} bytes"


def duration(seconds: float) -> str:
    """Seconds as people say them: "31 ms", "0.84 s", "12 s", "4 min", "2 h 10 min"."""
    if seconds < 0.1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def kind_name(kind: str) -> str:
    """How a document's kind is called on the pages."""
    return KIND_NAMES.get(kind, kind.upper())
