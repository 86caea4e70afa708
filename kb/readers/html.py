"""HTML: headings, paragraphs, lists, tables and code; scripts, navigation and forms are left out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kb.blocks import Block, Reading, row_text
from kb.readers.decoding import decode
from kb.readers.limits import ReaderLimits

SILENT = frozenset({"script", "style", "nav", "noscript", "template", "svg", "head", "form", "button", "iframe", "object", "aside"})
BLOCK_TAGS = (
    "address article blockquote body caption center dd details div dl dt fieldset figcaption figure footer header hr html li main ol p "
    "section summary table tbody td tfoot th thead tr ul h1 h2 h3 h4 h5 h6 pre"
)
BOUNDARIES = frozenset(BLOCK_TAGS.split())
HEADING = re.compile(r"^h([1-6])$")


def read_html(path: Path, limits: ReaderLimits) -> Reading:
    """Read a page. Text outside any mark-up is a paragraph."""
    return Reading("html", tuple(html_blocks(decode(path)[: limits.text_characters])))


def html_blocks(source: str, first_group: int = 0) -> list[Block]:
    """Blocks of an HTML page or fragment; lists and tables are numbered from `first_group` + 1."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(source, "lxml")
    walk = _Walk(first_group)
    walk.element(soup.body or soup, 0)
    walk.flush()
    return walk.blocks


@dataclass
class _Walk:
    """Depth first over the tree; `pending` is inline text that has not found its paragraph's end yet."""

    group: int
    blocks: list[Block] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)

    def flush(self) -> None:
        text = _tidy("".join(self.pending))
        self.pending.clear()
        if text:
            self.blocks.append(Block("paragraph", text))

    def element(self, node: Any, depth: int) -> None:
        if depth > 200:
            self.pending.append(node.get_text(" "))
            return
        for child in node.children:
            if child.name is None:
                if type(child).__name__ == "NavigableString":
                    self.pending.append(re.sub(r"\s+", " ", str(child)))
            elif child.name not in SILENT and not _is_hidden(child):
                self._child(child, depth)

    def _child(self, child: Any, depth: int) -> None:
        name = child.name
        if name == "br":
            self.pending.append("\n")
        elif name == "img":
            self.pending.append(str(child.get("alt") or ""))
        elif name not in BOUNDARIES:
            self.element(child, depth + 1)
        else:
            self.flush()
            self._boundary(child, name, depth)
            self.flush()

    def _boundary(self, child: Any, name: str, depth: int) -> None:
        heading = HEADING.match(name)
        if heading:
            text = _tidy(child.get_text(" ")).replace("\n", " ").rstrip("¶ ")
            if text:
                self.blocks.append(Block("heading", text, level=int(heading.group(1))))
        elif name == "pre":
            self.blocks.append(Block("code", child.get_text().strip("\n")))
        elif name == "table":
            self._table(child, depth)
        elif name in ("ul", "ol"):
            self._list(child, 0)
        else:
            self.element(child, depth + 1)

    def _list(self, node: Any, level: int) -> None:
        if level == 0:
            self.group += 1
        group = self.group
        for number, item in enumerate(node.find_all("li", recursive=False), start=1):
            inner = [child for child in item.children if getattr(child, "name", None) in ("ul", "ol")]
            blocks = _Walk(0)
            for child in inner:
                child.extract()
            blocks.element(item, 0)
            blocks.flush()
            mark = f"{number}." if node.name == "ol" else "-"
            text = "\n".join(block.text for block in blocks.blocks)
            if text:
                self.blocks.append(Block("list_item", f"{mark} {text}", level=level, group=group))
            for child in inner:
                self._list(child, level + 1)

    def _table(self, node: Any, depth: int) -> None:
        rows = [row for row in node.find_all("tr") if row.find_parent("table") is node]
        cells = [[_tidy(cell.get_text(" ")) for cell in _spanned(row)] for row in rows]
        if node.find("table") or max((len(row) for row in cells), default=0) < 2:
            self.element(node, depth + 1)
            return
        self.group += 1
        caption = _tidy(node.caption.get_text(" ")) if node.caption else ""
        has_header = bool(rows[0].find("th")) and not rows[0].find("td")
        header = cells[0] if has_header or node.find("thead") else []
        for row in cells[1 if header else 0 :]:
            if any(row):
                self.blocks.append(Block("table_row", row_text(header, row), group=self.group, caption=caption))


def _spanned(row: Any) -> list[Any]:
    """The row's cells, each repeated over the columns that it spans."""
    cells = []
    for cell in row.find_all(["td", "th"], recursive=False):
        span = str(cell.get("colspan", "1"))
        cells += [cell] * (min(int(span), 100) if span.isdigit() and int(span) else 1)
    return cells


def _is_hidden(node: Any) -> bool:
    return "hidden" in node.attrs or node.get("role") == "navigation" or "display:none" in str(node.get("style", "")).replace(" ", "")


def _tidy(text: str) -> str:
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)
