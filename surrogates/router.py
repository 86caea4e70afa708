"""The main path: from a question to an instant, a written or a declined answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from surrogates import bank, conflicts, corrections, pairs, parts, procedures, prompt, settings, threshold
from surrogates.answer import Answer, Timings
from surrogates.answerable import is_answerable
from surrogates.gates import has_referents, is_one_question, names_the_part
from surrogates.question import normalise, with_topic
from surrogates.quotes import Quote, compose, rank_units, with_context
from surrogates.scheduling import ModelMissing, Scheduler
from surrogates.verify import QUOTED, Verified, settle
from surrogates.wording import Rarity

if TYPE_CHECKING:
    from kb.library import Library
    from kb.records import Hit, Passage
    from surrogates.prediction import Prediction
    from surrogates.reader import Reading
    from surrogates.surrogate import Surrogate

AskRoute = Literal["auto", "surrogate", "engine"]
HITS = 10
READ = 5  # passages whose sentences are weighed; the right one is among them more often than it is first
NEAREST = 3
STOPPED = "Stopped before it was finished."
EMPTY_LIBRARY = "There are no documents to answer from yet: add some to the library first."
NOT_FOUND = "The documents do not seem to answer this. The nearest passages are below."
SEVERAL = "This asks for more than one thing, and the answer is to one of them: ask the other by itself."
UNNAMED = "The question does not name what it is about; the answer is from the nearest place. Name the part or the task to be sure."
NO_INSTANT = "There is no instant answer that is sure enough. The nearest passages are below."


@dataclass(frozen=True)
class Resources:
    """What answering needs, for one thread."""

    library: Library
    surrogate: Surrogate
    scheduler: Scheduler

    def rarity(self) -> Rarity:
        """How rare each word is in the library as it is now."""
        self.surrogate.follow()
        return self.surrogate.rarity


@dataclass(frozen=True)
class _Watch:
    """Whoever follows an answer as it comes."""

    on_stage: Callable[[str], None] | None
    on_text: Callable[[str], None] | None
    should_stop: Callable[[], bool] | None

    def after(self, answers: Sequence[Answer]) -> _Watch:
        """For the next part: its text comes behind the answers to the parts before."""
        on_text, before = self.on_text, "".join(f"{answer.text}\n\n" for answer in answers if answer.route != "declined")
        return self if on_text is None else replace(self, on_text=lambda text: on_text(before + text))


class _Clock:
    """Seconds of each step, for the answer's timings."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self.timings = Timings(total=0.0)

    def lap(self, step: str) -> None:
        now = time.perf_counter()
        self.timings = replace(self.timings, **{step: now - self._last})
        self._last = now

    def stop(self) -> Timings:
        return replace(self.timings, total=time.perf_counter() - self._start)


def answer(
    question: str,
    resources: Resources,
    *,
    collection: str | None = None,
    route: AskRoute = "auto",
    previous: str | None = None,
    on_stage: Callable[[str], None] | None = None,
    on_text: Callable[[str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Answer:
    """Answer a question from the library: instantly when the surrogate is sure, else written by the engine, else declined.

    What a person corrected comes before all of that, or in front of it where it bears on a cited passage.
    `previous` is the chat's question before this one, for follow-ups. `on_text` gets the unchecked text while it is written.

    Raises:
        QuestionRefused: the question is empty or too long.
    """
    clock = _Clock()
    asked = normalise(question)
    full = with_topic(asked, previous)
    hits = resources.surrogate.search(full, collection, HITS)
    clock.lap("search")
    if route != "engine":
        corrected = corrections.answer(resources.library, full, collection, resources.rarity(), clock.stop())
        if corrected is not None:
            return corrected
    given = _answered(full, hits, resources, clock, collection, route, _Watch(on_stage, on_text, should_stop))
    if given.route == "engine":
        given = replace(given, notes=(*given.notes, *_caveats(asked, is_alone=full == asked)))
    return corrections.put_first(given, resources.library, full, collection, resources.rarity())


def _answered(
    full: str, hits: Sequence[Hit], resources: Resources, clock: _Clock, collection: str | None, route: AskRoute, watch: _Watch
) -> Answer:
    """The documents' own answer: instant, written or declined."""
    if not hits:
        return _declined(EMPTY_LIBRARY if _is_empty(resources.library, collection) else NOT_FOUND, hits, clock)
    if route != "engine":
        prediction = resources.surrogate.predict(full, hits, collection)
        clock.lap("surrogate")
        if prediction is not None and _is_sure(prediction, resources):
            given = _instant(prediction, resources.library, clock)
            if given is not None:
                return given
        if route == "surrogate":
            return _declined(NO_INSTANT, hits, clock)
    asked = parts.split(full)
    answers: list[Answer] = []
    for part in asked:
        if not answers or STOPPED not in answers[-1].notes:
            found = resources.surrogate.search(part, collection, HITS, to_read=True)
            answers.append(_read(part, found, resources, clock, watch.after(answers)))
    return parts.join(asked, answers) if len(asked) > 1 else answers[0]


def _read(question: str, hits: Sequence[Hit], resources: Resources, clock: _Clock, watch: _Watch) -> Answer:
    """The answer that is written from the passages found, or the refusal to write one."""
    reading = resources.surrogate.reading(question, hits)
    if not is_answerable(question, hits, resources.rarity(), reading):
        return _declined(NOT_FOUND, hits, clock, reading)
    ranked = best_units(question, hits, reading, resources)
    if not names_the_part(question, " > ".join(ranked[0].passage.heading), ranked[0].text):
        return _declined(NOT_FOUND, hits, clock, reading)
    if watch.on_stage is not None:
        watch.on_stage("reading the passages")
    return _written(question, hits, ranked, resources, clock, watch)


def best_units(question: str, hits: Sequence[Hit], reading: Reading | None, resources: Resources) -> list[Quote]:
    """The units of the passages that an answer may be written from, best first: as they were read, else by their own vectors."""
    if reading is not None and reading.has_read(hits):
        return reading.quotes()
    return rank_units(question, _distinct(hits)[:READ], resources.rarity(), resources.library.encoder)


def _caveats(asked: str, *, is_alone: bool) -> list[str]:
    """What the reader of a written answer must know about the question; instant answers are not given to such."""
    is_in_part = not is_one_question(asked) and len(parts.split(asked)) == 1
    return [SEVERAL] * is_in_part + [UNNAMED] * (is_alone and not has_referents(asked))


def _is_sure(prediction: Prediction, resources: Resources) -> bool:
    level = settings.load(resources.library.connection).level
    return prediction.refused_by is None and prediction.confidence >= threshold.accept_at(resources.library, level)


def _instant(prediction: Prediction, library: Library, clock: _Clock) -> Answer | None:
    """The answer with its place in the bank; None when a passage that it was read in has gone meanwhile."""
    answer_id = prediction.answer_id if prediction.answer_id is not None else _kept(prediction, library)
    if answer_id is None:
        return None
    quotes = [Quote(source.passage, *_place(source.passage, source.quote)) for source in prediction.sources]
    return Answer(
        text=prediction.text,
        route="surrogate",
        confidence=prediction.confidence,
        citations=tuple(quote.citation() for quote in quotes),
        seconds=clock.stop(),
        answer_id=answer_id,
        matched_question=prediction.matched_question or None,
        teacher=bank.teacher_of(library.connection, answer_id, prediction.matched_question),
    )


def _kept(prediction: Prediction, library: Library) -> int | None:
    """Keep in the bank what was read in the passages, for audits and verdicts; its id, None when a passage is gone."""
    quotes = tuple(
        pairs.Quote(source.passage.id, *_place(source.passage, source.quote)) for source in prediction.sources if source.quote.strip()
    )
    pair = pairs.Pair(prediction.matched_question, prediction.text, quotes, "structure")
    return bank.adopt(library.connection, pair, library.newest_seq(prediction.sources[0].passage.collection))


def _written(question: str, hits: Sequence[Hit], ranked: Sequence[Quote], resources: Resources, clock: _Clock, watch: _Watch) -> Answer:
    from engine.errors import EngineError

    rarity = resources.rarity()
    passages = list(dict.fromkeys(quote.passage for quote in ranked))
    composed = compose(question, ranked[0])
    quotes = procedures.complete(question, ranked[0], with_context(ranked[0], composed), resources.library)
    begun = prompt.opening("\n".join(quote.text for quote in composed))
    try:
        with resources.scheduler.for_question() as engine:
            request = prompt.build(question, passages, begun, engine.count_tokens, engine.context_tokens)
            teacher = engine.model_name
            generation = engine.generate(request, on_text=_gather(begun, watch.on_text), should_stop=watch.should_stop)
    except (EngineError, ModelMissing) as error:
        return _declined(f"The language model could not answer: {error}. The nearest passages are below.", hits, clock)
    clock.lap("engine")
    settled = settle(
        begun + generation.text, question, quotes, passages[: prompt.SHIPPED.passages], rarity, is_finished=generation.finish == "stop"
    )
    answer = _shown(settled, hits, resources, clock, [STOPPED] * (generation.finish == "cancelled"))
    answer = conflicts.beside(answer, question, ranked, rarity)
    seconds = replace(answer.seconds, first_token=generation.first_token_seconds)
    return replace(answer, seconds=seconds, teacher=teacher if answer.route == "engine" else None)


def _distinct(hits: Sequence[Hit]) -> list[Passage]:
    """The passages without those that say the same again, as two copies of a manual do."""
    distinct: dict[str, Passage] = {}
    for hit in hits:
        distinct.setdefault(hit.passage.text, hit.passage)
    return list(distinct.values())


def _gather(begun: str, on_text: Callable[[str], None] | None) -> Callable[[str], None] | None:
    """From the engine's pieces to the whole text so far, the words that it goes on from included."""
    if on_text is None:
        return None
    written = begun
    on_text(written)

    def gather(piece: str) -> None:
        nonlocal written
        written += piece
        on_text(written)

    return gather


def _shown(settled: Verified, hits: Sequence[Hit], resources: Resources, clock: _Clock, notes: list[str]) -> Answer:
    """The settled text with its citations, unless what it stands on was removed while it was written."""
    if not settled.quotes or not all(_is_there(quote, resources.library) for quote in settled.quotes):
        present = [hit for hit in hits if _is_there(Quote(hit.passage, 0, 0), resources.library)]
        return replace(_declined(NOT_FOUND, present, clock), notes=tuple(notes))
    return Answer(
        text=settled.text,
        route="engine",
        confidence=None,
        citations=tuple(quote.citation() for quote in settled.quotes),
        seconds=clock.stop(),
        notes=tuple([*[QUOTED] * _is_quoted(settled), *notes]),
    )


def _is_quoted(settled: Verified) -> bool:
    """Whether all of the text stands in the passages word for word, put there or written so."""
    held = [" ".join(quote.passage.text.split()) for quote in settled.quotes]
    return bool(settled.replaced) or any(" ".join(settled.text.split()) in text for text in held)


def _is_there(quote: Quote, library: Library) -> bool:
    try:
        library.passage(quote.passage.id)
    except KeyError:
        return False
    return True


def _declined(why: str, hits: Sequence[Hit], clock: _Clock, reading: Reading | None = None) -> Answer:
    nearest = tuple(_nearest(hit.passage, reading).citation() for hit in hits[:NEAREST])
    return Answer(text=why, route="declined", confidence=None, citations=nearest, seconds=clock.stop())


def _nearest(passage: Passage, reading: Reading | None) -> Quote:
    """What of a passage comes nearest to the question as it was read; all of it where it was not."""
    places = reading.quotes() if reading is not None else []
    return next((quote for quote in places if quote.passage.id == passage.id), Quote(passage, 0, len(passage.text)))


def _place(passage: Passage, quote: str) -> tuple[int, int]:
    start = passage.text.find(quote)
    return (start, start + len(quote)) if start >= 0 else (0, len(passage.text))


def _is_empty(library: Library, collection: str | None) -> bool:
    return next(iter(library.passages(collection)), None) is None
