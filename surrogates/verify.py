"""A written answer against its passages: what they do not support is replaced by the quote that it came from, or taken out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from surrogates.gates import negation_agrees
from surrogates.opposites import polarity_agrees
from surrogates.procedures import has_steps
from surrogates.quantities import facts, unsupported
from surrogates.quotes import Quote
from surrogates.units import is_row, spans
from surrogates.wording import Rarity, content, words

if TYPE_CHECKING:
    from kb.records import Passage

SUPPORT_AT_LEAST = 0.85  # idf-weighted share of a sentence's content words in its place and the question; see docs/benchmarks/asking.md
QUOTE_AT_LEAST = 0.5  # least likeness at which a failed sentence is taken to come from a unit
SAYS_AS_MUCH = 0.8  # least share of the quote's content words; below it the default model's texts answer worse than the quote
LOOSE_WORDS = 40  # a written answer may be longer than the quote up to here
ECHO = re.compile(r"^(?:answer|the answer is|excerpt \d+[^:\n]*|question|a|q)\s*:\s*", re.IGNORECASE)
PROMPT_PARTS = re.compile(r"\n\s*(?:question|excerpt \d+|passage \d+)\b.*", re.IGNORECASE | re.DOTALL)
MARKS = ".,;:!?()[]{}<>\"'`*“”‘’«»"  # around a word  # noqa: RUF001
COUNTS = frozenset(
    """two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty
    thirty forty fifty sixty seventy eighty ninety hundred thousand million billion half quarter third twice double triple dozen
    """.split()  # noqa: SIM905 - a list of words reads better as words
)
QUOTED = "Quoted from the document."


@dataclass(frozen=True)
class Verified:
    """A text of which every sentence is supported by `quotes`; `replaced` and `dropped` count sentences that were not."""

    text: str
    quotes: tuple[Quote, ...]
    replaced: int = 0
    dropped: int = 0


def tidy(written: str, *, is_finished: bool = True) -> str:
    """The answer without what small models add: prompt echoes, loops, an unfinished last sentence (unless it is all there is)."""
    text = PROMPT_PARTS.sub("", ECHO.sub("", written.strip())).strip()
    kept: list[tuple[int, int]] = []
    seen: set[tuple[str, ...]] = set()
    for span in spans(text):
        said = tuple(words(text[span.start : span.end]))
        if said and said in seen:
            break
        seen.add(said)
        kept.append((span.start, span.end))
    if not is_finished and len(kept) > 1 and not text[: kept[-1][1]].endswith((".", "!", "?", ":")):
        kept.pop()
    return text[kept[0][0] : kept[-1][1]] if kept else ""


def verify(written: str, question: str, passages: Sequence[Passage], rarity: Rarity) -> Verified:
    """Keep the sentences of a tidied answer that a passage supports, and replace the others by the unit they came from.

    `is_supported` says what is. The text is empty when nothing is left.
    """
    lines: list[str] = []
    quotes: list[Quote] = []
    replaced = dropped = 0
    for span in spans(written):
        sentence = written[span.start : span.end]
        source = _nearest_unit(sentence, passages, rarity)
        if source is None or source.score < QUOTE_AT_LEAST:
            dropped += 1
            continue
        if not is_supported(sentence, question, source, rarity):
            replaced += 1
            sentence = source.text
        if sentence not in lines:
            lines.append(sentence)
        if source not in quotes:
            quotes.append(source)
    return Verified(_joined(lines), tuple(quotes), replaced, dropped)


def settle(
    written: str, question: str, quotes: Sequence[Quote], passages: Sequence[Passage], rarity: Rarity, *, is_finished: bool = True
) -> Verified:
    """The text to show: what was written if all of it holds and it says what `quotes` say, else those.

    `quotes` are the composed answer (`compose`, `procedures.complete`); `passages` are those that the writer saw. Steps are always
    quoted: one that is left out or stands in another place is not told from words.
    """
    said = "\n".join(quote.text for quote in quotes)
    quoted = Verified(said, tuple(quotes), 1)
    if has_steps(quotes):
        return quoted
    verified = verify(tidy(written, is_finished=is_finished), question, passages, rarity)
    stands = bool(verified.text) and verified.replaced == verified.dropped == 0
    is_tight = len(verified.text.split()) <= max(LOOSE_WORDS, len(said.split()))
    if stands and is_tight and rarity.share(content(said), content(verified.text)) >= SAYS_AS_MUCH:
        return verified
    return replace(quoted, replaced=max(verified.replaced, 1), dropped=verified.dropped)


def is_supported(sentence: str, question: str, source: Quote, rarity: Rarity) -> bool:
    """Whether the place that a sentence comes from says the same.

    Its numbers, units and codes stand in the passage or the question, spelled alike and next to one another as they do there; the fields
    of a row are the row's; it denies what the unit denies and takes the same side (on, off); and nearly all its content words are in the
    unit, its neighbours, the headings or the question: words from all over the passage, put together anew, say something that the passage
    does not.
    """
    passage = source.passage
    known = "\n".join([*passage.heading, passage.text, question])
    if unsupported(sentence, known) or not exact(sentence) <= exact(known):
        return False
    if not _keeps_facts_together(sentence, question, source):
        return False
    if is_row(source.text) and not _fields(sentence) <= _fields(source.text):
        return False
    if not negation_agrees(sentence, source.text) or not polarity_agrees(sentence, source.text, ""):
        return False
    near = "\n".join([*passage.heading, _neighbourhood(source), question])
    return rarity.share(content(sentence), content(near)) >= SUPPORT_AT_LEAST


def exact(text: str) -> frozenset[str]:
    """What must be copied to the letter, whether or not it can be read as a quantity or a code.

    >>> sorted(exact("Set P_MAX to 42 bar, then wait twice."))
    ['42', '42 bar', 'p_max', 'twice']
    """
    found: set[str] = set()
    pieces = text.split()
    for piece, following in zip(pieces, [*pieces[1:], ""], strict=True):
        word = piece.strip(MARKS)
        is_number = any(character.isdigit() for character in word)
        if is_number or (len(word) > 1 and word.isupper()) or word.casefold() in COUNTS:
            found.add(word.casefold())
        if is_number and piece.endswith(word) and not any(character.isalpha() for character in word):
            found.add(f"{word} {following.strip(MARKS)}".casefold().strip())
    return frozenset(found)


def _fields(text: str) -> frozenset[str]:
    return frozenset(" ".join(field.strip(" .-*").casefold().split()) for field in text.split(";"))


def _keeps_facts_together(sentence: str, question: str, source: Quote) -> bool:
    """Whether the sentence names its facts one after the other as the unit and its neighbours do: a value moved to another label is wrong.

    Facts that only the question has may stand anywhere.
    """
    there = facts("\n".join([*source.passage.heading, _neighbourhood(source)]))
    said = tuple(fact for fact in facts(sentence) if fact in there or fact not in facts(question))
    return any(there[at : at + len(said)] == said for at in range(len(there) - len(said) + 1))


def _neighbourhood(source: Quote) -> str:
    pieces = spans(source.passage.text)
    at = next(index for index, span in enumerate(pieces) if span.start == source.start)
    return source.passage.text[pieces[max(at - 1, 0)].start : pieces[min(at + 1, len(pieces) - 1)].end]


def _nearest_unit(sentence: str, passages: Sequence[Passage], rarity: Rarity) -> Quote | None:
    """The unit that shares most of the sentence's content words; its score is that share."""
    said = content(sentence)
    best: Quote | None = None
    for passage in passages:
        for span in spans(passage.text):
            unit = content(passage.text[span.start : span.end])
            score = (rarity.share(said, unit) + rarity.share(unit, said)) / 2 if said and unit else 0.0
            if best is None or score > best.score:
                best = Quote(passage, span.start, span.end, score)
    return best


def _joined(lines: Sequence[str]) -> str:
    """Sentences on one line, list items and steps on lines of their own."""
    text = ""
    for line in lines:
        marked = any(span.is_item for span in spans(line))
        text += ("\n" if marked and text else " " if text else "") + line
    return text
