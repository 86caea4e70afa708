"""Fits the order of passages that `surrogates.rerank` gives, and says how often the right one stands among the first few.

    python -m benchmarks.rerank NAME=HOME [NAME=HOME ..] [--out]

Each HOME is a library that was taught (structure is enough), NAME its name in the question files, as for `benchmarks.reader`. A passage is
right if its text holds the facts that the question lists. Each library is ordered by weights fitted on the others; `--out` puts weights
fitted on all of them into `surrogates/reader.safetensors`, after which `benchmarks.reader` is to be run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import listwise
from benchmarks.human import questions
from benchmarks.reader import fitting_questions, is_right
from kb.library import Library
from surrogates import interaction, reader_weights
from surrogates.rerank import NAMES, RERANKED, features
from surrogates.surrogate import Surrogate

STRENGTH = 0.01
DEPTHS = (1, 3, 5, 10)

Table = NDArray[np.float64]


@dataclass(frozen=True)
class Listed:
    """What the search found for one question, in its order: features [n, len(NAMES)] and which passages are right [n]."""

    library: str
    table: Table
    right: NDArray[np.bool_]


def main() -> None:
    """Print shares, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("homes", nargs="+", metavar="NAME=HOME")
    parser.add_argument("--out", action="store_true", help="write the weights")
    chosen = parser.parse_args()
    named = [each.partition("=") for each in chosen.homes]
    found = [entry for name, _, home in named for entry in ask(name, Path(home))]
    figures: dict[str, Any] = {}
    ordered: list[Listed] = []
    for name in dict.fromkeys(entry.library for entry in found):
        own = [entry for entry in found if entry.library == name]
        weights = fit([entry for entry in found if entry.library != name] or own)
        ordered += [in_order(entry, weights) for entry in own]
        figures[name] = report(name, own, ordered[-len(own) :])
    figures["all"] = report("all", found, ordered)
    weights = fit(found)
    print(dict(zip(NAMES, np.round(weights, 3).tolist(), strict=True)))
    if chosen.out:
        reader_weights.save(reader_weights.FILE, replace(reader_weights.fitted(), rerank=weights))
    print(json.dumps({"benchmark": "rerank", **figures}))


def ask(name: str, home: Path) -> list[Listed]:
    """Every question that the library answers and that may be learned from."""
    lines = [line for line in [*questions(name, "development"), *fitting_questions(name)] if line.get("answerable", True)]
    with Library(home) as library:
        interaction.read(library)
        surrogate = Surrogate(library)
        return [listed for line in lines if (listed := _listed(surrogate, name, line)) is not None]


def _listed(surrogate: Surrogate, name: str, line: dict[str, Any]) -> Listed | None:
    hits = surrogate.library.search(line["question"], limit=RERANKED)
    asked = surrogate.question(line["question"])
    held = surrogate.interaction.passages([hit.passage.id for hit in hits])
    read = [hit for hit in hits if hit.passage.id in held and len(held[hit.passage.id].starts)]
    if asked is None or not read:
        return None
    right = [is_right(line, hit.passage.text, hit.passage) for hit in read]
    return Listed(name, features(asked, read, held), np.asarray(right))


def fit(found: Sequence[Listed]) -> Table:
    """Weights that put right passages first."""
    return listwise.fit([entry.table for entry in found], [entry.right for entry in found], STRENGTH)


def in_order(entry: Listed, weights: Table) -> Listed:
    """The same passages in the order of these weights."""
    order = np.argsort(-(entry.table @ weights), kind="stable")
    return replace(entry, table=entry.table[order], right=entry.right[order])


def report(name: str, before: Sequence[Listed], after: Sequence[Listed]) -> dict[str, Any]:
    """Print and return how often a right passage is among the first."""
    shares = {
        label: {depth: round(float(np.mean([entry.right[:depth].any() for entry in entries])), 3) for depth in DEPTHS}
        for label, entries in (("search", before), ("reranked", after))
    }
    print(f"{name:10s} {len(before):5d} questions, a right passage among the first: {shares}", flush=True)
    return {"questions": len(before), **shares}


if __name__ == "__main__":
    main()
