"""Fits the extractive reader on people's questions, and says how well it does on libraries that it was not fitted on.

    python -m benchmarks.reader NAME=HOME [NAME=HOME ..] [--out FILE]

Each HOME is a library that was taught (structure is enough), NAME its name in `benchmarks/questions.jsonl` (development questions only) and
`benchmarks/questions-fitting.jsonl`. The ranker learns, question by question, to put a unit first whose shown text is right; the head then
learns on the best units whether they are. The figures are from five turns with whole documents left out; the weights that are printed, or
written to FILE as JSON, are fitted on everything.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.human import is_right_text, questions
from kb.library import Library
from surrogates import interaction, reader, risk
from surrogates.risk import Judged
from surrogates.surrogate import Surrogate

FITTING = Path(__file__).resolve().parent / "questions-fitting.jsonl"
FOLDS = 5
RANKER_STRENGTH, HEAD_STRENGTH = 0.01, 4.0
FRONT = len(reader.HEAD_NAMES) - len(reader.NAMES)

Table = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """One question: features of all units [u, k], which of them are right when shown [u], and the passage of each [u]."""

    line: dict[str, Any]
    table: Table
    right: NDArray[np.bool_]
    passages: NDArray[np.int64]
    missing: tuple[tuple[float, float], ...]
    passes: NDArray[np.bool_]

    @property
    def fold(self) -> int:
        """Whole documents stay together; an unanswerable question goes by its own name."""
        places = self.line.get("places") or [{"documents": [self.line["id"]]}]
        return zlib.crc32((self.line["library"] + places[0]["documents"][0]).encode()) % FOLDS


def main() -> None:
    """Print figures and weights, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("homes", nargs="+", metavar="NAME=HOME")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    named = [each.partition("=") for each in chosen.homes]
    asked = [entry for name, _, home in named for entry in ask(name, home)]
    folds = np.asarray([entry.fold for entry in asked])
    judged: list[Judged] = []
    for fold in range(FOLDS):
        ranker = fit_ranker([entry for entry in asked if entry.fold != fold])
        head, bias = fit_head([entry for entry in asked if entry.fold != fold], ranker)
        judged += [judge(entry, ranker, head, bias) for entry in asked if entry.fold == fold]
    in_order = [asked[row] for fold in range(FOLDS) for row in np.flatnonzero(folds == fold)]
    figures = report(in_order, judged)
    ranker = fit_ranker(asked)
    head, bias = fit_head(asked, ranker)
    weights = {"ranker": [round(float(w), 3) for w in ranker], "head": [round(float(w), 3) for w in head], "bias": round(bias, 3)}
    if chosen.out:
        chosen.out.write_text(json.dumps(weights), encoding="utf-8")
    print(json.dumps({"benchmark": "reader", **figures, **weights}))


def ask(name: str, home: str) -> list[Asked]:
    """All questions over one library that may be learned from."""
    lines = [json.loads(line) for line in FITTING.read_text(encoding="utf-8").splitlines()]
    lines = [*questions(name, "development"), *(line for line in lines if line["library"] == name)]
    with Library(Path(home)) as library:
        interaction.read(library)
        surrogate = Surrogate(library)
        found = [_ask(surrogate, line) for line in lines]
    print(f"{name}: {len(lines)} questions", flush=True)
    return [entry for entry in found if entry is not None]


def _ask(surrogate: Surrogate, line: dict[str, Any]) -> Asked | None:
    reading = surrogate.reading(line["question"], surrogate.library.search(line["question"]))
    if reading is None:
        return None
    quoted = [reader.quotes(line["question"], place, surrogate.library) for place in reading.places]
    texts = ["\n".join(quote.text for quote in quotes) for quotes in quoted]
    right = [is_right_text(line, text, [place.passage]) for place, text in zip(reading.places, texts, strict=True)]
    table = np.stack([place.features for place in reading.places])
    missing = tuple(reading.missing_of(place) for place in reading.places)
    passes = [surrogate.gate_of(line["question"], place, text) is None for place, text in zip(reading.places, texts, strict=True)]
    passages = np.asarray([place.passage.id for place in reading.places])
    return Asked(line, table, np.asarray(right), passages, missing, np.asarray(passes))


def fit_ranker(asked: Sequence[Asked]) -> Table:
    """Listwise: the right units' share of the softmax, over the questions that have one; scaled features, weights as for plain ones."""
    chosen = [entry for entry in asked if entry.right.any()]
    scale = np.concatenate([entry.table for entry in chosen]).std(axis=0) + 1e-6

    def loss(weights: Table) -> tuple[float, Table]:
        value, slope = RANKER_STRENGTH * len(chosen) * float(weights @ weights), 2 * RANKER_STRENGTH * len(chosen) * weights
        for entry in chosen:
            rows = entry.table / scale
            scores = rows @ weights
            all_of, right_of = _softmax(scores), _softmax(np.where(entry.right, scores, -np.inf))
            value -= float(_log_sum(scores[entry.right]) - _log_sum(scores))
            slope = slope - (right_of - all_of) @ rows
        return value, slope

    found = minimize(loss, np.zeros(len(reader.NAMES)), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return np.asarray(found.x / scale, np.float64)


def fit_head(asked: Sequence[Asked], ranker: Table) -> tuple[Table, float]:
    """Logistic regression over the best unit of each question; plain weights and bias."""
    table = np.stack([head_features(entry, ranker) for entry in asked])  # [n, k]
    right = np.asarray([bool(entry.right[best(entry, ranker)]) for entry in asked], np.float64)
    middle, scale = table.mean(axis=0), table.std(axis=0) + 1e-6
    rows = np.column_stack([(table - middle) / scale, np.ones(len(table))])

    def loss(weights: Table) -> tuple[float, Table]:
        logits = rows @ weights
        pull = HEAD_STRENGTH * np.append(weights[:-1], 0.0)
        value = float(np.logaddexp(0, logits).sum() - right @ logits + 0.5 * pull @ weights)
        return value, rows.T @ (1 / (1 + np.exp(-logits)) - right) + pull

    found = minimize(loss, np.zeros(rows.shape[1]), jac=True, method="L-BFGS-B").x
    weights = found[:-1] / scale
    return weights, float(found[-1] - weights @ middle)


def best(entry: Asked, ranker: Table) -> int:
    """The unit that the ranker puts first."""
    return int((entry.table @ ranker).argmax())


def head_features(entry: Asked, ranker: Table) -> Table:
    """As the reader makes them for its best unit."""
    scores, first = entry.table @ ranker, best(entry, ranker)
    return reader.head_features(scores, entry.passages, first, entry.missing[first], entry.table[first])


def judge(entry: Asked, ranker: Table, head: Table, bias: float) -> Judged:
    """Confidence, 0 where a gate refuses, and whether the answer is right."""
    first = best(entry, ranker)
    logit = float(head_features(entry, ranker) @ head + bias)
    return Judged(1 / (1 + float(np.exp(-logit))) if entry.passes[first] else 0.0, bool(entry.right[first]))


def report(asked: Sequence[Asked], judged: Sequence[Judged]) -> dict[str, Any]:
    """Print and return how the held-out turns went, for all questions and for the development ones."""
    figures: dict[str, Any] = {}
    libraries = sorted({entry.line["library"] for entry in asked})
    for group in ("all", "development", *libraries):
        both = zip(asked, judged, strict=True)
        rows = [(entry, verdict) for entry, verdict in both if group in ("all", entry.line["split"], entry.line["library"])]
        answerable = sum(entry.line.get("answerable", True) for entry, _ in rows)
        levels = {at: (sum(v.confidence >= at for _, v in rows), sum(v.confidence >= at and not v.right for _, v in rows)) for at in LEVELS}
        right = sum(verdict.right for _, verdict in rows)
        lost = sum(verdict.right and not verdict.confidence for _, verdict in rows)
        can = sum(bool(entry.right.any()) for entry, _ in rows)
        aurc = risk.aurc([verdict for _, verdict in rows])
        counts = f"{answerable} answerable, {can} could be, {right} best right, {lost} of them refused"
        print(f"{group:12s} {len(rows)} asked, {counts}, aurc {aurc:.3f}, {levels}")
        figures[group] = {
            "asked": len(rows),
            "answerable": answerable,
            "right": right,
            "refused": lost,
            "aurc": round(aurc, 4),
            "levels": levels,
        }
    return figures


LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9)


def _softmax(scores: Table) -> Table:
    weights = np.exp(scores - scores.max())
    return np.asarray(weights / weights.sum(), np.float64)


def _log_sum(scores: Table) -> float:
    top = float(scores.max())
    return top + float(np.log(np.exp(scores - top).sum()))


if __name__ == "__main__":
    main()
