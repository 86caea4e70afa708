"""What instant answers cost or gain in quality: the same questions with the surrogate on and off.

    python -m benchmarks.routes --home DIR [--model PACK] [--show]

DIR is the home of a taught and trained library of the phone manual; it is copied first and stays as it is. Each of the 50 expert questions
is put to the surrogate and to the engine. With the surrogate on, the answer is the instant one where it is sure enough at a level, else the
engine's; off, always the engine's. Token F1 against the expert's answer and whether the right section is cited, by route and level.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.answers import DATA, Asked, phone_questions, token_f1
from kb.library import Library
from surrogates import threshold
from surrogates.router import HITS, Resources, answer
from surrogates.scheduling import Scheduler
from surrogates.settings import LEVELS, Settings
from surrogates.surrogate import Surrogate


@dataclass(frozen=True)
class Said:
    """One answer against the expert's."""

    text: str
    f1: float
    in_section: bool


@dataclass(frozen=True)
class Pair:
    """One question both ways; `confidence` 0 where a gate refused or nothing was found. `route` is that of the answer with it off."""

    question: str
    instant: Said
    confidence: float
    engine: Said
    route: str


def main() -> None:
    """Print a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="a pack; the default model without it")
    parser.add_argument("--show", action="store_true", help="list the instant answers that are worse than the engine's")
    chosen = parser.parse_args()
    if not DATA.is_dir():
        raise SystemExit(f"needs the development documents in {DATA}")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        shutil.copytree(chosen.home, home)
        with Library(home) as library, Scheduler(Settings(model=str(chosen.model) if chosen.model else None)) as scheduler:
            pairs = list(ask(Resources(library, Surrogate(library), scheduler)))
            accept = {level: threshold.accept_at(library, level) for level in range(1, LEVELS + 1)}
    if chosen.show:
        show(pairs, accept[1])
    print(json.dumps({"benchmark": "routes", "questions": len(pairs), **report(pairs, accept)}))


def ask(resources: Resources) -> Iterator[Pair]:
    """Every question both ways."""
    for question in phone_questions():
        prediction = resources.surrogate.predict(question.text, resources.surrogate.search(question.text, limit=HITS))
        instant, confidence = Said("", 0.0, False), 0.0
        if prediction is not None:
            headings = [source.passage.heading for source in prediction.sources]
            instant = _said(prediction.text, headings, question)
            confidence = 0.0 if prediction.refused_by else prediction.confidence
        written = answer(question.text, resources, route="engine")
        text = written.text if written.route == "engine" else ""
        headings = [citation.heading for citation in written.citations]
        yield Pair(question.text, instant, confidence, _said(text, headings if text else [], question), written.route)


def _said(text: str, headings: Sequence[Sequence[str]], question: Asked) -> Said:
    in_section = any(tuple(heading)[-len(question.section) :] == question.section for heading in headings)
    return Said(text, token_f1(text, question.answer), in_section)


def report(pairs: Sequence[Pair], accept: dict[int, float]) -> dict[str, Any]:
    """Off, on at each level, and the instant ones beside the engine's answers to the same questions."""
    off = _means([pair.engine for pair in pairs])
    routes = {route: sum(pair.route == route for pair in pairs) for route in sorted({pair.route for pair in pairs})}
    print(f"off            {off} {routes}")
    levels = {}
    for level, least in accept.items():
        fast = [pair for pair in pairs if pair.confidence >= least]
        levels[level] = {
            "accept_at": round(least, 3),
            "answered_instantly": len(fast),
            "on": _means([pair.instant if pair.confidence >= least else pair.engine for pair in pairs]),
            "instant": _means([pair.instant for pair in fast]),
            "engine_on_the_same": _means([pair.engine for pair in fast]),
        }
        print(f"on at level {level}  {levels[level]}")
    return {"off": off, "off_routes": routes, "levels": levels}


def _means(said: Sequence[Said]) -> dict[str, float]:
    count = max(1, len(said))
    return {
        "f1": round(sum(each.f1 for each in said) / count, 4),
        "right_section": round(sum(each.in_section for each in said) / count, 4),
        "words": round(sum(len(each.text.split()) for each in said) / count, 1),
    }


def show(pairs: Sequence[Pair], least: float) -> None:
    """The instant answers that are worse, the worst first."""
    worse = [pair for pair in pairs if pair.confidence >= least and pair.instant.f1 < pair.engine.f1 - 0.05]
    for pair in sorted(worse, key=lambda pair: pair.instant.f1 - pair.engine.f1):
        print(f"{pair.instant.f1:.2f} for {pair.engine.f1:.2f} at {pair.confidence:.2f}: {pair.question!r}")
        print(f"    instant {pair.instant.text[:200]!r}\n    engine  {pair.engine.text[:200]!r}")


if __name__ == "__main__":
    main()
