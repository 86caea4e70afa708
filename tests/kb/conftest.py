"""The room's fixtures: an encoder that needs no model, a library over it, and small documents made for the test."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kb.encoder import Encoder
from kb.library import Library


class WordEncoder(Encoder):
    """Each word has a fixed random direction, a text is the sum of its words: texts that share words are near each other."""

    name = "words-64"
    dimension = 64

    def encode(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        vectors = np.full((len(texts), self.dimension), 1e-3, np.float32)  # [n, d]
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", text.casefold()):
                seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
                vectors[row] += np.random.default_rng(seed).standard_normal(self.dimension).astype(np.float32)
            if on_progress:
                on_progress(row + 1)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class OtherEncoder(WordEncoder):
    """The same under another name: what a change of the encoder looks like."""

    name = "words-of-another-kind"


@pytest.fixture(scope="session")
def encoder() -> WordEncoder:
    return WordEncoder()


@pytest.fixture(scope="session")
def other_encoder() -> OtherEncoder:
    return OtherEncoder()


@pytest.fixture
def library(home: Path, encoder: WordEncoder) -> Iterator[Library]:
    with Library(home, encoder) as opened:
        yield opened


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a text file and returns its path."""

    def written(name: str, text: str) -> Path:
        path = tmp_path / "documents" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return written


PUMP = """# Hydraulic pump HP-200

## Maintenance

Change the oil every 2000 hours. Use grade HLP 46.

## Alarms

| Code | Meaning | Remedy |
|------|---------|--------|
| E-17 | Oil pressure too low | Check the suction filter |
| E-18 | Oil too hot | Clean the cooler |
"""


@pytest.fixture
def pump(write: Callable[[str, str], Path]) -> Path:
    """A Markdown manual with two sections and an alarm table."""
    return write("pump.md", PUMP)


@pytest.fixture
def pdf(tmp_path: Path) -> Path:
    """A manual of four pages: running header, page numbers, numbered headings, a word cut at a line's end, a ruled table.

    Page 4 has no text.
    """
    from reportlab.lib import colors
    from reportlab.lib.pagesizes import A4
    from reportlab.pdfgen import canvas
    from reportlab.platypus import Table, TableStyle

    path = tmp_path / "documents" / "press.pdf"
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet = canvas.Canvas(str(path), pagesize=A4)

    def furniture(number: int) -> None:
        sheet.setFont("Helvetica", 8)
        sheet.drawString(72, 810, "Press PX-90 operating manual")
        sheet.drawString(290, 30, f"Page {number} of 4")

    def heading(y: float, text: str, size: float = 16) -> None:
        sheet.setFont("Helvetica-Bold", size)
        sheet.drawString(72, y, text)

    def text(y: float, *lines: str) -> None:
        sheet.setFont("Helvetica", 10)
        for number, line in enumerate(lines):
            sheet.drawString(72, y - 13 * number, line)

    furniture(1)
    heading(740, "1 Safety")
    text(715, "Never reach into the press while it moves. The emergency stop cuts the hydraulic pres-", "sure within 200 milliseconds.")
    heading(660, "1.1 Lock-out", 13)
    text(640, "Before any work on the tool the main switch must be locked and tagged.")
    sheet.showPage()
    furniture(2)
    heading(740, "2 Alarms")
    text(715, "Table 1: Alarm codes")
    rows = [
        ["Code", "Meaning", "Remedy"],
        ["A-04", "Guard door open", "Close the guard door"],
        ["A-09", "Die not clamped", "Clamp the die"],
    ]
    table = Table(rows, colWidths=[60, 150, 200])
    bold = ("FONTNAME", (0, 0), (-1, 0), "Helvetica-Bold")
    table.setStyle(TableStyle([("GRID", (0, 0), (-1, -1), 0.5, colors.black), bold]))
    table.wrapOn(sheet, 400, 300)
    table.drawOn(sheet, 72, 640)
    text(600, "Acknowledge an alarm with the blue button.")
    sheet.showPage()
    furniture(3)
    heading(740, "3 Service")
    text(715, "Call the maker before the die is changed.")
    sheet.showPage()
    sheet.rect(100, 300, 200, 200, fill=1)
    sheet.showPage()
    sheet.save()
    return path
