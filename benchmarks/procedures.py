"""Whether procedures come complete: every step of every numbered list of three and more steps, asked for from each of its steps.

    python -m benchmarks.procedures --work DIR [--show]

No question is searched for: each step in turn is the unit that was found to answer, and what is composed around it should hold all steps
of its list. The lists are read from the documents' passages by a plain rule of this file: lines that count on from 1 within a section, at
most 150 words apart, 600 in all. Figures for lists in one passage and for those that the passages split, with and without completion.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.answers import DATA, open_library
from kb.library import Library
from kb.records import Passage
from surrogates.procedures import complete
from surrogates.quotes import Quote, compose
from surrogates.units import spans

LIBRARIES = ("klipper_docs", "marlin_docs", "rosi_training")
NUMBERED = re.compile(r"^\s*\(?(\d{1,2})[.)]\s+\S")
QUESTION = "How do I do this?"
APART, LONGEST = 150, 600
"""Words."""


@dataclass(frozen=True)
class Step:
    """A numbered line of a passage, and how many words of the section stand before it."""

    passage: Passage
    line: str
    number: int
    words_before: int


def main() -> None:
    """Print the figures by library, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--show", action="store_true", help="list what comes back incomplete")
    chosen = parser.parse_args()
    if not DATA.is_dir():
        raise SystemExit(f"needs the development documents in {DATA}")
    result: dict[str, dict[str, Any]] = {}
    for name in LIBRARIES:
        with open_library(chosen.work, name) as library:
            counts: Counter[str] = Counter()
            for steps in procedures(library):
                counts.update(ask(steps, library, chosen.show))
        result[name] = dict(sorted(counts.items()))
        print(f"{name:22s} {result[name]}")
    total: Counter[str] = Counter()
    for figures in result.values():
        total.update(figures)
    print(json.dumps({"benchmark": "procedures", **dict(sorted(total.items())), "libraries": result}))


def procedures(library: Library) -> Iterator[list[Step]]:
    """The numbered lists of each section, three steps at least."""
    for _, group in groupby(library.passages(), key=lambda passage: (passage.revision_id, passage.heading)):
        steps = list(_numbered(list(group)))
        run: list[Step] = []
        for step in [*steps, None]:
            if step is not None and run and step.number == run[-1].number + 1 and step.words_before - run[-1].words_before <= APART:
                run.append(step)
                continue
            if len(run) >= 3 and run[0].number <= 1 and run[-1].words_before - run[0].words_before <= LONGEST - APART:
                yield run
            run = [step] if step is not None else []


def _numbered(passages: Sequence[Passage]) -> Iterator[Step]:
    words, seen = 0, ""
    for passage in passages:
        for line in passage.text.splitlines():
            match = NUMBERED.match(line)
            if match and line not in seen:
                yield Step(passage, line, int(match.group(1)), words)
            words += len(line.split())
        seen = passage.text


def ask(steps: Sequence[Step], library: Library, show: bool) -> Counter[str]:
    """Each step of one list in turn as the unit that was found."""
    place = "split" if len({step.passage.id for step in steps}) > 1 else "whole"
    counts = Counter({f"{place}_lists": 1})
    for step in steps:
        start = step.passage.text.index(step.line)
        span = next(span for span in spans(step.passage.text) if span.start >= start and span.is_step)
        best = Quote(step.passage, span.start, span.end)
        composed = compose(QUESTION, best)
        completed = complete(QUESTION, best, composed, library)
        counts[f"{place}_asked"] += 1
        counts[f"{place}_complete_before"] += _holds_all(composed, steps)
        is_complete = _holds_all(completed, steps)
        counts[f"{place}_complete"] += is_complete
        if show and not is_complete:
            print(f"INCOMPLETE {step.passage.document} {step.passage.heading[-1:]} from {step.line[:60]!r}, of {len(steps)} steps")
    return counts


def _holds_all(quotes: Sequence[Quote], steps: Sequence[Step]) -> bool:
    said = "\n".join(quote.text for quote in quotes)
    return all(step.line.strip() in said for step in steps)


if __name__ == "__main__":
    main()
