"""When to decline: how many questions that the documents answer are declined, and how many that they do not answer.

    python -m benchmarks.answerable NAME=HOME [NAME=HOME ..] [--split held-out] [--fit]

Each HOME is a library that was taught (structure is enough), NAME its name in `benchmarks/questions.jsonl` and
`benchmarks/questions-fitting.jsonl`. Judged are both ways of `surrogates.answerable`: by the evidence of the search alone, as long as
passages wait to be read, and with the reader. Questions that nothing answers are people's of the same field (near misses), those asked of
other libraries, and CLINC150's to an assistant. `--fit` fits the evidence's weights and says how it does on libraries left out; the
reader's are fitted by `python -m benchmarks.reader`.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import logistic
from benchmarks.human import QUESTIONS
from kb.library import Library
from surrogates import answerable, interaction
from surrogates.answerable import Evidence
from surrogates.router import HITS
from surrogates.surrogate import Surrogate
from surrogates.wording import Rarity

HERE = Path(__file__).resolve().parent
FITTING = HERE / "questions-fitting.jsonl"
CLINC = HERE.parent.parent / "shared" / "data" / "clinc150" / "data" / "data_full.json"
FIELDS = {
    **dict.fromkeys(("klipper", "plastic", "marlin"), "printing"),
    **dict.fromkeys(("grbl", "lcnc", "lcnca", "lcncb"), "milling"),
    **dict.fromkeys(("instr", "devices", "office", "ups", "phone"), "devices"),
}
"""Libraries whose questions may be answered by one another."""
OF_EACH, OUT_OF_SCOPE = 8, 50
"""Questions of each other library, and of CLINC150, that a library is asked."""
STRANGER = 2.0
"""What one of these counts in fitting, where a person's question over the library counts 1."""
DECLINED, DOUBTED = 0.09, 0.04
"""Share of the answerable questions that may be declined, a point below the aim; and by the evidence beside the reader."""
STRENGTH = 3.0

Table = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """A question to a library; `kind` is "answerable", "near miss", "other library" or "out of scope"."""

    library: str
    kind: str
    text: str
    evidence: Evidence
    read: float | None


def main() -> None:
    """Print shares declined by library and kind, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("homes", nargs="+", metavar="NAME=HOME")
    parser.add_argument("--split", default="held-out", choices=("held-out", "development", "fitting"))
    parser.add_argument("--fit", action="store_true")
    chosen = parser.parse_args()
    named = [each.partition("=") for each in chosen.homes]
    asked = [entry for name, _, home in named for entry in ask(name, home, chosen.split)]
    figures: dict[str, Any] = {"benchmark": "answerable", "split": chosen.split, **judge(asked)}
    print(json.dumps({**figures, **(fit(asked) if chosen.fit else {})}))


def ask(name: str, home: str, split: str) -> Iterator[Asked]:
    """People's questions over one library, and strangers'."""
    texts = [(line["question"], "answerable" if line.get("answerable", True) else "near miss") for line in lines(name, split)]
    with Library(Path(home)) as library:
        interaction.read(library)
        surrogate, rarity = Surrogate(library), Rarity.of_library(library.connection)
        for text, kind in [*texts, *strangers(name, split)]:
            hits = surrogate.search(text, limit=HITS)
            reading = surrogate.reading(text, hits)
            read = None if reading is None else reading.answerable(hits)
            yield Asked(name, kind, text, answerable.evidence(text, hits, rarity), read)


def lines(name: str, split: str) -> list[dict[str, Any]]:
    """The questions of one split over one library."""
    every = [json.loads(line) for file in (QUESTIONS, FITTING) for line in file.read_text(encoding="utf-8").splitlines()]
    return [line for line in every if line["library"] == name and line["split"] == split]


def strangers(name: str, split: str = "fitting") -> list[tuple[str, str]]:
    """Questions of libraries of other fields and of CLINC150, each with its kind; the same for the same split, others for another."""
    draw = random.Random(f"{name} {split}")
    every = [json.loads(line) for line in FITTING.read_text(encoding="utf-8").splitlines()]
    found: list[tuple[str, str]] = []
    for other in sorted({line["library"] for line in every} - {name}):
        theirs = [line["question"] for line in every if line["library"] == other and line.get("answerable", True)]
        if FIELDS.get(other, other) != FIELDS.get(name, name):
            found += [(text, "other library") for text in draw.sample(theirs, min(OF_EACH, len(theirs)))]
    return [*found, *((text, "out of scope") for text in draw.sample(out_of_scope(split), OUT_OF_SCOPE))]


def out_of_scope(split: str) -> list[str]:
    """CLINC150's questions that no assistant of it answers: its test part for held-out, the rest for others."""
    if not CLINC.is_file():
        raise SystemExit(f"{CLINC} is missing: the questions out of scope come from there")
    parts = json.loads(CLINC.read_text(encoding="utf-8"))
    return [text for part in (("oos_test",) if split == "held-out" else ("oos_train", "oos_val")) for text, _ in parts[part]]


def judge(asked: Sequence[Asked]) -> dict[str, Any]:
    """Print and return the shares declined."""
    figures: dict[str, Any] = {}
    for name in [*dict.fromkeys(entry.library for entry in asked), "all"]:
        for kind in dict.fromkeys(entry.kind for entry in asked):
            rows = [entry for entry in asked if name in (entry.library, "all") and entry.kind == kind]
            if rows:
                unread = np.mean([not answerable.is_enough(entry.evidence, None) for entry in rows])
                read = np.mean([not answerable.is_enough(entry.evidence, entry.read) for entry in rows])
                shares = {"unread": round(float(unread), 3), "read": round(float(read), 3)}
                print(f"{name:10s} {kind:14s} of {len(rows):4d} declined: {shares}")
                figures.setdefault(name, {})[kind] = {"of": len(rows), **shares}
    return figures


def fit(asked: Sequence[Asked]) -> dict[str, Any]:
    """Fit the evidence's weights; printed as `surrogates/answerable.py` should hold them, with what they decline of libraries left out."""
    table = np.array([astuple(entry.evidence) for entry in asked])
    right = np.array([entry.kind == "answerable" for entry in asked], np.float64)
    weight = np.array([1.0 if entry.kind in ("answerable", "near miss") else STRANGER for entry in asked])
    libraries, kinds = np.array([entry.library for entry in asked]), np.array([entry.kind for entry in asked])
    scores = np.zeros(len(asked))
    for name in dict.fromkeys(libraries):
        inside = libraries == name
        head = logistic.fit(table[~inside], right[~inside], weight[~inside], STRENGTH)
        scores[inside] = [head.confidence(row) for row in table[inside]]
    cut, doubted = (float(value) for value in np.quantile(scores[right == 1], (DECLINED, DOUBTED)))
    left_out = {kind: round(float((scores[kinds == kind] < cut).mean()), 3) for kind in dict.fromkeys(kinds.tolist())}
    print(f"libraries left out, declined below {cut:.3f}: {left_out}")
    head = logistic.fit(table, right, weight, STRENGTH)
    names = [entry.name for entry in fields(Evidence)]
    print("WEIGHTS = Evidence(" + ", ".join(f"{name}={value:.2f}" for name, value in zip(names, head.weights, strict=True)) + ")")
    print(f"BIAS = {head.bias:.2f}\nANSWERABLE_AT_LEAST, DOUBTED_BELOW = {cut:.3f}, {doubted:.3f}")
    return {"left_out": left_out, "cut": round(cut, 3)}


if __name__ == "__main__":
    main()
