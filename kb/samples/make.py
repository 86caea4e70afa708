"""Makes the sample PDF and DOCX from the Markdown in `source/`: `python -m kb.samples.make` (needs requirements-dev.txt)."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from markdown_it import MarkdownIt
from markdown_it.token import Token

from kb.samples import NAMES

SOURCE = Path(__file__).parent / "source"
Kind = Literal["heading", "paragraph", "warning", "numbered", "table"]


@dataclass(frozen=True)
class Part:
    """A piece of a manual. `rows` holds a table's cells, header first, or one cell for each numbered step; `level` is a heading's."""

    kind: Kind
    text: str = ""
    level: int = 0
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Manual:
    """A manual as written: `facts` are the lines of its front matter, among them title, subtitle, document, edition and company."""

    facts: dict[str, str]
    parts: tuple[Part, ...]


def read(source: Path) -> Manual:
    """Parse one manual: headings, paragraphs, warnings (block quotes), numbered steps and tables."""
    _, front, body = source.read_text(encoding="utf-8").split("---\n", 2)
    facts = dict(line.split(": ", 1) for line in front.strip().splitlines())
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    return Manual(facts, tuple(_parts(tokens)))


def _parts(tokens: list[Token]) -> list[Part]:
    parts: list[Part] = []
    position = 0
    while position < len(tokens):
        token = tokens[position]
        end = next(
            i
            for i in range(position, len(tokens))
            if tokens[i].type == token.type.replace("_open", "_close") and tokens[i].level == token.level
        )
        parts.append(_part(token, tokens[position : end + 1]))
        position = end + 1
    return parts


def _part(token: Token, inside: list[Token]) -> Part:
    texts = [t.content.replace("**", "") for t in inside if t.type == "inline"]
    if token.type == "heading_open":
        return Part("heading", texts[0], level=int(token.tag[1]))
    if token.type == "paragraph_open":
        return Part("paragraph", texts[0])
    if token.type == "blockquote_open":
        return Part("warning", " ".join(texts))
    if token.type == "ordered_list_open":
        return Part("numbered", rows=tuple((text,) for text in texts))
    if token.type == "table_open":
        width = sum(t.type == "th_open" for t in inside)
        return Part("table", rows=tuple(tuple(texts[i : i + width]) for i in range(0, len(texts), width)))
    raise ValueError(f"{token.type} has no form in the manuals; use headings, paragraphs, quotes, numbered lists and tables")


def make(folder: Path) -> list[Path]:
    """Write both manuals into `folder`. The same text gives the same bytes with the same library versions."""
    from kb.samples.portable import write_pdf
    from kb.samples.word import write_docx

    pdf, docx = folder / NAMES[0], folder / NAMES[1]
    write_pdf(read(SOURCE / "pump.md"), pdf)
    write_docx(read(SOURCE / "moulding.md"), docx)
    return [pdf, docx]


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent)
    for path in make(arguments.parse_args().folder):
        print(path)
