"""Training: adapter, confidence head and thresholds from the bank's own questions, in minutes, the same for the same seed.

Passages are split three ways by their id: adapter, head, calibration. A held-out question is asked with its own row hidden; it is
right when the candidate rests on its passage. The same question asked with all rows of its passage hidden, a look-alike, and a
question about something else must not be answered; their candidates are wrong. These labels measure agreement with the teacher.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from surrogates import adapter, bank, confidence, interaction, model
from surrogates.confidence import Features, Head
from surrogates.lookalikes import look_alikes
from surrogates.offtopic import QUESTIONS as OFF_TOPIC
from surrogates.prediction import Prediction
from surrogates.surrogate import Surrogate
from surrogates.threshold import FLOORS, Label, certificates

if TYPE_CHECKING:
    from kb.library import Library

PARTS = 5  # of the passages' ids: three for the adapter, one for the head, one for calibration
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainSettings:
    """`questions` are asked at most in each of head and calibration; fewer than `least` leave the built-in head and floors.

    `gain` is how much more of the held-out questions an adapter must bring to their own passage to be kept.
    """

    questions: int = 250
    least: int = 60
    lures: int = 4_000
    gain: float = 0.02
    seed: int = 0
    adapter: adapter.AdapterSettings = field(default_factory=adapter.AdapterSettings)

    def __post_init__(self) -> None:
        if self.least < 10:
            raise ValueError(f"least is {self.least}, expected at least 10 held-out questions")


@dataclass(frozen=True)
class Asked:
    """One held-out question and what the surrogate made of it; `right` is the label, None features when nothing was near."""

    features: Features
    right: bool
    refused: bool


def train(
    library: Library,
    *,
    on_progress: Callable[[str, float], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    settings: TrainSettings | None = None,
) -> dict[str, Any]:
    """Train from the bank as it is and write the model; returns its facts. Stopped, it leaves the model that was there."""
    chosen, progress, stop = settings or TrainSettings(), on_progress or _ignore, should_stop or _never
    started = time.monotonic()
    bank.use_encoder(library)
    progress("reading passages", 0.0)
    interaction.read(library, lambda share: progress("reading passages", 0.05 * share), stop)
    surrogate = Surrogate(library)
    surrogate.follow()
    parts = _parts(surrogate)
    progress("training the adapter", 0.05)
    trained = _adapter(surrogate, parts, chosen, stop)
    if stop():
        return {"stopped": True}
    surrogate.use(model.Model(library.encoder.name, trained))
    progress("asking held-out questions", 0.4)
    for_head = list(_asked(surrogate, parts == PARTS - 2, chosen, stop))
    progress("calibrating", 0.7)
    for_threshold = list(_asked(surrogate, parts == PARTS - 1, chosen, stop))
    if stop():
        return {"stopped": True}
    made = _model(library, trained, for_head, for_threshold, chosen)
    facts = {**made.facts, "questions": int(surrogate.view.serving.sum()), "seconds": round(time.monotonic() - started, 1)}
    model.save(library.home, model.Model(made.encoder, made.adapter, made.head, made.certificates, facts))
    progress("done", 1.0)
    return facts


def _parts(surrogate: Surrogate) -> NDArray[np.int64]:
    """The part of each question, by the first passage that its answer rests on, so that all questions of a passage are together; [n]."""
    firsts = {answer: min(surrogate.passages_of(answer)) for answer in {int(answer) for answer in surrogate.view.answer_ids}}
    generator = np.random.default_rng(0)
    order = {passage: int(generator.integers(PARTS)) for passage in sorted(set(firsts.values()))}
    return np.asarray([order[firsts[int(answer)]] for answer in surrogate.view.answer_ids], np.int64)


def _adapter(
    surrogate: Surrogate, parts: NDArray[np.int64], settings: TrainSettings, should_stop: Callable[[], bool]
) -> adapter.Adapter | None:
    """The adapter, if held-out questions find their own passage by `gain` more often with it than with the frozen vectors; else None."""
    view = surrogate.view
    learning = np.flatnonzero(view.serving & (parts < PARTS - 2))
    if len(learning) < settings.least:
        return None
    labels = [min(surrogate.passages_of(int(view.answer_ids[row]))) for row in learning]
    lures = [(index, other.text) for index, row in enumerate(learning) for other in look_alikes(view.texts[row], settings.seed)]
    lures = lures[: settings.lures]
    negatives = surrogate.library.encoder.encode([text for _, text in lures])  # [m, d]
    fitted = adapter.fit(view.vectors[learning], labels, negatives, [index for index, _ in lures], settings.adapter, should_stop)
    held_out = np.flatnonzero(view.serving & (parts >= PARTS - 2))
    before, after = _nearest_is_own(surrogate, held_out, view.vectors), _nearest_is_own(surrogate, held_out, fitted.apply(view.vectors))
    log.info("adapter: nearest question has the same source for %.3f before, %.3f after", before, after)
    return fitted if after >= before + settings.gain else None


def _nearest_is_own(surrogate: Surrogate, rows: NDArray[np.int64], vectors: NDArray[np.float32]) -> float:
    """Share of questions whose nearest other question rests on the same passage."""
    view, right = surrogate.view, 0
    for row in rows:
        scores = np.where(view.serving, vectors @ vectors[row], -2.0)
        scores[row] = -2.0
        right += bool(surrogate.passages_of(int(view.answer_ids[int(scores.argmax())])) & surrogate.passages_of(int(view.answer_ids[row])))
    return right / max(1, len(rows))


def _asked(surrogate: Surrogate, chosen: NDArray[np.bool_], settings: TrainSettings, should_stop: Callable[[], bool]) -> Iterator[Asked]:
    """Ask held-out questions, one a passage, each in four ways; those whose candidate could not be judged are left out."""
    view = surrogate.view
    rows = np.flatnonzero(view.serving & chosen)
    order = np.random.default_rng(settings.seed).permutation(rows)
    seen: set[int] = set()
    surrogate.library.encoder.encode([*(view.texts[row] for row in order[: 4 * settings.questions]), *OFF_TOPIC])
    for row in order:
        passages = surrogate.passages_of(int(view.answer_ids[row]))
        if passages & seen or should_stop():
            continue
        seen |= passages
        if len(seen) > settings.questions:
            break
        yield from _ways(surrogate, int(row), passages, settings)
    for text in OFF_TOPIC:
        yield from _label(surrogate.predict_from_bank(text, surrogate.search(text)), frozenset())


def _ways(surrogate: Surrogate, row: int, passages: frozenset[int], settings: TrainSettings) -> Iterator[Asked]:
    """The question without its own row, then without any row of its passage, then its look-alikes."""
    view = surrogate.view
    text = view.texts[row]
    hits = surrogate.search(text)
    same = np.asarray([text == other for other in view.texts])
    yield from _label(surrogate.predict_from_bank(text, hits, hidden=same), passages)
    own = np.asarray([bool(surrogate.passages_of(int(answer)) & passages) for answer in view.answer_ids])
    yield from _label(surrogate.predict_from_bank(text, hits, hidden=own | same), frozenset())
    for other in look_alikes(text, settings.seed):
        yield from _label(surrogate.predict_from_bank(other.text, surrogate.search(other.text)), frozenset())


def _label(prediction: Prediction | None, passages: frozenset[int]) -> Iterator[Asked]:
    if prediction is not None and prediction.features is not None:
        right = bool({source.passage.id for source in prediction.sources} & passages)
        yield Asked(prediction.features, right, prediction.refused_by is not None)


def _model(
    library: Library, trained: adapter.Adapter | None, for_head: Sequence[Asked], for_threshold: Sequence[Asked], settings: TrainSettings
) -> model.Model:
    rows = [asked for asked in for_head if not asked.refused]
    right = [asked.right for asked in rows]
    head = confidence.BUILT_IN
    if len(rows) >= settings.least and any(right) and not all(right):
        fitted = confidence.fit([asked.features for asked in rows], right)
        head = fitted if _answers_more(fitted, head, for_threshold) else head
    labels = [Label(head.confidence(asked.features), asked.right, "teacher") for asked in for_threshold if not asked.refused]
    facts = {
        "adapter": trained is not None,
        "head": head != confidence.BUILT_IN,
        "head_questions": len(rows),
        "calibration_questions": len(labels),
    }
    return model.Model(library.encoder.name, trained, head, tuple(certificates(labels, bank.teachers(library.connection))), facts)


def _answers_more(fitted: Head, built_in: Head, asked: Sequence[Asked]) -> bool:
    """Whether a fitted head answers more held-out questions rightly at the middle floor, and no more of them wrongly."""
    passed = [row for row in asked if not row.refused]

    def answered(head: Head, right: bool) -> int:
        return sum(row.right is right and head.confidence(row.features) >= FLOORS[2] for row in passed)

    return answered(fitted, True) > answered(built_in, True) and answered(fitted, False) <= answered(built_in, False)


def _never() -> bool:
    return False


def _ignore(stage: str, share: float) -> None:
    """Progress that nobody watches."""
