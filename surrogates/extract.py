"""The words of a passage that answer a question: kept only where two independent selectors agree on the place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from surrogates.pairs import Quote
from surrogates.units import Span, spans
from surrogates.verbs import plain_form
from surrogates.wording import Rarity, content, words

if TYPE_CHECKING:
    from kb.encoder import Encoder
    from kb.records import Passage

SHORT_WORDS = 45
"""A passage of at most so many words is its own answer."""
PROCEDURE_WORDS = 110
"""A how-to question takes the whole of a passage up to here, so that no step is left out."""
_HOW = re.compile(
    r"^(?:how (?:do|can|to|should|would|must|is|are)\b|what (?:should|must|do) I do\b|can I\b|where (?:can|do) I\b)", re.IGNORECASE
)
_LEANS_BACK = re.compile(r"^(?:it|this|these|that|those|they|then|otherwise|in this case|to do (?:so|this)|also|however)\b", re.IGNORECASE)


def extract(question: str, passage: Passage, rarity: Rarity, encoder: Encoder) -> Quote | None:
    """The span that answers `question`, None when the selector by meaning and the one by words do not agree.

    Steps come complete, a sentence that leans back brings the one before it.
    """
    units = spans(passage.text)
    if not units:
        return None
    length = len(words(passage.text))
    is_how = bool(_HOW.match(question))
    if length <= SHORT_WORDS or len(units) == 1 or (is_how and length <= PROCEDURE_WORDS):
        return Quote(passage.id, units[0].start, units[-1].end)
    texts = [passage.text[unit.start : unit.end] for unit in units]
    by_meaning = _cosines(question, texts, encoder)  # [units]
    by_words = np.asarray([rarity.share(content(question), content(text)) for text in texts])  # [units]
    first, last = sorted((int(by_meaning.argmax()), int(by_words.argmax())))
    if last - first > 1 or by_words.max() == 0:
        return None
    first, last = _complete(units, texts, first, last, is_how)
    return Quote(passage.id, units[first].start, units[last].end)


def _cosines(question: str, texts: Sequence[str], encoder: Encoder) -> NDArray[np.float32]:
    vectors = encoder.encode([question, *texts])  # [1 + n, d]
    return np.asarray(vectors[1:] @ vectors[0], np.float32)


def _complete(units: Sequence[Span], texts: Sequence[str], first: int, last: int, is_how: bool) -> tuple[int, int]:
    """Widen to whole runs of steps, to the sentence that is leant on, and for a how-to question to the commands that follow."""
    while first > 0 and ((units[first].is_step and units[first - 1].is_step) or _LEANS_BACK.match(texts[first])):
        first -= 1
    while last + 1 < len(units) and ((units[last].is_step and units[last + 1].is_step) or (is_how and _is_command(texts[last + 1]))):
        last += 1
    if texts[last].rstrip().endswith(":"):
        last = _announced(texts, last)
    return first, last


def _announced(texts: Sequence[str], last: int) -> int:
    """The end of what a line with a colon announces, as far as it makes a short answer."""
    end, length = last, 0
    while end + 1 < len(texts) and (length := length + len(words(texts[end + 1]))) <= PROCEDURE_WORDS:
        end += 1
    return end


def _is_command(sentence: str) -> bool:
    said = words(sentence)
    return bool(said) and plain_form(said[0]) == said[0]
