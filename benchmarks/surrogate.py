"""How much the surrogate answers, how much of that is wrong, and how fast: on hand-written and expert questions.

    python -m benchmarks.surrogate --work DIR [--data ../shared/data] [--limit N] [--fit]

Two taught homes are kept in DIR and used again: `workshop` (pages of Klipper and Grbl, asked the paraphrases of
`benchmarks/paraphrases.jsonl`) and `phone` (a phone manual with 50 expert questions, taught without seeing them). `--limit` is how many
passages the engine writes for (0: structure alone). `--fit` fits the built-in head on the workshop set; the phone set is never fitted on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.request import Generation, Request
from kb.library import Library
from surrogates import confidence, settings, teaching
from surrogates.confidence import Features
from surrogates.evaluate import Outcome, aurc, is_in
from surrogates.prediction import Prediction
from surrogates.surrogate import Surrogate
from surrogates.threshold import FLOORS

HERE = Path(__file__).resolve().parent
FOREIGN = 300
"""Questions of each set about something else."""


@dataclass(frozen=True)
class Case:
    """One question and whether a predicted answer to it is right."""

    question: str
    is_right: Callable[[Prediction], bool]


def main() -> None:
    """Print a table for each set, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--fit", action="store_true")
    chosen = parser.parse_args()
    result: dict[str, Any] = {}
    with taught(chosen.work / "workshop", workshop_files(chosen.data), chosen.limit) as library:
        outcomes = ask(Surrogate(library), [*workshop_cases(), *foreign_cases(chosen.data)], bank_alone=chosen.fit)
        if chosen.fit:
            print_head(fitted(outcomes))
        result["workshop"] = report("workshop", outcomes[: len(workshop_cases())])
        result["workshop_foreign"] = report("foreign to workshop", outcomes[len(workshop_cases()) :])
    with taught(chosen.work / "phone", [chosen.data / "phone_manual_qa" / "manual.md"], chosen.limit) as library:
        surrogate = Surrogate(library)
        result["phone"] = report("phone", ask(surrogate, phone_cases(chosen.data)))
        result["phone_foreign"] = report("foreign to phone", ask(surrogate, foreign_cases(chosen.data)))
        result["status"] = {name: teaching.status(library)[name] for name in ("made", "kept", "dropped", "engine_s", "bank", "model")}
    print(json.dumps(result))


def taught(home: Path, paths: Sequence[Path], limit: int | None, teacher: Path | None = None) -> Library:
    """The library of `home`, filled and taught if it is not yet; `teacher` is a model's pack, the default one if there is none."""
    library = Library(home)
    if next(library.passages(), None) is None:
        library.add_tree(paths)
    started = time.monotonic()
    if limit == 0:
        done = teaching.teach(library, silent, teacher="")
    else:
        from engine.generate import Engine

        with Engine(teacher or settings.default_pack(), settings.Settings().memory_bytes) as engine:
            done = teaching.teach(library, engine.generate, limit=limit, teacher=engine.model_name)
    if not teaching.status(library)["model"]["trained"]:
        teaching.train(library)
    print(f"{home.name}: taught and trained in {time.monotonic() - started:.0f} s")
    kept = f"{done.tally.kept} of {done.tally.made} questions kept"
    print(f"  {done.passages} passages, {done.engine_s:.0f} s of engine, {kept}, dropped: {done.tally.dropped}")
    return library


def workshop_files(data: Path) -> list[Path]:
    """The Klipper pages that the paraphrases ask about, and all of Grbl."""
    lines = (json.loads(line) for line in (HERE / "paraphrases.jsonl").read_text(encoding="utf-8").splitlines())
    pages = {data / "klipper_docs" / line["document"] for line in lines if "document" in line}
    return [*sorted(page for page in pages if page.is_file()), data / "grbl_docs"]


def silent(request: Request) -> Generation:
    """No engine: structure alone."""
    return Generation("", 0, 0, "stop", 0.0, 0.0, 0.0, 0.0, 0.0, 0, "exact")


def workshop_cases() -> list[Case]:
    """The hand-written paraphrases; those marked as not answerable are never right."""
    lines = [json.loads(line) for line in (HERE / "paraphrases.jsonl").read_text(encoding="utf-8").splitlines()]
    return [Case(line["question"], _judge(line)) for line in lines]


def _judge(line: dict[str, Any]) -> Callable[[Prediction], bool]:
    def is_right(prediction: Prediction) -> bool:
        if line.get("answerable") is False or line.get("contains", "") not in prediction.text:
            return False
        return any(_same_place(line, source.passage.heading, source.passage.document) for source in prediction.sources)

    return is_right


def _same_place(line: dict[str, Any], heading: Sequence[str], document: str) -> bool:
    in_document = "document" not in line or document.endswith(line["document"])
    bare = [part.replace("`", "") for part in heading]
    return in_document and ("heading" not in line or line["heading"].replace("`", "") in bare)


def phone_cases(data: Path) -> list[Case]:
    """The expert questions; right is the section that the expert named."""
    lines = [json.loads(line) for line in (data / "phone_manual_qa" / "questions.jsonl").read_text(encoding="utf-8").splitlines()]

    def judged(line: dict[str, Any]) -> Case:
        return Case(line["question"], lambda prediction: any(is_in(line, source.passage) for source in prediction.sources))

    return [judged(line) for line in lines]


def foreign_cases(data: Path) -> list[Case]:
    """Questions about something else altogether: no answer is right."""
    clinc = json.loads((data / "clinc150" / "data" / "data_full.json").read_text(encoding="utf-8"))["oos_test"]
    xquad = json.loads((data / "xquad" / "xquad.en.json").read_text(encoding="utf-8"))["data"]
    asked = [question["question"] for article in xquad for paragraph in article["paragraphs"] for question in paragraph["qas"]]
    texts = [text for text, _ in clinc[:FOREIGN]] + asked[:: max(1, len(asked) // FOREIGN)][:FOREIGN]
    return [Case(text, lambda prediction: False) for text in texts]


def ask(surrogate: Surrogate, cases: Sequence[Case], *, bank_alone: bool = False) -> list[Outcome]:
    """What the surrogate, or its bank alone, makes of each question; seconds are search and prediction, the encoding included."""
    outcomes = []
    predict = surrogate.predict_from_bank if bank_alone else surrogate.predict
    for number, case in enumerate(cases):
        started = time.perf_counter()
        prediction = predict(case.question, surrogate.search(case.question))
        seconds = time.perf_counter() - started
        right = prediction is not None and case.is_right(prediction)
        outcomes.append(Outcome(str(number), case.question, prediction, right, None, seconds))
    return outcomes


def fitted(outcomes: Sequence[Outcome]) -> confidence.Head:
    """The head fitted on what the gates let pass, held weakly at the built-in one."""
    rows: list[Features] = []
    right: list[bool] = []
    for outcome in outcomes:
        if outcome.prediction is not None and outcome.prediction.refused_by is None and outcome.prediction.features is not None:
            rows.append(outcome.prediction.features)
            right.append(bool(outcome.right))
    return confidence.fit(rows, right, strength=2.0)


def print_head(head: confidence.Head) -> None:
    """The constants to put into surrogates/confidence.py."""
    for name, weight in zip(confidence.NAMES, head.weights, strict=True):
        print(f"  {name:15s} {weight:7.3f}")
    print(f"  weights={tuple(round(weight, 3) for weight in head.weights)}, bias={head.bias:.3f}")


def report(title: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """A table of share answered and share wrong at each level's floor."""
    print(f"\n{title}: {len(outcomes)} questions, the nearest answer is right for {sum(bool(outcome.right) for outcome in outcomes)}")
    rows = list(_levels(outcomes))
    for row in rows:
        print(f"  confidence >= {row['accept_at']:.2f}: answered {row['answered']:4d} ({row['share']:.2f}), wrong {row['wrong']}")
    times = sorted(outcome.seconds for outcome in outcomes)
    return {
        "questions": len(outcomes),
        "levels": rows,
        "aurc": round(aurc(outcomes), 4),
        "p50_s": round(statistics.median(times), 4),
        "p95_s": round(times[int(0.95 * (len(times) - 1))], 4),
    }


def _levels(outcomes: Sequence[Outcome]) -> Iterator[dict[str, Any]]:
    for floor in FLOORS:
        answered = [outcome for outcome in outcomes if outcome.confidence >= floor]
        wrong = sum(not outcome.right for outcome in answered)
        yield {"accept_at": floor, "answered": len(answered), "share": round(len(answered) / len(outcomes), 3), "wrong": wrong}


if __name__ == "__main__":
    main()
