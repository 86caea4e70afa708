"""Question-answer pairs that a document's own structure gives, without any model: rows, codes, values, steps, tasks, definitions.

A table row asks for what its columns name, a heading for the task or thing that it names. The answer is text of the passage.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from kb.passages import sentences
from surrogates.pairs import Pair, Quote
from surrogates.rows import row_pairs
from surrogates.verbs import task
from surrogates.wording import content, words

if TYPE_CHECKING:
    from kb.records import Passage

LONGEST_ANSWER = 1_200
LONGEST_SECTION = 900
STEP = re.compile(r"^\s*(?:step\s+)?\(?\d{1,2}[.):]\s+\S", re.IGNORECASE)
LABELLED = re.compile(r"^\s*(?:[-•*]\s+)?(?P<label>[A-Z$][^:;.|?!]{1,60}?)\s*:\s+(?P<value>\S.*)$")
QUESTION_WORD = re.compile(r"^(?:how|what|where|when|why|which|who|can|does|do|is|are|should)(?:'s|\b)", re.IGNORECASE)
DEFINITION = re.compile(
    r"^(?P<subject>(?:The |An? )?[A-Za-z][\w/+&' -]{2,50}?) (?:is|are|stands for|refers to|means) (?:an? |the |used |designed |not )?\w"
)
PURPOSE = re.compile(r"\b(?:is|are) (?:used|designed|intended|needed|required) (?:to|for)\b")
_TROUBLE = re.compile(
    r"^(?:my|i) \S+ \S+"
    r"|\b(?:doesn't|does not|won't|will not|can't|cannot|isn't|is not|fails?|keeps?|stopped|stops|turns off|is missing|is lost)\b",
    re.IGNORECASE,
)
CONDITION = re.compile(r"^(?:If|When|In case) (?P<condition>[^,]{8,90}), (?P<advice>[^.]{8,}.*)$")
ENUMERATION = re.compile(r"^(?:\d+(?:\.\d+)*\.?|[A-Z]\.|(?:chapter|section|appendix|annex)\s+[\dA-Z]+[.:]?)\s+", re.IGNORECASE)
_POINTS_BACK = """it this that these those they he she there here such both one you your we our i my once when if while after before
although
since for in on at to by with as note because another each all some most many what which who how"""
POINTS_BACK = frozenset(_POINTS_BACK.split())
# "$27 - Homing pull-off, mm", "E-17: Oil level low": a code that names what the rest of the heading says
_CODED = re.compile(
    r"^(?P<codes>[^\s:]*\d[^\s:]*(?:(?:, | and |/)[^\s:]*\d[^\s:]*)*|\$\w+(?:=\w*)?)"
    r"(?:\s+[-–—]\s*|:\s+)(?P<name>(?:\[[^\]]*\] )?[^\W\d_].*)$"  # noqa: RUF001 - headings are printed with dashes
)
_UNIT_TAIL = re.compile(r",\s*[^\s,]{1,14}$")
# Headings that name a part of every document, not a thing.
_GENERIC = """introduction overview general notes note contents index description usage example examples parameters summary background
references appendix glossary faq miscellaneous other others information warning warnings caution cautions notice preface foreword features
details more options remarks prerequisites requirements see also about table figure tip tips important"""


def pairs(passages: Sequence[Passage], shared_headings: frozenset[str] = frozenset()) -> list[Pair]:
    """Pairs of one document's passages, given in reading order.

    `shared_headings` are last headings (lower case) that several sections have: their questions name the section above too.
    """
    made: list[Pair] = []
    for _, group in groupby(passages, key=lambda passage: (passage.document_id, passage.heading)):
        section = list(group)
        made += heading_pairs(section, shared_headings)
        for passage in section:
            made += row_pairs(passage)
            made += labelled_pairs(passage)
            made += definition_pairs(passage)
            made += condition_pairs(passage)
    return made


def heading_pairs(section: Sequence[Passage], shared_headings: frozenset[str] = frozenset()) -> Iterator[Pair]:
    """Questions that the heading asks or names, answered by the section's steps, or its text where that is short."""
    if not section[0].heading:
        return
    quotes = _section_answer(section)
    title = clean_title(section[0].heading[-1])
    if not quotes or not title:
        return
    above = clean_title(section[0].heading[-2]) if len(section[0].heading) > 1 else ""
    place = f" in {above}" if title.casefold() in shared_headings and above else ""
    text = _quoted(section, quotes)
    for question in heading_questions(title, place):
        yield Pair(question, text, quotes, "structure")


def heading_questions(title: str, place: str = "") -> list[str]:
    """Questions for a section called `title`; `place` tells sections with one title apart. Empty where the title names nothing.

    >>> heading_questions("Replacing the filter"), heading_questions("$20 - Soft limits, boolean")[:2]
    (['How do I replace the filter?'], ['What are soft limits?', 'How do I use soft limits?'])
    """
    if QUESTION_WORD.match(title) and len(words(title)) > 2:
        return [title.rstrip("?") + f"{place}?"]
    if not content(title) or len(words(title)) > 9 or content(title) <= _generic_stems():
        return []
    coded = _CODED.match(title.replace("`", ""))
    if coded and content(coded.group("name")):
        return _coded_questions(_codes(coded.group("codes")), coded.group("name"), place)
    doing = task(title)
    if doing:
        return [f"How do I {doing}{place}?"]
    if _TROUBLE.search(title):
        return [f"What should I do if {title[0].lower() if not title[1:2].isupper() else title[0]}{title[1:]}{place}?"]
    if title.casefold().startswith(("if ", "when ")):
        return [f"What should I do {title[0].lower()}{title[1:]}{place}?"]
    return noun_questions(title, place)


def _coded_questions(codes: Sequence[str], name: str, place: str) -> list[str]:
    """A name with a unit behind it is a quantity, not a task; the code is asked for together with the name, as people do either."""
    quantity = _UNIT_TAIL.sub("", name)
    named = heading_questions(name, place) if quantity == name else noun_questions(quantity, place)
    return [*named, *(f"What is {code}, {_lowered(quantity)}{place}?" for code in codes)]


def noun_questions(title: str, place: str = "") -> list[str]:
    """What to ask about a thing."""
    is_or_are = "are" if re.search(r"[^s]s$", title) else "is"
    return [f"What {is_or_are} {_lowered(title)}{place}?", f"How do I use {_lowered(title)}{place}?"]


def _lowered(title: str) -> str:
    return title if title[1:2].isupper() or re.search(r"\d", title.split()[0]) else title[0].lower() + title[1:]


def _codes(listed: str) -> list[str]:
    return [code for code in re.split(r", | and |/", listed) if code]


def labelled_pairs(passage: Passage) -> Iterator[Pair]:
    """ "Maximum pressure: 200 bar" and "Timer: counts down .." ask for what stands before the colon."""
    if passage.kind == "code":
        return
    for start, line in _lines(passage.text):
        match = LABELLED.match(line)
        if match is None or len(_rows_in(line)) > 1:
            continue
        label, value = match.group("label").strip(), match.group("value")
        if not is_name(label) or len(value) > LONGEST_ANSWER:
            continue
        quote = Quote(passage.id, start + match.start("label"), start + match.end("value"))
        yield Pair(_label_question(label, value), f"{label}: {value}", (quote,), "structure")


def definition_pairs(passage: Passage) -> Iterator[Pair]:
    """ "A relief valve is a .." defines, "The strainer is used to .." tells a purpose; only a first sentence counts."""
    if passage.kind != "prose":
        return
    first = sentences(passage.text)[0]
    match = DEFINITION.match(first)
    start = passage.text.find(first)
    if match is None or start < 0 or not is_name(match.group("subject")) or first.rstrip().endswith(":"):
        return
    subject = _without_article(match.group("subject"))
    is_or_are = "are" if re.search(r"[^s]s$", subject) else "is"
    question = f"What {is_or_are} {subject} used for?" if PURPOSE.search(first) else f"What {is_or_are} {subject}?"
    yield Pair(question, first, (Quote(passage.id, start, start + len(first)),), "structure")


def condition_pairs(passage: Passage) -> Iterator[Pair]:
    """ "If the motor overheats, stop the pump" answers what to do if the motor overheats."""
    if passage.kind == "code":
        return
    position = 0
    for sentence in sentences(passage.text):
        start = passage.text.find(sentence, position)
        match = CONDITION.match(sentence)
        position = max(position, start)
        if start < 0 or match is None or not task(match.group("advice")):
            continue
        condition = _from_the_asker(match.group("condition"))
        quote = Quote(passage.id, start, start + len(sentence))
        yield Pair(f"What should I do if {condition}?", sentence, (quote,), "structure")


def is_name(label: str) -> bool:
    """Whether a label can stand in a question: a few words with content, no pronoun at its head, no part that every document has."""
    said = words(label)
    return 1 <= len(said) <= 7 and said[0] not in POINTS_BACK and bool(content(label) - _generic_stems())


def clean_title(heading: str) -> str:
    """A heading without its numbering, trailing punctuation and marks."""
    return ENUMERATION.sub("", heading.strip()).strip(" .:#*-–—\t")  # noqa: RUF001 - headings are printed with dashes


def _section_answer(section: Sequence[Passage]) -> tuple[Quote, ...]:
    steps = tuple(quote for passage in section for quote in _steps(passage))
    if steps and sum(quote.end - quote.start for quote in steps) <= LONGEST_ANSWER:
        return steps
    text_passages = [passage for passage in section if passage.kind in ("prose", "list")]
    if not text_passages or len(text_passages) < len(section) or _is_bare(text_passages[0]):
        return ()
    total = sum(len(passage.text) for passage in text_passages)
    if total <= LONGEST_SECTION:
        return tuple(Quote(passage.id, 0, len(passage.text)) for passage in text_passages)
    return _opening(text_passages[0])


def _steps(passage: Passage) -> Iterator[Quote]:
    """The numbered lines of a passage, with what stands between them, as one quote; at least two."""
    lines = list(_lines(passage.text))
    numbered = [index for index, (_, line) in enumerate(lines) if STEP.match(line)]
    if len(numbered) < 2:
        return
    start = lines[numbered[0]][0]
    last_start, last = lines[numbered[-1]]
    yield Quote(passage.id, start, last_start + len(last))


def _opening(passage: Passage) -> tuple[Quote, ...]:
    """The first sentences of a long section, as many as make a short answer."""
    end = 0
    for sentence in sentences(passage.text):
        position = passage.text.find(sentence, end)
        if position < 0 or position + len(sentence) > LONGEST_SECTION // 2:
            break
        end = position + len(sentence)
    return (Quote(passage.id, 0, end),) if end else ()


def _is_bare(passage: Passage) -> bool:
    """Whether the passage says no more than its heading, or only points elsewhere."""
    return not content(passage.text) - content(" ".join(passage.heading)) or len(words(passage.text)) < 5


def _quoted(section: Sequence[Passage], quotes: Sequence[Quote]) -> str:
    texts = {passage.id: passage.text for passage in section}
    return "\n".join(texts[quote.passage_id][quote.start : quote.end] for quote in quotes)


def _label_question(label: str, value: str) -> str:
    doing = task(label)
    if doing:
        return f"How do I {doing}?"
    name = label if label[1:2].isupper() else label[0].lower() + label[1:]
    long_value = len(words(value)) > 8 and not re.match(r"^[-+±<>≤≥~]?\s*\d", value)
    return f"What does {name} do?" if long_value and task(value) else f"What is the {_without_article(name)}?"


def _without_article(name: str) -> str:
    return re.sub(r"^(?:the|an?)\s+", "", name, flags=re.IGNORECASE)


def _from_the_asker(condition: str) -> str:
    swapped = re.sub(r"\byour\b", "my", re.sub(r"\byou are\b", "I am", condition))
    return re.sub(r"\byou\b", "I", swapped)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    for line in text.split("\n"):
        yield start, line
        start += len(line) + 1


def _rows_in(line: str) -> list[str]:
    return re.findall(r"(?:^|; )[^:;]{1,60}: ", line)


def _generic_stems() -> frozenset[str]:
    return content(_GENERIC)
