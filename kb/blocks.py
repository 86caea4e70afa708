"""What a reader makes of a file: blocks in reading order, which the passage maker cuts up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

BlockKind = Literal["heading", "paragraph", "list_item", "table_row", "code"]
Box = tuple[float, float, float, float, float]
"""Page (1-based), left, top, right, bottom; points from the page's top left corner."""


class UnreadableDocument(Exception):
    """A file cannot become passages; the message is the reason in the user's terms and what to do.

    `pages` and `pages_without_text` say what was seen before it was given up, None and () where nothing was.
    """

    def __init__(self, reason: str, pages: int | None = None, pages_without_text: tuple[int, ...] = ()) -> None:
        super().__init__(reason)
        self.pages = pages
        self.pages_without_text = pages_without_text


@dataclass(frozen=True)
class Block:
    """One piece of a document.

    `level` is the heading's depth from 1, or a list item's nesting from 0. Blocks of one table or list share a `group` (from 1;
    0 elsewhere). A table row's text is self-contained: "Header: value; Header: value", or "value | value" where there is no header.
    `caption` is the table's caption, on each of its rows.
    """

    kind: BlockKind
    text: str
    level: int = 0
    group: int = 0
    caption: str = ""
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Reading:
    """A whole file as read. `pages` is None where the kind has no pages; `pages_without_text` are 1-based."""

    kind: str
    blocks: tuple[Block, ...]
    pages: int | None = None
    pages_without_text: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data that crosses the process boundary."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Reading:
        """The inverse of `to_json` after a trip through JSON."""
        blocks = tuple(Block(**{**block, "boxes": tuple(tuple(box) for box in block["boxes"])}) for block in value["blocks"])
        return cls(value["kind"], blocks, value["pages"], tuple(value["pages_without_text"]))


def row_text(header: Sequence[str], cells: Sequence[str]) -> str:
    """One table row as a line that can be read alone; empty cells are left out. A row of one cell is a title within the table.

    >>> row_text(["Code", "Meaning"], ["E-17", "Oil pressure low"])
    'Code: E-17; Meaning: Oil pressure low'
    >>> row_text([], ["Torque", "42 Nm"])
    'Torque | 42 Nm'
    """
    clean = [" ".join(cell.split()) for cell in cells]
    filled = [cell for cell in clean if cell]
    if not any(header) or (len(filled) == 1 and len(header) > 2):
        return " | ".join(filled)
    names = [" ".join(name.split()).rstrip(":") for name in header] + [""] * (len(clean) - len(header))
    return "; ".join(f"{name}: {cell}" if name else cell for name, cell in zip(names, clean, strict=False) if cell)
