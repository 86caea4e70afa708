"""The floor of written answers: no number, unit or code that stands neither in the cited passages nor in the question.

    python -m benchmarks.floor --work DIR [--model PACK] [--questions 420] [--tamper] [--show]

Questions of the development sets (a phone manual, Klipper, Grbl, encyclopedia articles) go through the router with route "engine". What
is shown is then read by regular expressions of this file, which share nothing with the code that settles the text, and compared with the
whole text and headings of the passages that the answer cites, and with the question.

`--tamper` puts a writer in the engine's place that copies the passage and changes a number, a unit or a code in every sentence: what the
check must keep from being shown. Without it the share of texts in the engine's own words is reported too. Libraries in DIR are kept.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from benchmarks import human
from benchmarks.answers import DATA, article_questions, articles, open_library, phone_questions
from engine.generate import Engine
from engine.request import Generation, Request
from kb.library import Library
from surrogates.answer import Answer
from surrogates.router import Resources, answer
from surrogates.scheduling import Scheduler
from surrogates.settings import Settings
from surrogates.surrogate import Surrogate
from surrogates.verify import QUOTED

NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
SPELLED = re.compile(
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fifteen|twenty|thirty|forty|fifty|sixty|hundred|thousand"
    r"|million|billion|half|twice|double|triple)\b",
    re.IGNORECASE,
)
UNIT = re.compile(
    r"\d\s?-?(?P<unit>%|°\s?[CF]?|Ω|[µumkMG]?(?:m|g|s|V|A|W|Hz|Pa|N|J|l|L|B|b|bit|bar)\b(?:/\w+)?|mm\d?|cm|km|rpm|psi|inch(?:es)?|in\b|ft\b|feet"
    r"|kB|KB|MB|GB|TB|mAh|Nm|Ncm|dBm?|baud|fps|mph|kbps|Mbps|Gbps|bytes?|bits?|pixels?|dpi|ppi|degrees?|percent|volts?|amps?|watts?|ohms?"
    r"|milliseconds?|microseconds?|seconds?|secs?|minutes?|mins?|hours?|days?|weeks?|months?|years?|met(?:er|re)s?|kilomet(?:er|re)s?|miles?"
    r"|millimet(?:er|re)s?|litres?|liters?|gallons?|pounds?|lbs?|kilograms?|kg|grams?|tonn?es?|tons?|steps?/mm|mm/s|mm/min)(?![A-Za-z])"
)
CODE = re.compile(r"[$#]\w+(?:[.-]\w+)*|(?<![\w])(?=[\w./-]*\d)(?=[\w./-]*[A-Za-z_])[A-Za-z0-9_](?:[\w./-]*\w)?|\b[A-Z]{2,}[A-Z0-9_]*\b")
"""What may be a code: a sign before letters or digits, letters and digits in one word, or capitals alone."""


@dataclass(frozen=True)
class Asked:
    """One development question, the answer as it was shown, and what it names that its sources do not."""

    library: str
    question: str
    answer: str
    route: str
    own_words: bool
    absent: tuple[str, ...]
    absent_from_quotes: tuple[str, ...]


def main() -> None:
    """Print the figures and every violation, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="a pack; the default model without it")
    parser.add_argument("--questions", type=int, default=420)
    parser.add_argument("--tamper", action="store_true")
    parser.add_argument("--show", action="store_true", help="list the answers in the engine's own words")
    chosen = parser.parse_args()
    if not DATA.is_dir():
        raise SystemExit(f"needs the development documents in {DATA}")
    settings = Settings(model=str(chosen.model) if chosen.model else None)
    with _Tampering(settings) if chosen.tamper else Scheduler(settings) as scheduler:
        asked = list(ask_all(chosen.work, scheduler, chosen.questions))
    if chosen.show:
        for entry in asked:
            if entry.own_words:
                print(f"own words: {entry.library}: {entry.question!r}\n    {entry.answer!r}")
    print(json.dumps({"benchmark": "floor tampered" if chosen.tamper else "floor", **report(asked)}))


def ask_all(work: Path, scheduler: Scheduler, limit: int) -> Iterator[Asked]:
    """Every question of the development sets, at most `limit`; the articles' fill what the manuals leave."""
    sets = {"phone": [entry.text for entry in phone_questions()]}
    for name in ("klipper", "grbl"):
        lines = [line for line in human.questions(name, "development") if line.get("answerable", True)]
        sets[human.FOLDERS[name]] = [line["question"] for line in lines]
    left = max(0, limit - sum(map(len, sets.values())))
    every = [entry.text for entry in article_questions(articles()[0::2])]
    sets["articles"] = every[:: max(1, len(every) // left)][:left] if left else []
    for name, questions in sets.items():
        with open_library(work, name) as library:
            resources = Resources(library, Surrogate(library), scheduler)
            for question in questions:
                yield judge(name, question, answer(question, resources, route="engine"), library)


def judge(name: str, question: str, given: Answer, library: Library) -> Asked:
    """Read the shown text against what it cites; a declined question says nothing."""
    if given.route != "engine":
        return Asked(name, question, given.text, given.route, False, (), ())
    passages = [library.passage(citation.passage_id) for citation in given.citations]
    texts = ["\n".join([*passage.heading, passage.text]) for passage in passages]
    quotes = ["\n".join([*citation.heading, citation.quote]) for citation in given.citations]
    absent, outside = (absent_from(given.text, [*sources, question]) for sources in (texts, quotes))
    return Asked(name, question, given.text, given.route, QUOTED not in given.notes, absent, outside)


def absent_from(text: str, sources: Sequence[str]) -> tuple[str, ...]:
    """What `text` names that no source does.

    >>> absent_from("Set E-17 to 2.5 mm.", ["E-17 is set to 2.5 bar"])
    ('2.5 mm',)
    """
    known = "\n".join(sources)
    numbers, spelled, codes = _numbers(known), {word.casefold() for word in SPELLED.findall(known)}, _codes(known)
    measures = _measures(known)
    return (
        *sorted(_numbers(text) - numbers),
        *sorted({word.casefold() for word in SPELLED.findall(text)} - spelled),
        *sorted(_codes(text) - codes),
        *sorted(" ".join(measure) for measure in _measures(text) - measures),
    )


def _numbers(text: str) -> set[str]:
    return {number.replace(",", "") if re.fullmatch(r"\d{1,3}(?:,\d{3})+", number) else number for number in NUMBER.findall(text)}


def _measures(text: str) -> set[tuple[str, str]]:
    """Numbers with the unit behind them, "2.5 mm" as ("2.5", "mm")."""
    found = ((match, re.search(r"[\d.,]*\d$", text[: match.start() + 1])) for match in UNIT.finditer(text))
    return {(number.group(), re.sub(r"\s", "", match.group("unit"))) for match, number in found if number}


def _codes(text: str) -> set[str]:
    return {code.casefold() for code in CODE.findall(text)}


def report(asked: Sequence[Asked]) -> dict[str, Any]:
    """Counts in all and by library; violations are printed."""
    for entry in asked:
        if entry.absent:
            print(f"VIOLATION {entry.library}: {entry.question!r}: {', '.join(entry.absent)}\n    {entry.answer!r}")
    figures = {name: _counts([entry for entry in asked if entry.library == name]) for name in dict.fromkeys(each.library for each in asked)}
    for name, counts in figures.items():
        print(f"{name:16s} {counts}")
    return {**_counts(asked), "libraries": figures}


def _counts(asked: Sequence[Asked]) -> dict[str, int]:
    written = [entry for entry in asked if entry.route == "engine"]
    return {
        "questions": len(asked),
        "written": len(written),
        "declined": len(asked) - len(written),
        "own_words": sum(entry.own_words for entry in written),
        "violations": sum(bool(entry.absent) for entry in written),
        "outside_the_quotes": sum(bool(entry.absent_from_quotes) for entry in written),
    }


class _Tampering(Scheduler):
    """A scheduler whose engine copies the passage from where the answer begins, with something changed in every sentence."""

    @contextmanager
    def for_question(self) -> Iterator[Engine]:
        yield cast(Engine, _Tamperer())


class _Tamperer:
    """Changes, in turn, the numbers, the units and the codes of what it copies; the same for the same request."""

    model_name = "tampering writer"
    context_tokens = 2_000

    def count_tokens(self, text: str) -> int:
        return len(text) // 3

    def generate(self, request: Request, on_text: Callable[[str], None] | None = None, should_stop: object = None) -> Generation:
        begun = request.segments[-1].text if request.segments[-1].role == "assistant" else ""
        copied = request.drafts[0]
        at = " ".join(copied.split()).find(begun)
        rest = " ".join(copied.split())[at + len(begun) :] if at >= 0 and begun else copied
        text = TAMPERINGS[len(rest) % len(TAMPERINGS)](rest)[:500]
        return Generation(text, 1, 1, "stop", 1.0, 0.0, 0.0, 0.0, 0.0, 0, "exact")


def _other_numbers(text: str) -> str:
    return NUMBER.sub(lambda match: str(int(re.sub(r"\D", "", match.group())[:9]) + 7), text)


def _other_units(text: str) -> str:
    return UNIT.sub(lambda match: match.group().replace(match.group("unit"), "psi" if match.group("unit") != "psi" else "bar"), text)


def _other_codes(text: str) -> str:
    return CODE.sub(lambda match: match.group() + "7", text)


def _added_value(text: str) -> str:
    return re.sub(r"(?<=\w)\.(?=\s|$)", " of 47 bar.", text)


TAMPERINGS = (_other_numbers, _other_units, _other_codes, _added_value)


if __name__ == "__main__":
    main()
