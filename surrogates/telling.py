"""An instant answer told as a written one is: with the lead-in, the steps and the sentence before it that the question needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from surrogates.procedures import complete
from surrogates.quotes import Quote, compose
from surrogates.units import spans

if TYPE_CHECKING:
    from kb.library import Library


def told(question: str, text: str, quotes: Sequence[Quote], library: Library) -> tuple[str, list[Quote]]:
    """The text to show for an answer that stands on `quotes`, and the places it then stands on.

    An option is told with the way to it ("From Settings, tap ..") where the question asks how. What is no quote word for word, such as
    a cell named by its row, stays as it is; so does what several places say, and nothing that was quoted is ever left out.
    """
    if len(quotes) != 1 or " ".join(text.split()) != " ".join(quotes[0].text.split()):
        return text, list(quotes)
    quote = quotes[0]
    held = [span for span in spans(quote.passage.text) if quote.start <= span.start < quote.end]
    if not held or held[0].start != quote.start:
        return text, list(quotes)
    best = Quote(quote.passage, held[0].start, held[0].end, quote.score)
    around = complete(question, best, compose(question, best), library)
    if not all(any(_covers(each, quote, span.start, span.end) for each in around) for span in held):
        return text, list(quotes)
    return "\n".join(each.text for each in around), around


def _covers(one: Quote, other: Quote, start: int, end: int) -> bool:
    return one.passage.id == other.passage.id and one.start <= start and end <= one.end
