"""Look-alikes and foreign questions through the whole of the instant answer: search, reading, gates and confidence.

    python -m benchmarks.lookalikes HOME [HOME ..] [--kind 300] [--foreign 300] [--data ../shared/data]

Questions of the bank of taught libraries are changed as `benchmarks.gates` changes them, so that they need another answer. A false hit is
a changed question that is answered instantly, at the lowest level or at the default one, with the answer that its original gets. A
look-alike may be answered rightly from another place; that is none. Foreign questions (CLINC150 out of scope, XQuAD) must not be
answered at all.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from benchmarks.gates import Known, changed_questions
from benchmarks.surrogate import foreign_cases
from kb.library import Library
from surrogates.prediction import Prediction
from surrogates.surrogate import Surrogate
from surrogates.threshold import FLOORS

HERE = Path(__file__).resolve().parent
LEVELS = {"lowest": FLOORS[0], "default": FLOORS[2]}


def main() -> None:
    """Print a table by kind, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("homes", nargs="+", type=Path)
    parser.add_argument("--kind", type=int, default=300, help="pairs of each kind, over all homes")
    parser.add_argument("--foreign", type=int, default=300, help="foreign questions of each home")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    chosen = parser.parse_args()
    pairs, hits, foreign = Counter[str](), Counter[str](), Counter[str]()
    for home in chosen.homes:
        with Library(home) as library:
            surrogate = Surrogate(library)
            for kind, original, changed in drawn(surrogate, chosen.kind // len(chosen.homes)):
                pairs[kind] += 1
                for level in false_hit(surrogate, original, changed):
                    hits[f"{kind} {level}"] += 1
                    if chosen.show:
                        print(f"{level} {kind}: {original} / {changed}")
            for case in random.Random(2).sample(foreign_cases(chosen.data), chosen.foreign):
                foreign["asked"] += 1
                foreign.update(levels(predict(surrogate, case.question)))
    for kind, count in sorted(pairs.items()):
        print(f"{kind:12s} {count:5d} pairs, false hits " + ", ".join(f"{hits[f'{kind} {level}']} ({level})" for level in LEVELS))
    print(f"foreign      {dict(foreign)}")
    result: dict[str, Any] = {"benchmark": "lookalikes", "pairs": dict(pairs), "false_hits": dict(hits), "foreign": dict(foreign)}
    print(json.dumps(result))


def drawn(surrogate: Surrogate, most: int) -> list[tuple[str, str, str]]:
    """(kind, original, changed), at most so many of each kind, drawn at random."""
    surrogate.follow()
    view, connection = surrogate.view, surrogate.library.connection
    answers = dict(connection.execute("SELECT id, text FROM bank_answers").fetchall())
    known = [Known(text, answers[int(answer)]) for text, answer in zip(view.texts, view.answer_ids, strict=True)]
    by_kind: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for kind, original, changed, _ in changed_questions(known, surrogate.rarity):
        by_kind[kind].append((kind, original, changed))
    draw = random.Random(1)
    return [pair for _, found in sorted(by_kind.items()) for pair in draw.sample(found, min(most, len(found)))]


def false_hit(surrogate: Surrogate, original: str, changed: str) -> list[str]:
    """The levels at which the changed question is answered with the original's answer."""
    found = predict(surrogate, changed)
    reached = levels(found)
    if not reached or found is None:
        return []
    own = predict(surrogate, original)
    return reached if own is not None and own.text == found.text else []


def levels(prediction: Prediction | None) -> list[str]:
    """The levels at which it would be given."""
    if prediction is None or prediction.refused_by is not None:
        return []
    return [name for name, least in LEVELS.items() if prediction.confidence >= least]


def predict(surrogate: Surrogate, question: str) -> Prediction | None:
    """As the app asks it."""
    return surrogate.predict(question, surrogate.search(question))


if __name__ == "__main__":
    main()
