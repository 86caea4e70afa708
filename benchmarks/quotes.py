"""How often the quote that a written answer starts from holds the answer: by the units' own vectors, and by reading the passages.

    python -m benchmarks.quotes NAME=HOME [NAME=HOME ..] [--split held-out]

Each HOME is a library that was taught (structure is enough), NAME its name in `benchmarks/questions.jsonl` and
`benchmarks/questions-fitting.jsonl`. Each question that the library answers is put to the search, as it is and in the order of
`surrogates.rerank`; units of its passages are ranked by `quotes.rank_units`, as where they cannot be read, and by the reader. Right
is a quote that holds the facts listed with the question.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.human import questions
from benchmarks.reader import fitting_questions, is_right
from kb.library import Library
from surrogates import interaction
from surrogates.procedures import complete
from surrogates.quotes import Quote, compose, with_context
from surrogates.router import HITS, Resources, best_units
from surrogates.scheduling import Scheduler
from surrogates.settings import Settings
from surrogates.surrogate import Surrogate

WAYS = ("search, vectors", "search, read", "reranked, vectors", "reranked, read")


def main() -> None:
    """Print shares by library, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("homes", nargs="+", metavar="NAME=HOME")
    parser.add_argument("--split", default="held-out", choices=("held-out", "development", "fitting"))
    chosen = parser.parse_args()
    figures: dict[str, Any] = {}
    every: list[list[tuple[bool, int]]] = []
    for name, _, home in (each.partition("=") for each in chosen.homes):
        found = list(judge(name, Path(home), chosen.split))
        every += found
        if found:
            figures[name] = report(name, found)
    print(json.dumps({"benchmark": "quotes", "split": chosen.split, **figures, "all": report("all", every)}))


def judge(name: str, home: Path, split: str) -> Iterator[list[tuple[bool, int]]]:
    """For each question and each of `WAYS`: is the quote right, and how many words has it?"""
    lines = fitting_questions(name) if split == "fitting" else questions(name, split)
    with Library(home) as library, Scheduler(Settings()) as scheduler:
        interaction.read(library)
        surrogate = Surrogate(library)
        resources = Resources(library, surrogate, scheduler)
        for line in lines:
            if line.get("answerable", True):
                yield [_judged(line, best, library) for best in _best(line["question"], resources)]


def _best(question: str, resources: Resources) -> Iterator[Quote]:
    for hits in (resources.library.search(question, limit=HITS), resources.surrogate.search(question, limit=HITS)):
        for reading in (None, resources.surrogate.reading(question, hits)):
            yield best_units(question, hits, reading, resources)[0]


def _judged(line: dict[str, Any], best: Quote, library: Library) -> tuple[bool, int]:
    question = line["question"]
    text = "\n".join(quote.text for quote in complete(question, best, with_context(best, compose(question, best)), library))
    return is_right(line, text, best.passage), len(text.split())


def report(name: str, found: list[list[tuple[bool, int]]]) -> dict[str, Any]:
    """Print and return the share of right quotes and their words."""
    means = np.asarray(found, float).mean(axis=0)  # [ways, 2]
    figures = {
        way: {"right": round(float(right), 3), "words": round(float(words), 1)} for way, (right, words) in zip(WAYS, means, strict=True)
    }
    print(f"{name:10s} {len(found):5d} questions: {figures}", flush=True)
    return {"questions": len(found), **figures}


if __name__ == "__main__":
    main()
