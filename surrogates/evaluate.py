"""How good instant answers are on a file of questions: share answered, error among them, risk against coverage, speed."""

from __future__ import annotations

import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surrogates import model, router, settings, threshold
from surrogates.scheduling import ModelMissing, Scheduler
from surrogates.surrogate import Prediction, Surrogate
from surrogates.wording import words

if TYPE_CHECKING:
    from kb.library import Library
    from kb.records import Passage

ENGINE_SAMPLE = 5
"""Questions that the engine answers too, for the comparison of times."""


class BadQuestions(ValueError):
    """The file of questions cannot be used; the message names the line."""


@dataclass(frozen=True)
class Outcome:
    """One question: what the surrogate would say and how long search and prediction took. `right` is None without a gold place."""

    id: str
    question: str
    prediction: Prediction | None
    right: bool | None
    f1: float | None
    seconds: float

    @property
    def confidence(self) -> float:
        """0 for what no gate lets pass."""
        return 0.0 if self.prediction is None or self.prediction.refused_by else self.prediction.confidence


def run(home: Path, file: Path, collection: str | None = None) -> dict[str, Any]:
    """Evaluate a home's surrogate on a JSON-lines file of {"id", "question"} with optional "answer", "section" and "document".

    Raises:
        BadQuestions: a line is no JSON object with a question.
    """
    from kb.library import Library

    lines = read(file)
    with Library(home) as library:
        surrogate = Surrogate(library)
        outcomes = [_ask(surrogate, line, collection) for line in lines]
        level = settings.load(library.connection).level
        accept = threshold.accept_at(library, level)
        certificate = model.current(library.home, library.encoder.name).certificates[level - 1]
        result = summary(outcomes, accept)
        engine_s = _engine_seconds(library, surrogate, [outcome.question for outcome in outcomes], collection)
    return {
        **result,
        "level": level,
        "threshold": accept,
        "certificate": certificate.sentence(),
        **speed_up(result["answered_share"], result["instant_s"], engine_s),
    }


def read(file: Path) -> list[dict[str, Any]]:
    """The lines of a file of questions.

    Raises:
        BadQuestions: a line is no JSON object with a question.
    """
    lines = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise BadQuestions(f"line {number} of {file} is no JSON: {error}") from error
        if not isinstance(value, dict) or not str(value.get("question", "")).strip():
            raise BadQuestions(f'line {number} of {file} has no "question"; expected {{"id": .., "question": ..}}')
        lines.append({"id": str(number), **value})
    if not lines:
        raise BadQuestions(f"{file} holds no questions; expected one JSON object a line")
    return lines


def summary(outcomes: Sequence[Outcome], accept: float) -> dict[str, Any]:
    """The figures over all questions; `error` and `aurc` are None where no line says what is right."""
    answered = [outcome for outcome in outcomes if outcome.confidence >= accept and outcome.confidence > 0]
    judged = [outcome for outcome in answered if outcome.right is not None]
    scored = [outcome.f1 for outcome in answered if outcome.f1 is not None]
    gold = [outcome for outcome in outcomes if outcome.right is not None]
    refusals = Counter(outcome.prediction.refused_by for outcome in outcomes if outcome.prediction and outcome.prediction.refused_by)
    return {
        "questions": len(outcomes),
        "answered": len(answered),
        "answered_share": round(len(answered) / len(outcomes), 4),
        "wrong": sum(not outcome.right for outcome in judged) if judged else None,
        "error": round(sum(not outcome.right for outcome in judged) / len(judged), 4) if judged else None,
        "token_f1": round(statistics.mean(scored), 4) if scored else None,
        "aurc": round(aurc(gold), 4) if gold else None,
        "refused_by": dict(refusals),
        "instant_s": round(statistics.median(outcome.seconds for outcome in outcomes), 4),
    }


def aurc(outcomes: Sequence[Outcome]) -> float:
    """Area under the risk-coverage curve: the mean error of the k surest answers over all k; 0 is best."""
    ordered = sorted(outcomes, key=lambda outcome: -outcome.confidence)
    wrong, risks = 0, []
    for count, outcome in enumerate(ordered, start=1):
        wrong += not outcome.right
        risks.append(wrong / count)
    return statistics.mean(risks)


def speed_up(answered_share: float, instant_s: float, engine_s: float | None) -> dict[str, float | None]:
    """Times faster than the engine: per answered question, and over all traffic, where every question pays for the attempt."""
    if engine_s is None:
        return {"engine_s": None, "speed_up_per_answer": None, "speed_up_overall": None}
    overall = engine_s / ((1 - answered_share) * engine_s + instant_s)
    return {"engine_s": round(engine_s, 3), "speed_up_per_answer": round(engine_s / instant_s, 1), "speed_up_overall": round(overall, 2)}


def token_f1(said: str, expected: str) -> float:
    """Harmonic mean of the shares of words in common, 0..1."""
    mine, gold = Counter(words(said)), Counter(words(expected))
    common = sum((mine & gold).values())
    return 0.0 if common == 0 else 2 * common / (sum(mine.values()) + sum(gold.values()))


def is_in(line: Mapping[str, Any], passage: Passage) -> bool | None:
    """Whether a passage lies where the line says that the answer is; None when it does not say."""
    section = line.get("section") or line.get("section_path") or line.get("heading")
    document = line.get("document")
    if not section and not document:
        return None
    wanted = [_plain(part) for part in ([section] if isinstance(section, str) else section or [])]
    held = [_plain(part) for part in passage.heading]
    in_section = not wanted or held[-len(wanted) :] == wanted
    return in_section and (not document or _plain(str(document)) in (_plain(passage.document), _plain(Path(passage.document).name)))


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().casefold()


def _ask(surrogate: Surrogate, line: Mapping[str, Any], collection: str | None) -> Outcome:
    question = str(line["question"])
    started = time.perf_counter()
    prediction = surrogate.predict(question, surrogate.library.search(question, collection), collection)
    seconds = time.perf_counter() - started
    places = [is_in(line, source.passage) for source in prediction.sources] if prediction else []
    right = any(places) if places and places[0] is not None else None
    f1 = token_f1(prediction.text, str(line["answer"])) if prediction and line.get("answer") else None
    return Outcome(str(line["id"]), question, prediction, right, f1, seconds)


def _engine_seconds(library: Library, surrogate: Surrogate, questions: Sequence[str], collection: str | None) -> float | None:
    """Median seconds of the warm engine on the first questions; None when no model is set up or it writes nothing."""
    taken = []
    with Scheduler(settings.load(library.connection)) as scheduler:
        try:
            scheduler.warm_up()
        except ModelMissing:
            return None
        resources = router.Resources(library, surrogate, scheduler)
        for question in questions[:ENGINE_SAMPLE]:
            answer = router.answer(question, resources, collection=collection, route="engine")
            taken += [answer.seconds.total] if answer.route == "engine" else []
    return statistics.median(taken) if taken else None
