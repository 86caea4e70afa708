"""Fits the extractive reader on people's questions, and says how well it does on documents that it was not fitted on.

    python -m benchmarks.reader NAME=HOME [NAME=HOME ..] [--out FILE]

Each HOME is a library that was taught (structure is enough), NAME its name in `benchmarks/questions.jsonl` (development questions only) and
`benchmarks/questions-fitting.jsonl`. The ranker learns, question by question, to put a unit first whose shown text is right; the verifier
learns the same from single words (`benchmarks.verifier`); the head then learns on the best units whether they are. It also learns from
look-alikes: questions turned so that they need another answer, which the reader finds at the same place all the same. A text that holds
all facts of a question is right here wherever it stands: of 24 such answers that were read, 22 were, most often in a copy of the place.
A further head learns whether the passages tell the answer at all (`benchmarks.answerable`), from strangers' questions, too.

The figures are from turns with whole documents left out of verifier and head; the ranker's few weights are fitted on everything. So are
the weights that are written to FILE (`surrogates/reader.safetensors`).
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import listwise, logistic, verifier
from benchmarks.answerable import DECLINED, FITTING, STRANGER, strangers
from benchmarks.human import is_right_text, plain, questions
from kb.library import Library
from kb.records import Passage
from surrogates import interaction, reader, reader_weights, risk
from surrogates.contrast import denied
from surrogates.lookalikes import look_alikes
from surrogates.reader import Reading
from surrogates.reader_weights import Head, Weights
from surrogates.risk import Judged
from surrogates.surrogate import Surrogate
from surrogates.verifier import Verifier

FOLDS = 5
RANKER_STRENGTH, HEAD_STRENGTH = 0.01, 30.0
LOOK_ALIKE = 0.2
"""What a look-alike counts beside a person's question; with it they are a sixteenth of the whole."""
TELLING = 8
"""Characters of a question's facts from which a text that holds them all is right wherever it stands."""
STRANGE = "stranger"
"""Kind of a question that has nothing to do with the library; only whether a question is answerable is learned from it."""
LEVELS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)

Table = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """One question as it was read: which of the units are right when shown and when alone, and which pass the gates, [u] each.

    `kind` is how a look-alike was made, "" for the person's own question, `STRANGE` for one asked of another library.
    """

    line: dict[str, Any]
    kind: str
    reading: Reading
    right: NDArray[np.bool_]
    alone: NDArray[np.bool_]
    passes: NDArray[np.bool_]

    @property
    def fold(self) -> int:
        """Whole documents stay together; an unanswerable question goes by its own name."""
        places = self.line.get("places") or [{"documents": [self.line["id"]]}]
        return zlib.crc32((self.line["library"] + places[0]["documents"][0]).encode()) % FOLDS

    @property
    def is_answerable(self) -> bool:
        """Whether the documents tell the answer."""
        return bool(self.line.get("answerable", True))

    @cached_property
    def table(self) -> Table:
        """Features of all units, [u, k]."""
        return np.stack([place.features for place in self.reading.places])

    @cached_property
    def passages(self) -> NDArray[np.int64]:
        """The passage of each unit, [u]."""
        return np.asarray([place.passage.id for place in self.reading.places])


@dataclass(frozen=True)
class Best:
    """What the ranker puts first for a question: `features` of the head but for the verifier's score, and that."""

    asked: Asked
    row: int
    features: Table
    verified: float

    @property
    def right(self) -> bool:
        """Whether it answers the question."""
        return bool(self.asked.right[self.row])

    @property
    def weight(self) -> float:
        """What it counts in fitting."""
        return LOOK_ALIKE if self.asked.kind else 1.0


def main() -> None:
    """Print figures, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("homes", nargs="+", metavar="NAME=HOME")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    named = [each.partition("=") for each in chosen.homes]
    asked = [entry for name, _, home in named for entry in ask(name, home)]
    strange = [entry for entry in asked if entry.kind == STRANGE]
    own = [entry for entry in asked if not entry.kind]
    ranker = fit_ranker(own)
    asked = same_places([entry for entry in asked if entry.kind != STRANGE], ranker)
    axes = verifier.principal_axes([entry.reading.asked.tokens.full for entry in own])
    examples = [example(entry, axes) for entry in own]
    found: list[Best] = []
    for fold in range(FOLDS):
        fitted = verifier.fit([each for each, entry in zip(examples, own, strict=True) if entry.fold != fold])
        weights = with_verifier(ranker, fitted, axes, asked[0].reading.encoder)
        found += [best(entry, weights) for entry in [*asked, *strange] if entry.fold == fold]
        print(f"turn {fold + 1} of {FOLDS}", flush=True)
    confidences: dict[int, float] = {}
    tells: dict[int, float] = {}
    for fold in range(FOLDS):
        others = [each for each in found if each.asked.fold != fold]
        head, told = fit_head([each for each in others if each.asked.kind != STRANGE]), fit_answerable(others)
        for each in found:
            if each.asked.fold == fold:
                confidences[id(each)] = head.confidence(head_row(each))
                tells[id(each)] = told.confidence(head_row(each))
    declined = report_declined(found, [tells[id(each)] for each in found])
    every, found = found, [each for each in found if each.asked.kind != STRANGE]
    figures = report(found, [confidences[id(each)] for each in found])
    if chosen.out:
        weights = with_verifier(ranker, verifier.fit(examples), axes, asked[0].reading.encoder)
        head, plain, told = fit_head(found), fit_head(found, verified=False), fit_answerable(every)
        reader_weights.save(chosen.out, replace(weights, head=head, plain=plain, answerable=told))
    print(json.dumps({"benchmark": "reader", **figures, "declined": declined}))


def ask(name: str, home: str) -> list[Asked]:
    """All questions over one library that may be learned from, each with its look-alikes behind it, and strangers' at the end."""
    lines = [*questions(name, "development"), *fitting_questions(name)]
    with Library(Path(home)) as library:
        interaction.read(library)
        surrogate = Surrogate(library)
        found = [entry for line in lines for entry in _ask(surrogate, line)]
        for text, _ in strangers(name):
            strange = _read(surrogate, {"library": name, "id": text, "answerable": False}, text, STRANGE)
            found += [strange] if strange is not None else []
    print(f"{name}: {len(lines)} questions, {len(found)} with look-alikes", flush=True)
    return found


def fitting_questions(name: str) -> list[dict[str, Any]]:
    """The questions over one library that are there to fit on."""
    lines = (json.loads(line) for line in FITTING.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line["library"] == name]


def _ask(surrogate: Surrogate, line: dict[str, Any]) -> Iterator[Asked]:
    own = _read(surrogate, line, line["question"], "")
    if own is None:
        return
    yield own
    changed = [(other.kind, other.text) for other in look_alikes(line["question"])]
    denial = denied(line["question"])
    for kind, text in [*changed, *([("negation", denial)] if denial else [])]:
        found = _read(surrogate, line, text, kind)
        if found is not None:
            yield found


def _read(surrogate: Surrogate, line: dict[str, Any], question: str, kind: str) -> Asked | None:
    reading = surrogate.reading(question, surrogate.search(question))
    if reading is None:
        return None
    quoted = [reader.quotes(question, place, surrogate.library) for place in reading.places]
    texts = ["\n".join(quote.text for quote in quotes) for quotes in quoted]
    both = list(zip(reading.places, texts, strict=True))
    right = [not kind and is_right(line, text, place.passage) for place, text in both]
    alone = [not kind and is_right(line, place.unit, place.passage) for place, _ in both]
    passes = [surrogate.gate_of(question, place, text) is None for place, text in both]
    return Asked(line, kind, reading, np.asarray(right), np.asarray(alone), np.asarray(passes))


def is_right(line: dict[str, Any], text: str, passage: Passage) -> bool:
    """Whether a text from this passage answers the question of a line, by the facts that it lists."""
    said = plain(text)
    told = ([plain(fact) for fact in place["facts"]] for place in line.get("places", ()))
    return is_right_text(line, text, [passage]) or any(
        sum(map(len, facts)) >= TELLING and all(fact in said for fact in facts) for facts in told
    )


def same_places(asked: Sequence[Asked], ranker: Table) -> list[Asked]:
    """The questions, and of their look-alikes those that the ranker answers from the place that is right for the question itself."""
    kept: list[Asked] = []
    place: tuple[int, int] | None = None
    for entry in asked:
        first = entry.reading.places[first_row(entry, ranker)]
        at = (first.passage.id, first.span.start)
        if not entry.kind:
            place = at if entry.right[first_row(entry, ranker)] else None
        if not entry.kind or at == place:
            kept.append(entry)
    return kept


def fit_ranker(asked: Sequence[Asked]) -> Table:
    """The right units' share of the softmax, over the questions that have one."""
    return listwise.fit([entry.table for entry in asked], [entry.right for entry in asked], RANKER_STRENGTH)


def example(asked: Asked, axes: NDArray[np.float32]) -> verifier.Example:
    """What the verifier learns from one question."""
    matches = [asked.reading.matches(row) for row in range(len(asked.reading.places))]
    turned = asked.reading.asked.tokens.full @ axes
    worth = np.where(asked.alone, 1.0, np.where(asked.right, verifier.AROUND, 0.0))
    return verifier.Example(
        turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-9),
        matches[0].marks,
        np.stack([each.matches for each in matches]).astype(np.float16),
        reader.relative(asked.table).astype(np.float16),
        worth.astype(np.float32),
    )


def with_verifier(ranker: Table, fitted: verifier.Fitted, axes: NDArray[np.float32], encoder: str) -> Weights:
    """Weights whose heads are still the old ones."""
    return replace(reader_weights.fitted(), ranker=ranker, verifier=Verifier(fitted.tensors(axes), encoder))


def best(asked: Asked, weights: Weights) -> Best:
    """As the reader would judge the question with these weights."""
    scores = asked.table @ weights.ranker
    places = tuple(replace(place, score=float(score)) for place, score in zip(asked.reading.places, scores, strict=True))
    reading = replace(asked.reading, places=places, weights=weights)
    row = int(scores.argmax())
    return Best(asked, row, reading.head_features(row), reading.verified(row))


def head_row(each: Best, verified: bool = True) -> Table:
    """What the head sees."""
    return np.append(each.features, each.verified) if verified else each.features


def fit_head(found: Sequence[Best], verified: bool = True) -> Head:
    """Whether the best unit of a question is right."""
    table = np.stack([head_row(each, verified) for each in found])  # [n, k]
    right, weight = np.asarray([each.right for each in found], np.float64), np.asarray([each.weight for each in found])
    return logistic.fit(table, right, weight, HEAD_STRENGTH)


def fit_answerable(found: Sequence[Best]) -> Head:
    """Whether the passages tell the answer at all, from people's and strangers' questions."""
    chosen = [each for each in found if each.asked.kind in ("", STRANGE)]
    weight = [STRANGER if each.asked.kind else 1.0 for each in chosen]
    told = np.asarray([each.asked.is_answerable for each in chosen], np.float64)
    return logistic.fit(np.stack([head_row(each) for each in chosen]), told, np.asarray(weight), HEAD_STRENGTH)


def first_row(entry: Asked, ranker: Table) -> int:
    """The unit that the ranker puts first."""
    return int((entry.table @ ranker).argmax())


def report_declined(found: Sequence[Best], told: Sequence[float]) -> dict[str, Any]:
    """Print and return what is declined where `DECLINED` of the answerable questions are."""
    rows = [(each.asked, value) for each, value in zip(found, told, strict=True) if each.asked.kind in ("", STRANGE)]
    cut = float(np.quantile([value for entry, value in rows if entry.is_answerable], DECLINED))
    figures: dict[str, Any] = {"below": round(cut, 3)}
    for name in ("all", *sorted({entry.line["library"] for entry, _ in rows})):
        inside = [(entry, value < cut) for entry, value in rows if name in ("all", entry.line["library"])]
        kinds = {
            "answerable": [low for entry, low in inside if entry.is_answerable],
            "near misses": [low for entry, low in inside if not entry.is_answerable and not entry.kind],
            "strangers": [low for entry, low in inside if entry.kind],
        }
        figures[name] = {kind: round(float(np.mean(lows)), 3) for kind, lows in kinds.items() if lows}
        print(f"{name:12s} declined below {cut:.3f}: {figures[name]}")
    return figures


def report(found: Sequence[Best], confidences: Sequence[float]) -> dict[str, Any]:
    """Print and return how the held-out turns went, for all questions and for the development ones, and what look-alikes got through."""
    figures: dict[str, Any] = {}
    both = list(zip(found, confidences, strict=True))
    own = [(each.asked, _judge(each, confidence)) for each, confidence in both if not each.asked.kind]
    libraries = sorted({entry.line["library"] for entry, _ in own})
    for group in ("all", "development", *libraries):
        rows = [(entry, verdict) for entry, verdict in own if group in ("all", entry.line["split"], entry.line["library"])]
        answerable = sum(entry.is_answerable for entry, _ in rows)
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
    kinds = Counter(each.asked.kind for each in found if each.asked.kind)
    for kind, count in sorted(kinds.items()):
        reached = [_judge(each, confidence).confidence for each, confidence in both if each.asked.kind == kind]
        hits = {at: sum(confidence >= at for confidence in reached) for at in LEVELS}
        print(f"{kind:12s} {count} look-alikes at the right place, taken for the question at {hits}")
        figures[kind] = {"look_alikes": count, "false_hits": hits}
    return figures


def _judge(each: Best, confidence: float) -> Judged:
    """Confidence, 0 where a gate refuses, and whether the answer is right."""
    return Judged(confidence if each.asked.passes[each.row] else 0.0, each.right)


if __name__ == "__main__":
    main()
