"""Markdown (CommonMark with tables and front matter): what markdown-it sees, as blocks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kb.blocks import Block, Reading, row_text
from kb.readers.decoding import decode
from kb.readers.facts import front_matter_blocks
from kb.readers.html import html_blocks
from kb.readers.limits import ReaderLimits
from kb.readers.text import join_lines

if TYPE_CHECKING:
    from markdown_it.token import Token

ALERT = re.compile(r"^\[!(\w+)\]\s*")
LIQUID = re.compile(r"\{%-?.*?-?%\}")
ATTRIBUTES = re.compile(r"\s*\{[:#.][^{}]*\}\s*$")


def read_markdown(path: Path, limits: ReaderLimits) -> Reading:
    """Read a page; its heading path is as the document nests it, with a title from the front matter above when the text has none."""
    return Reading("markdown", tuple(markdown_blocks(decode(path)[: limits.text_characters])))


def markdown_blocks(source: str) -> list[Block]:
    """Blocks of a Markdown text, its front matter's facts first."""
    from markdown_it import MarkdownIt
    from mdit_py_plugins.front_matter import front_matter_plugin

    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).use(front_matter_plugin)
    tokens = parser.parse(LIQUID.sub("", source))
    facts: list[Block] = []
    if tokens and tokens[0].type == "front_matter":
        title, facts = front_matter_blocks(tokens.pop(0).content)
        if title and not any(token.tag == "h1" for token in tokens):
            facts.insert(0, Block("heading", title, level=1))
    walk = _Walk(tokens)
    walk.run()
    return facts + [block for block in walk.blocks if block.text.strip()]


@dataclass
class _Walk:
    """One pass over markdown-it's flat token stream. `lists` holds (is ordered, next number) of the open lists, outermost first."""

    tokens: Sequence[Token]
    blocks: list[Block] = field(default_factory=list)
    group: int = 0
    lists: list[list[int]] = field(default_factory=list)
    mark: str = ""

    def run(self) -> None:
        at = 0
        while at < len(self.tokens):
            token = self.tokens[at]
            handler = getattr(self, f"_{token.type}", None)
            at = (handler(at) if handler else None) or at + 1

    def _heading_open(self, at: int) -> int:
        text = ATTRIBUTES.sub("", inline_text(self.tokens[at + 1])).replace("\n", " ")
        self.blocks.append(Block("heading", text, level=int(self.tokens[at].tag[1])))
        return at + 3

    def _inline(self, at: int) -> None:
        text = ALERT.sub(lambda match: f"{match.group(1).capitalize()}: ", inline_text(self.tokens[at]))
        if not self.lists:
            self.blocks.append(Block("paragraph", text))
        elif self.mark:
            self.blocks.append(Block("list_item", f"{self.mark} {text}", level=len(self.lists) - 1, group=self.group))
            self.mark = ""
        else:
            self._continue_item(text)

    def _continue_item(self, text: str) -> None:
        """A further paragraph of a list item belongs to the item."""
        last = self.blocks[-1] if self.blocks else None
        if last and last.kind == "list_item" and last.group == self.group:
            self.blocks[-1] = Block("list_item", f"{last.text}\n{text}", level=last.level, group=last.group)
        else:
            self.blocks.append(Block("list_item", text, level=len(self.lists) - 1, group=self.group))

    def _bullet_list_open(self, at: int) -> None:
        self._open_list(0)

    def _ordered_list_open(self, at: int) -> None:
        self._open_list(int(self.tokens[at].attrs.get("start", 1)) or 1)

    def _open_list(self, number: int) -> None:
        if not self.lists:
            self.group += 1
        self.lists.append([1 if number else 0, number])

    def _bullet_list_close(self, at: int) -> None:
        self.lists.pop()
        self.mark = ""

    _ordered_list_close = _bullet_list_close

    def _list_item_open(self, at: int) -> None:
        ordered, number = self.lists[-1]
        self.mark = f"{number}." if ordered else "-"
        self.lists[-1][1] += 1

    def _fence(self, at: int) -> None:
        self.blocks.append(Block("code", self.tokens[at].content.strip("\n"), group=self.group if self.lists else 0))

    _code_block = _fence

    def _html_block(self, at: int) -> None:
        self.blocks += html_blocks(self.tokens[at].content, self.group)
        self.group = max([self.group, *(block.group for block in self.blocks)])

    def _table_open(self, at: int) -> int:
        self.group += 1
        rows: list[list[str]] = []
        while self.tokens[at].type != "table_close":
            if self.tokens[at].type == "tr_open":
                rows.append([])
            elif self.tokens[at].type == "inline":
                rows[-1].append(inline_text(self.tokens[at]))
            at += 1
        for row in rows[1:]:
            if any(row):
                self.blocks.append(Block("table_row", row_text(rows[0], row), group=self.group))
        return at + 1


def inline_text(token: Token) -> str:
    """The words of an inline token: links by their text, images by their description, HTML by what it shows."""
    return "\n".join(line for line in (part.strip() for part in join_lines(_words(token.children or []).split("\n")).split("\n")) if line)


def _words(children: Sequence[Token]) -> str:
    words = []
    for child in children:
        if child.type in ("text", "code_inline"):
            words.append(child.content)
        elif child.type in ("softbreak", "hardbreak"):
            words.append("\n")
        elif child.type == "image":
            words.append(child.content)
        elif child.type == "html_inline":
            words.append("\n" if re.match(r"<br\b", child.content, re.IGNORECASE) else "")
    return "".join(words)
