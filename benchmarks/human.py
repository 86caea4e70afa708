"""How much of what people ask is answered at once, how much of that is wrong, and what the learned parts gain: human-style questions.

    python -m benchmarks.human --work DIR [--data ../shared/data] [--limit N] [--teacher PACK] [--libraries grbl phone ..]
        [--split held-out] [--show]

`benchmarks/questions.jsonl` holds short, colloquial questions over four libraries (Klipper, Grbl, a phone manual, Marlin), each with the
places that answer it and the facts that an answer must show, and questions that no document answers. Whole documents are held out;
nothing may be chosen by looking at those.

An answer is right if one place fits: it cites a passage of the place's documents under one of its headings (any part of the heading
path; none named: anywhere in the document), and its text holds all facts of the place, in any case and spacing. The place that the
question was written for is not the only right one; others that answer it are listed beside it. An answer to an unanswerable question
is wrong.

Beside the surrogate stand the same bank by raw cosine (the nearest question, no gate), and by cosine of the untrained encoder where
full-text search finds the source among its first five, with a threshold fitted on the development documents.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.surrogate import taught
from kb.search import Fusion
from surrogates import bank, risk
from surrogates.evaluate import Outcome
from surrogates.prediction import Prediction
from surrogates.risk import Judged
from surrogates.surrogate import Surrogate
from surrogates.threshold import FLOORS

HERE = Path(__file__).resolve().parent
QUESTIONS = HERE / "questions.jsonl"
VERDICTS = HERE / "verdicts.jsonl"
"""What a person said, who saw question, answer and citation alone, of held-out answers, known by their hash."""
FOLDERS = {"klipper": "klipper_docs", "grbl": "grbl_docs", "phone": "phone_manual_qa/manual.md", "marlin": "marlin_docs"}
LEVELS = (0.05, 0.02)
"""Allowed share of wrong answers at which shares answered are compared."""


@dataclass(frozen=True)
class Asked:
    """One question with what the surrogate and the plain bank make of it, by cosine; a wrong or missing answer is not right."""

    line: dict[str, Any]
    outcome: Outcome
    cosine: Judged
    agreed: Judged


def main() -> None:
    """Print tables for each split, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--limit", type=int, default=0, help="passages that the engine writes for, in each library; 0: structure alone")
    parser.add_argument("--teacher", type=Path, help="pack of the model that writes, if not the default one")
    parser.add_argument("--libraries", nargs="*", choices=sorted(FOLDERS), default=sorted(FOLDERS))
    parser.add_argument("--split", choices=("development", "held-out"))
    parser.add_argument("--show", action="store_true", help="list what was answered wrongly or refused by a gate")
    chosen = parser.parse_args()
    if not chosen.data.is_dir():
        raise SystemExit(f"needs the development documents in {chosen.data}")
    asked = [
        entry
        for name in chosen.libraries
        for entry in ask_library(name, chosen.work, chosen.data, chosen.limit, chosen.split, chosen.teacher)
    ]
    threshold = fitted_threshold([entry.agreed for entry in asked if entry.line["split"] == "development"])
    result: dict[str, Any] = {}
    for split in sorted({entry.line["split"] for entry in asked}):
        rows = [entry for entry in asked if entry.line["split"] == split]
        result[split] = report(split, rows, threshold)
        if chosen.show:
            show(rows)
    print(json.dumps(result))


def questions(library: str, split: str | None = None) -> list[dict[str, Any]]:
    """The questions over one library, of one split or of both."""
    lines = (json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line["library"] == library and split in (None, line["split"])]


def ask_library(name: str, work: Path, data: Path, limit: int, split: str | None, teacher: Path | None = None) -> Iterator[Asked]:
    """Every question over one library, which is filled and taught on first use."""
    lines = questions(name, split)
    if not lines:
        return
    with taught(work / f"{name}-{limit}", [data / FOLDERS[name]], limit, teacher) as library:
        surrogate = Surrogate(library)
        for line in lines:
            yield ask(surrogate, line)


def ask(surrogate: Surrogate, line: dict[str, Any]) -> Asked:
    """One question, three ways."""
    text, library = line["question"], surrogate.library
    prediction = surrogate.predict(text, surrogate.search(text))
    outcome = Outcome(line["id"], text, prediction, is_right(line, prediction), None, 0.0)
    vector = library.encoder.encode([text])[0]  # [d]
    scores = np.where(surrogate.view.serving, surrogate.view.vectors @ vector, -1.0)  # [n]
    row = int(scores.argmax())
    answer = surrogate_answer(surrogate, int(surrogate.view.answer_ids[row]))
    plain = Judged(float(scores[row]), is_right_text(line, *answer))
    found = {hit.passage.id for hit in library.search(text, limit=5, fusion=Fusion(dense=0.0))}
    agrees = bool(found & surrogate.passages_of(int(surrogate.view.answer_ids[row])))
    return Asked(line, outcome, plain, Judged(plain.confidence if agrees else 0.0, plain.right))


def surrogate_answer(surrogate: Surrogate, answer_id: int) -> tuple[str, list[Any]]:
    """Text and passages of a bank answer."""
    answer = bank.answer(surrogate.library.connection, answer_id)
    return answer.text, [surrogate.library.passage(id_) for id_ in sorted(answer.passage_ids)]


def is_right(line: dict[str, Any], prediction: Prediction | None) -> bool:
    """The judging rule of this file over what the surrogate predicts."""
    return prediction is not None and is_right_text(line, prediction.text, [source.passage for source in prediction.sources])


def is_right_text(line: dict[str, Any], text: str, passages: Sequence[Any]) -> bool:
    """The judging rule over a text and the passages that it cites.

    >>> is_right_text({"answerable": False}, "42 Nm", [])
    False
    """
    return any(_fits(place, text, passages) for place in line.get("places", ()))


def _fits(place: dict[str, Any], text: str, passages: Sequence[Any]) -> bool:
    headings = {plain(heading) for heading in place["headings"]}
    cited = any(
        Path(passage.document).name in place["documents"] and (not headings or headings & {plain(part) for part in passage.heading})
        for passage in passages
    )
    return cited and all(plain(fact) in plain(text) for fact in place["facts"])


def plain(text: str) -> str:
    """One spelling for comparing: lower case, single spaces, no code marks."""
    return re.sub(r"\s+", " ", text.replace("`", "")).strip().casefold()


def fitted_threshold(scored: Sequence[Judged], alpha: float = LEVELS[0]) -> float:
    """The least score from which at most `alpha` of these answers are wrong; above 1 when there is none."""
    best, wrong = 1.01, 0
    given = [entry for entry in scored if entry.confidence > 0]
    for count, entry in enumerate(sorted(given, key=lambda entry: -entry.confidence), start=1):
        wrong += not entry.right
        best = entry.confidence if wrong <= alpha * count else best
    return best


def share_at(scored: Sequence[Judged], alpha: float) -> float:
    """The largest share that can be answered with at most `alpha` wrong, by the best threshold for these very questions."""
    threshold = fitted_threshold(scored, alpha)
    return sum(entry.confidence >= threshold for entry in scored) / max(1, len(scored))


def report(split: str, rows: Sequence[Asked], threshold: float) -> dict[str, Any]:
    """Print the tables of one split and return its figures; `threshold` is the plain bank's, fitted on the development documents."""
    answerable = [entry for entry in rows if entry.line.get("answerable", True)]
    ours = [Judged(entry.outcome.confidence, bool(entry.outcome.right)) for entry in rows]
    print(f"\n{split}: {len(answerable)} answerable and {len(rows) - len(answerable)} unanswerable questions")
    levels = [_level(answerable, rows, floor) for floor in FLOORS]
    for level in levels:
        print("  confidence >= {at:.2f}: answered {share:.1%}, wrong {wrong} of {answered}, {odd} of the unanswerable".format(**level))
    by_hand(rows, len(answerable))
    given = [entry.agreed for entry in rows if entry.agreed.confidence >= threshold]
    figures: dict[str, Any] = {
        "answerable": len(answerable),
        "unanswerable": len(rows) - len(answerable),
        "levels": levels,
        "nearest_right": sum(bool(entry.outcome.right) for entry in answerable),
        "aurc": round(risk.aurc(ours), 4),
        "aurc_cosine": round(risk.aurc([entry.cosine for entry in rows]), 4),
        "ece": round(risk.calibration_error(ours) or 0.0, 4),
        "share_at": {str(alpha): round(share_at(ours, alpha), 4) for alpha in LEVELS},
        "share_at_untrained": {str(alpha): round(share_at([entry.agreed for entry in rows], alpha), 4) for alpha in LEVELS},
        "untrained_fitted": {"threshold": round(threshold, 3), "answered": len(given), "wrong": sum(not entry.right for entry in given)},
        "kinds": by_kind(rows, FLOORS[0]),
        "refused": refusals(rows),
    }
    for name in ("nearest_right", "aurc", "aurc_cosine", "ece", "share_at", "share_at_untrained", "untrained_fitted", "refused"):
        print(f"  {name}: {figures[name]}")
    for kind, counts in figures["kinds"].items():
        print(f"  {kind:12s} {counts}")
    return figures


def by_hand(rows: Sequence[Asked], answerable: int) -> None:
    """Print what the verdicts say of the answers at each floor; an answer that has changed since is counted as not judged."""
    lines = [json.loads(line) for line in VERDICTS.read_text(encoding="utf-8").splitlines()]
    verdicts = {(line["id"], line["answer_sha256"]): line["verdict"] for line in lines}
    for floor in FLOORS:
        given = [entry for entry in rows if entry.outcome.confidence >= floor and entry.outcome.prediction is not None]
        said = Counter(verdicts.get((entry.line["id"], _digest(entry.outcome.prediction)), "not judged") for entry in given)
        share = sum(entry.line.get("answerable", True) for entry in given) / max(1, answerable)
        if said.total() > said["not judged"]:
            print(f"  by hand, confidence >= {floor:.2f}: answered {share:.1%}, {dict(said)}")


def _digest(prediction: Prediction | None) -> str:
    return "" if prediction is None else hashlib.sha256(prediction.text.encode("utf-8")).hexdigest()[:16]


def _level(answerable: Sequence[Asked], rows: Sequence[Asked], floor: float) -> dict[str, Any]:
    answered = [entry for entry in rows if entry.outcome.confidence >= floor]
    odd = sum(not entry.line.get("answerable", True) for entry in answered)
    share = (len(answered) - odd) / max(1, len(answerable))
    wrong = sum(not entry.outcome.right for entry in answered)
    return {"at": floor, "answered": len(answered), "share": round(share, 4), "wrong": wrong, "odd": odd}


def by_kind(rows: Sequence[Asked], floor: float) -> dict[str, dict[str, int]]:
    """Per kind of question: how many, how many answered at a floor, how many of those wrong, and how many have the right answer nearest."""
    found: dict[str, dict[str, int]] = {}
    for entry in rows:
        counts = found.setdefault(entry.line["kind"], {"questions": 0, "answered": 0, "wrong": 0, "nearest_right": 0})
        is_answered = entry.outcome.confidence >= floor
        counts["questions"] += 1
        counts["answered"] += is_answered
        counts["wrong"] += is_answered and not entry.outcome.right
        counts["nearest_right"] += bool(entry.outcome.right)
    return found


def refusals(rows: Sequence[Asked]) -> dict[str, dict[str, int]]:
    """Per gate: right candidates and wrong ones that it refused."""
    found: dict[str, dict[str, int]] = {}
    for entry in rows:
        prediction = entry.outcome.prediction
        if prediction is not None and prediction.refused_by:
            counts = found.setdefault(prediction.refused_by, {"right": 0, "wrong": 0})
            counts["right" if entry.outcome.right else "wrong"] += 1
    return found


def show(rows: Sequence[Asked]) -> None:
    """List what a person should look at: wrong answers, and right ones that a gate refused."""
    for entry in rows:
        prediction = entry.outcome.prediction
        if prediction is None:
            continue
        is_wrong = entry.outcome.confidence >= FLOORS[0] and not entry.outcome.right
        if is_wrong or (prediction.refused_by and entry.outcome.right):
            label = "WRONG" if is_wrong else f"REFUSED by {prediction.refused_by}"
            place = prediction.sources[0].passage
            print(f"{label} {prediction.confidence:.2f} {entry.line['id']} {entry.line['question']!r} ~ {prediction.matched_question!r}")
            print(f"    {place.document} {place.heading[-1:]}: {prediction.text[:160]!r}")


if __name__ == "__main__":
    main()
