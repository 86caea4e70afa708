"""How good instant answers are on a file of questions: share answered, error among them, risk against coverage, speed."""

from __future__ import annotations

import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surrogates import judging, risk, router, settings, threshold
from surrogates.prediction import Prediction
from surrogates.scheduling import ModelMissing, Scheduler
from surrogates.surrogate import Surrogate
from surrogates.threshold import Certificate
from surrogates.wording import words

if TYPE_CHECKING:
    from kb.records import Passage

ENGINE_SAMPLE = 5
"""Questions that the engine answers too, for the comparison of times."""


class BadQuestions(ValueError):
    """The file of questions cannot be used; the message names the line."""


@dataclass(frozen=True)
class Outcome:
    """One question: what the surrogate would say and how long search and prediction took. `right` is None where no line says what is.

    `kind` is the file's own word for the sort of question; `is_answerable` False marks questions that the library does not answer,
    `is_look_alike` those that look like a taught question and mean something else.
    """

    id: str
    question: str
    prediction: Prediction | None
    right: bool | None
    f1: float | None
    seconds: float
    kind: str = ""
    is_answerable: bool = True
    is_look_alike: bool = False
    cosine: float = 0.0
    """With the nearest bank question, see `Surrogate.nearest_cosine`."""

    @property
    def confidence(self) -> float:
        """0 for what no gate lets pass."""
        return 0.0 if self.prediction is None or self.prediction.refused_by else self.prediction.confidence


def run(home: Path, file: Path, collection: str | None = None) -> dict[str, Any]:
    """Evaluate a home's surrogate on a JSON-lines file; what `measure` gives.

    Raises:
        BadQuestions: a line is no JSON object with a question.
    """
    from kb.library import Library

    lines = read(file)
    with Library(home) as library, Scheduler(settings.load(library.connection)) as scheduler:
        return measure(lines, router.Resources(library, Surrogate(library), scheduler), collection)


def measure(
    lines: Sequence[Mapping[str, Any]],
    resources: router.Resources,
    collection: str | None = None,
    on_progress: Callable[[float], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> dict[str, Any]:
    """Every figure over a file of questions; docs/architecture.md names the keys.

    A line is {"id", "question"} with optional "answer", "section", "document", "kind", "answerable" (false: the library does not
    answer it) and "look_alike" (true: it looks like a taught question and needs another answer). Stopped, it covers what was asked.
    """
    library, surrogate = resources.library, resources.surrogate
    outcomes: list[Outcome] = []
    for number, line in enumerate(lines):
        if outcomes and should_stop is not None and should_stop():
            break
        if on_progress is not None:
            on_progress(number / len(lines))
        outcomes.append(_ask(surrogate, line, collection))
    level = settings.load(library.connection).level
    accept = threshold.accept_at(library, level)
    engine_s = _engine_seconds(resources, [outcome.question for outcome in outcomes if outcome.is_answerable], collection, should_stop)
    result = summary(outcomes, accept)
    certificates = judging.certificates(library)
    return {
        **result,
        "level": level,
        "threshold": accept,
        "certificate": certificates[level - 1].sentence(),
        "teacher": certificates[level - 1].teacher,
        **speed_up(result["answered_share"], result["instant_s"], engine_s),
        "levels": [_at_level(outcomes, certificate, result["instant_s"], engine_s) for certificate in certificates],
    }


def read(file: Path, name: str | None = None) -> list[dict[str, Any]]:
    """The lines of a file of questions; `name` is what its user calls it, its path when None.

    Raises:
        BadQuestions: it is no UTF-8, or a line is no JSON object with a question.
    """
    called, lines = name or str(file), []
    try:
        text = file.read_text(encoding="utf-8-sig")  # editors on Windows put a mark before the first line
    except UnicodeDecodeError as error:
        raise BadQuestions(f"{called} is no UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise BadQuestions(f"line {number} of {called} is no JSON: {error}") from error
        if not isinstance(value, dict) or not str(value.get("question", "")).strip():
            raise BadQuestions(f'line {number} of {called} has no "question"; expected {{"id": .., "question": ..}}')
        lines.append({"id": str(number), **value})
    if not lines:
        raise BadQuestions(f"{called} holds no questions; expected one JSON object a line")
    return lines


def summary(outcomes: Sequence[Outcome], accept: float) -> dict[str, Any]:
    """The figures over all questions; `error`, `aurc` and what is drawn from them are None or empty where no line says what is right."""
    answered = _answered(outcomes, accept)
    scored = [outcome.f1 for outcome in answered if outcome.f1 is not None]
    gold = [outcome for outcome in outcomes if outcome.right is not None]
    judged = _judged(gold)
    refusals = Counter(outcome.prediction.refused_by for outcome in outcomes if outcome.prediction and outcome.prediction.refused_by)
    spent = sorted(outcome.seconds for outcome in outcomes)
    ece = risk.calibration_error(judged)
    return {
        "questions": len(outcomes),
        **_counts(outcomes, accept),
        "token_f1": round(statistics.mean(scored), 4) if scored else None,
        "aurc": round(aurc(gold), 4) if gold else None,
        "aurc_cosine": round(risk.aurc([risk.Judged(outcome.cosine, bool(outcome.right)) for outcome in gold]), 4) if gold else None,
        "risk_coverage": [_rounded(point) for point in risk.curve(judged)],
        "reliability": [_rounded(each) for each in risk.reliability(judged)],
        "ece": None if ece is None else round(ece, 4),
        "look_alikes": _part([outcome for outcome in outcomes if outcome.is_look_alike], accept),
        "out_of_domain": _part([outcome for outcome in outcomes if not outcome.is_answerable and not outcome.is_look_alike], accept),
        "kinds": {kind: _part([each for each in outcomes if each.kind == kind], accept) for kind in _kinds(outcomes)},
        "refused_by": dict(refusals),
        "instant_s": round(statistics.median(spent), 4),
        "instant_s_p95": round(spent[min(int(0.95 * len(spent)), len(spent) - 1)], 4),
    }


def aurc(outcomes: Sequence[Outcome]) -> float:
    """Area under the risk-coverage curve of outcomes that say what is right; see `risk.aurc`."""
    return risk.aurc(_judged(outcomes))


def _judged(outcomes: Sequence[Outcome]) -> list[risk.Judged]:
    return [risk.Judged(outcome.confidence, bool(outcome.right)) for outcome in outcomes]


def _answered(outcomes: Sequence[Outcome], accept: float) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.confidence >= accept and outcome.confidence > 0]


def _counts(outcomes: Sequence[Outcome], accept: float) -> dict[str, Any]:
    answered = _answered(outcomes, accept)
    judged = [outcome for outcome in answered if outcome.right is not None]
    wrong = sum(not outcome.right for outcome in judged)
    return {
        "answered": len(answered),
        "answered_share": round(len(answered) / len(outcomes), 4),
        "wrong": wrong if judged else None,
        "error": round(wrong / len(judged), 4) if judged else None,
    }


def _part(outcomes: Sequence[Outcome], accept: float) -> dict[str, Any] | None:
    """The counts of some of the questions; None when there are none."""
    return {"questions": len(outcomes), **_counts(outcomes, accept)} if outcomes else None


def _kinds(outcomes: Sequence[Outcome]) -> list[str]:
    return sorted({outcome.kind for outcome in outcomes if outcome.kind})


def _at_level(outcomes: Sequence[Outcome], certificate: Certificate, instant_s: float, engine_s: float | None) -> dict[str, Any]:
    """What one level of the slider buys on these questions."""
    counts = _counts(outcomes, certificate.accept_at)
    overall = speed_up(counts["answered_share"], instant_s, engine_s)["speed_up_overall"]
    return {**certificate.to_json(), "sentence": certificate.sentence(), **counts, "speed_up_overall": overall}


def _rounded(value: risk.Point | risk.Bin) -> dict[str, float]:
    return {name: round(number, 4) for name, number in asdict(value).items()}


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
    prediction = surrogate.predict(question, surrogate.search(question, collection), collection)
    seconds = time.perf_counter() - started
    f1 = token_f1(prediction.text, str(line["answer"])) if prediction and line.get("answer") else None
    return Outcome(
        str(line["id"]),
        question,
        prediction,
        is_right(line, prediction),
        f1,
        seconds,
        str(line.get("kind", "")),
        line.get("answerable", True) is not False,
        line.get("look_alike", False) is True,
        surrogate.nearest_cosine(question, collection),
    )


def is_right(line: Mapping[str, Any], prediction: Prediction | None) -> bool | None:
    """Whether the candidate rests on the place that the line names; no answer is right to what the library does not answer.

    A missing candidate for a question with a place is not right; None when the line says nothing of a place.
    """
    if line.get("answerable", True) is False:
        return False
    names_a_place = bool(line.get("section") or line.get("section_path") or line.get("heading") or line.get("document"))
    if not names_a_place:
        return False if line.get("look_alike") is True else None
    return prediction is not None and any(is_in(line, source.passage) for source in prediction.sources)


def _engine_seconds(
    resources: router.Resources, questions: Sequence[str], collection: str | None, should_stop: Callable[[], bool] | None
) -> float | None:
    """Median seconds of the warm engine on the first questions; None when no model is set up, it writes nothing or it was stopped."""
    stopped = should_stop or (lambda: False)
    if stopped():
        return None
    try:
        resources.scheduler.warm_up()
    except ModelMissing:
        return None
    taken = []
    for question in questions[:ENGINE_SAMPLE]:
        answer = router.answer(question, resources, collection=collection, route="engine", should_stop=should_stop)
        if stopped():
            return None
        taken += [answer.seconds.total] if answer.route == "engine" else []
    return statistics.median(taken) if taken else None
