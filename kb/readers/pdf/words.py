"""Words of a page with their boxes, as the page is displayed."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from typing import Any

LIGATURES = str.maketrans(
    {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st", "\u00ad": "-", "\x02": "-", "\xa0": " "}
)
BOLD_WEIGHT = 600
BOLD_NAMES = ("bold", "black", "heavy", "semibd", "demi")
MOST_CHARACTERS = 200_000
SPACES = frozenset({9, 32, 160, 0x2002, 0x2003, 0x2009})
SPACE_GAP, LETTER_GAP = 0.07, 0.5
"""Gap between two letters, as a share of the line height, that parts words where a space is doubtful, and where there is none."""
LINE_HEIGHT = 1.2
"""In em."""


@dataclass(frozen=True)
class Word:
    """A word in points from the page's displayed top left corner. `size` is the line height that goes with its font, 1.2 em."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    size: float
    bold: bool
    angle: int = 0
    """How it is turned on the displayed page, in degrees clockwise: 0, 90, 180, 270."""
    run: int = 0
    """Line of PDFium's own text order; keeps words of turned text together."""

    @property
    def middle(self) -> float:
        """Height of the box's middle."""
        return (self.top + self.bottom) / 2

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom)"""
        return self.left, self.top, self.right, self.bottom


@dataclass(frozen=True)
class PageWords:
    """`unmapped` is the share of characters whose font does not say what they mean: text that looks right and reads as rubbish."""

    words: tuple[Word, ...]
    width: float
    height: float
    unmapped: float


@dataclass(frozen=True)
class Frame:
    """The displayed page: its box in the PDF's own coordinates (origin bottom left) and how it is turned, in degrees clockwise."""

    left: float
    bottom: float
    right: float
    top: float
    turned: int

    @property
    def size(self) -> tuple[float, float]:
        """Displayed width and height in points."""
        width, height = self.right - self.left, self.top - self.bottom
        return (height, width) if self.turned in (90, 270) else (width, height)

    def place(self, left: float, bottom: float, right: float, top: float) -> tuple[float, float, float, float]:
        """A box of the PDF as (left, top, right, bottom) from the displayed page's top left corner."""
        if self.turned == 90:
            return bottom - self.bottom, left - self.left, top - self.bottom, right - self.left
        if self.turned == 180:
            return self.right - right, bottom - self.bottom, self.right - left, top - self.bottom
        if self.turned == 270:
            return self.top - top, self.right - right, self.top - bottom, self.right - left
        return left - self.left, self.top - top, right - self.left, self.top - bottom

    def unplace(self, left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
        """The inverse of `place`: (left, bottom, right, top) of the PDF."""
        if self.turned == 90:
            return top + self.left, left + self.bottom, bottom + self.left, right + self.bottom
        if self.turned == 180:
            return self.right - right, top + self.bottom, self.right - left, bottom + self.bottom
        if self.turned == 270:
            return self.right - bottom, self.top - right, self.right - top, self.top - left
        return left + self.left, self.top - bottom, right + self.left, self.top - top


def frame_of(page: Any) -> Frame:
    """The displayed box of a pypdfium2 page."""
    left, bottom, right, top = page.get_cropbox()
    media = page.get_mediabox()
    box = (max(left, media[0]), max(bottom, media[1]), min(right, media[2]), min(top, media[3]))
    if box[2] - box[0] < 1 or box[3] - box[1] < 1:
        box = media
    return Frame(*box, page.get_rotation() % 360)


def page_words(page: Any, frame: Frame) -> PageWords:
    """Words of a pypdfium2 page seen through `frame`, in the PDF's own order."""
    import pypdfium2.raw as pdfium

    width, height = frame.size
    text_page = page.get_textpage()
    try:
        count = min(text_page.count_chars(), MOST_CHARACTERS)
        if count <= 0:
            return PageWords((), width, height, 0.0)
        collector = _Collector(pdfium, text_page.raw, frame)
        for index in range(count):
            collector.take(index)
        collector.end_word()
    finally:
        text_page.close()
    on_page = [word for word in collector.words if word.right > 0 and word.bottom > 0 and word.left < width and word.top < height]
    return PageWords(tuple(on_page), width, height, collector.unmapped / max(collector.seen, 1))


class _Collector:
    """Gathers characters into words: a space, a line end or a leap ends one."""

    def __init__(self, pdfium: Any, text_page: Any, frame: Frame) -> None:
        self.words: list[Word] = []
        self.seen = self.unmapped = 0
        self._pdfium = pdfium
        self._page = text_page
        self._frame = frame
        self._rect = pdfium.FS_RECTF()
        self._letters: list[str] = []
        self._box = (0.0, 0.0, 0.0, 0.0)
        self._first = 0
        self._angle = 0
        self._run = 0
        self._doubtful_space = False
        self._high = 0

    def take(self, index: int) -> None:
        code = self._whole(self._pdfium.FPDFText_GetUnicode(self._page, index))
        if code is None:
            return
        if code in (10, 13):
            self.end_word()
            self._run += 1
            return
        if code in SPACES:
            self._space(index)
            return
        self.seen += 1
        if code in (0, 0xFFFD) or (code < 32 and code != 2) or 0xE000 <= code <= 0xF8FF:
            self.unmapped += 1
            if code == 0 or code < 32:
                return
        if code == 0xFFFE or code == 0xFFFF:
            code = 2
        if not self._pdfium.FPDFText_GetLooseCharBox(self._page, index, self._rect):
            return
        rect = self._rect
        box = self._frame.place(rect.left, min(rect.bottom, rect.top), rect.right, max(rect.bottom, rect.top))
        if self._letters and not self._angle and self._leaps(box, SPACE_GAP if self._doubtful_space else LETTER_GAP):
            self.end_word()
        self._doubtful_space = False
        if not self._letters:
            self._begin(index, box)
        self._letters.append(chr(code) if code < 0x110000 else "�")
        held = self._box
        self._box = (min(held[0], box[0]), min(held[1], box[1]), max(held[2], box[2]), max(held[3], box[3]))

    def _whole(self, code: int) -> int | None:
        """Characters beyond 16 bits come in two halves; None after the first."""
        if 0xD800 <= code < 0xDC00:
            self._high = code
            return None
        if 0xDC00 <= code < 0xE000:
            high, self._high = self._high, 0
            return 0x10000 + ((high - 0xD800) << 10) + (code - 0xDC00) if high else 0xFFFD
        return code

    def _space(self, index: int) -> None:
        """A space ends the word, but one that PDFium put in by itself must show as a gap: it puts some into ligatures."""
        if self._pdfium.FPDFText_IsGenerated(self._page, index) == 1 and not self._angle:
            self._doubtful_space = True
        else:
            self.end_word()

    def _begin(self, index: int, box: tuple[float, float, float, float]) -> None:
        self._first = index
        self._box = box
        angle = math.degrees(self._pdfium.FPDFText_GetCharAngle(self._page, index)) + self._frame.turned
        self._angle = round(angle / 90) * 90 % 360

    def _leaps(self, box: tuple[float, float, float, float], most: float) -> bool:
        """Whether this character lies away from the word so far: on another line, or after a gap of more than `most` line heights."""
        left, top, right, bottom = self._box
        height = max(bottom - top, 1.0)
        overlap = min(bottom, box[3]) - max(top, box[1])
        return overlap < 0.3 * min(height, max(box[3] - box[1], 1.0)) or box[0] - right > most * height or box[0] < left - 0.5 * height

    def end_word(self) -> None:
        if not self._letters:
            return
        text = "".join(self._letters).translate(LIGATURES).strip()
        left, top, right, bottom = self._box
        if text:
            size = self._size(self._first) or ((right - left) if self._angle in (90, 270) else (bottom - top))
            self.words.append(Word(text, *self._box, round(size * 2) / 2, self._is_bold(self._first), self._angle, self._run))
        self._letters = []
        self._doubtful_space = False

    def _size(self, index: int) -> float:
        """Line height by the font's size: boxes differ from font to font. 0 when PDFium cannot tell."""
        matrix = self._pdfium.FS_MATRIX()
        if not self._pdfium.FPDFText_GetMatrix(self._page, index, matrix):
            return 0.0
        return LINE_HEIGHT * float(self._pdfium.FPDFText_GetFontSize(self._page, index)) * math.hypot(matrix.c, matrix.d)

    def _is_bold(self, index: int) -> bool:
        if self._pdfium.FPDFText_GetFontWeight(self._page, index) >= BOLD_WEIGHT:
            return True
        name = ctypes.create_string_buffer(128)
        flags = ctypes.c_int()
        length = self._pdfium.FPDFText_GetFontInfo(self._page, index, name, len(name), flags)
        font = name.raw[: max(min(length, 128) - 1, 0)].decode("utf-8", errors="replace").lower()
        return any(mark in font for mark in BOLD_NAMES)
