"""Teaching: passage by passage, pairs from structure and from the engine pass the filters into the bank.

Each passage is one transaction with its row in `taught_passages`, so that a run that is stopped or killed goes on where it was,
without duplicates. A row with an empty teacher has had its structure read; the engine has written for one that names it.
"""

from __future__ import annotations

import json
import logging
import math
import sqlite3
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from kb.database import transaction
from surrogates import audits, bank, freshness, interaction, judging, proposals, schema, structure, training, writing
from surrogates.ahead import in_order
from surrogates.extract import extract
from surrogates.filter import Tally, finds_its_passage, instructs_the_model, reason_to_drop, without_repeats
from surrogates.model import current
from surrogates.pairs import Pair
from surrogates.remembering import remember
from surrogates.remote import TeacherFailed
from surrogates.wording import Rarity, words

if TYPE_CHECKING:
    from engine.request import Generation, Request
    from kb.library import Library
    from kb.records import Passage

STRUCTURE_VERSION = "structure-1"
LEAST_WORDS = 12
"""The engine is not asked about passages that say less."""
FAILURES_IN_A_ROW = 5
"""Passages for which the teacher may fail one after the other before the run ends."""
Progress = Callable[[str, float], None]
"""Gets (what is being done, in the user's words; share done 0..1)."""
ASKED_LATELY = 1_000
"""Questions that tell which passages are asked about."""
AHEAD = 50
"""Passages whose questions are encoded in one go."""
log = logging.getLogger(__name__)

train = training.train


@dataclass(frozen=True)
class Taught:
    """What a run did. `stopped` means that passages are left for the next one."""

    passages: int
    stopped: bool
    tally: Tally
    engine_s: float

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class _Written:
    """The teacher's questions for one passage, the seconds they took and what was counted meanwhile; `texts` None when it was stopped."""

    texts: list[str] | None
    seconds: float
    tally: Tally


@dataclass
class _Run:
    """One run's fixed things and its sums."""

    library: Library
    complete: Callable[[Request], Generation]
    teacher: str
    should_stop: Callable[[], bool]
    on_progress: Progress
    rarity: Rarity
    at_once: int
    tally: Tally = field(default_factory=Tally)
    engine_s: float = 0.0
    passages: int = 0


def teach(
    library: Library,
    complete: Callable[[Request], Generation],
    *,
    limit: int | None = None,
    collection: str | None = None,
    teacher: str = "engine",
    at_once: int = 1,
    on_progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Taught:
    """Make pairs for the passages that have none yet, and keep those that pass every filter; the engine writes for `limit` at most.

    The most asked and most central passages come first. `complete` runs one request; `teacher` names its model, and `at_once` says how many
    requests it takes at a time, each on a thread. Raises what `complete` raises, a `TeacherFailed` only after `FAILURES_IN_A_ROW`; what
    was kept until then stays.
    """
    schema.of(library)
    remember(library)
    bank.use_encoder(library)
    freshness.replay(library)
    run = _Run(library, complete, teacher, should_stop or _never, on_progress or _ignore, Rarity.of_library(library.connection), at_once)
    waiting = _in_order(library, _waiting(library, collection))
    interaction.read(library, lambda share: run.on_progress("reading passages", 0.1 * share), run.should_stop)
    if run.should_stop() or not _read_structure(run, waiting) or not _write_questions(run, waiting[:limit]):
        return Taught(run.passages, True, run.tally, run.engine_s)
    freshness.recheck(library, run.should_stop)
    return Taught(run.passages, run.should_stop(), run.tally, run.engine_s)


def status(library: Library) -> dict[str, Any]:
    """How far teaching is: passages, pairs by filter, answers by state, engine seconds, the trained model and its certificates."""
    connection = schema.of(library)
    tally, engine_s, teachers = Tally(), 0.0, Counter[str]()
    for counts, seconds, teacher in connection.execute("SELECT counts, engine_s, teacher FROM taught_passages"):
        tally.add(Tally(**json.loads(counts)))
        engine_s += seconds
        teachers[teacher] += 1
    total = int(connection.execute("SELECT count(*) FROM passages").fetchone()[0])
    model = current(library.home, library.encoder.name)
    return {
        "passages": total,
        "taught": sum(count for teacher, count in teachers.items() if teacher),
        "structure_read": sum(teachers.values()),
        "teachers": {name: count for name, count in teachers.items() if name},
        **asdict(tally),
        "bank": bank.counts(connection),
        "engine_s": round(engine_s, 1),
        **_break_even(connection, engine_s),
        "model": {"trained": bool(model.facts), "problem": model.problem, **model.facts},
        "certificates": [{**certificate.to_json(), "sentence": certificate.sentence()} for certificate in judging.certificates(library)],
        "judging": asdict(judging.progress(library)),
        "audits": {**asdict(audits.state(library)), "sentence": audits.state(library).sentence()},
        "proposals": {"waiting": len(proposals.listing(library)), "dropped": proposals.dropped(library)},
    }


def _break_even(connection: sqlite3.Connection, engine_s: float) -> dict[str, Any]:
    """How many instant answers give back the teacher's seconds, by what answers of both kinds took lately; None before there are both."""
    taken = {}
    for route in ("engine", "surrogate"):
        rows = connection.execute(
            "SELECT json_extract(result, '$.seconds.total') FROM jobs WHERE kind = 'ask' AND state = 'done'"
            " AND json_extract(result, '$.route') = ? ORDER BY id DESC LIMIT ?",
            (route, ASKED_LATELY),
        ).fetchall()
        taken[route] = statistics.median(row[0] for row in rows) if rows else None
    written, instant = taken["engine"], taken["surrogate"]
    if written is None or instant is None or written <= instant:
        return {"written_s": written, "instant_s": instant, "break_even_questions": None}
    return {"written_s": written, "instant_s": instant, "break_even_questions": math.ceil(engine_s / (written - instant))}


def examples(library: Library, limit: int = 20) -> list[dict[str, Any]]:
    """The newest pairs that serve, with where they come from, for a person to look at."""
    rows = library.connection.execute(
        f"WITH serving AS ({bank.SERVING}) SELECT q.text AS question, a.text AS answer, q.source, d.name AS document, p.heading,"
        " p.page_first AS page"
        " FROM bank_questions q JOIN bank_answers a ON a.id = q.answer_id JOIN bank_sources s ON s.answer_id = a.id"
        " JOIN passages p ON p.id = s.passage_id JOIN documents d ON d.id = p.document_id WHERE a.id IN (SELECT id FROM serving)"
        " GROUP BY q.id ORDER BY q.id DESC LIMIT ?",
        (limit,),
    )
    return [{**dict(row), "heading": json.loads(row["heading"])} for row in rows]


def _waiting(library: Library, collection: str | None) -> list[Passage]:
    done = {int(row[0]) for row in library.connection.execute("SELECT passage_id FROM taught_passages WHERE teacher != ''")}
    return [passage for passage in library.passages(collection) if passage.id not in done]


def _in_order(library: Library, passages: Sequence[Passage]) -> list[Passage]:
    """Passages that answers cited most first, then those nearest to what their document is about."""
    asked = _cited(library)
    by_document: dict[int, list[Passage]] = defaultdict(list)
    for passage in passages:
        by_document[passage.document_id].append(passage)
    scored: list[tuple[int, float, int, Passage]] = []
    for group in by_document.values():
        vectors = library.vectors([passage.id for passage in group])  # [n, d]
        scores = vectors @ vectors.mean(axis=0)
        scored += [(-asked[passage.id], -float(score), passage.id, passage) for score, passage in zip(scores, group, strict=True)]
    return [entry[-1] for entry in sorted(scored, key=lambda entry: entry[:3])]


def _cited(library: Library) -> Counter[int]:
    """How often each passage was cited first by an answer, over the latest questions."""
    rows = library.connection.execute(
        "SELECT json_extract(result, '$.citations[0].passage_id') FROM jobs WHERE kind = 'ask' AND state = 'done' ORDER BY id DESC LIMIT ?",
        (ASKED_LATELY,),
    )
    return Counter(int(row[0]) for row in rows if row[0])


def _read_structure(run: _Run, waiting: Sequence[Passage]) -> bool:
    """The pairs that structure gives for passages not read yet; False when it was stopped."""
    read = {int(row[0]) for row in run.library.connection.execute("SELECT passage_id FROM taught_passages")}
    chosen = [passage for passage in waiting if passage.id not in read]
    pairs = _structure_pairs(run.library, {passage.document_id for passage in chosen})
    for number, passage in enumerate(chosen):
        if run.should_stop():
            return False
        if number % AHEAD == 0:
            ahead = [pair.question for coming in chosen[number : number + AHEAD] for pair in pairs.get(coming.id, [])]
            run.library.encoder.encode(ahead)
        run.on_progress("reading headings, tables and steps", 0.1 + 0.1 * number / max(1, len(chosen)))
        _record(run, passage, pairs.get(passage.id, []), "", STRUCTURE_VERSION, 0.0, Tally())
    return True


def _structure_pairs(library: Library, document_ids: set[int]) -> dict[int, list[Pair]]:
    """Pairs by the first passage that they rest on."""
    by_document: dict[int, list[Passage]] = defaultdict(list)
    for passage in library.passages():
        by_document[passage.document_id].append(passage)
    sections = {(passage.document_id, passage.heading) for group in by_document.values() for passage in group if passage.heading}
    titles = Counter(structure.clean_title(heading[-1]).casefold() for _, heading in sections)
    shared = frozenset(title for title, count in titles.items() if count > 1)
    found: dict[int, list[Pair]] = defaultdict(list)
    for document_id in document_ids:
        for pair in structure.pairs(by_document[document_id], shared):
            found[pair.quotes[0].passage_id].append(pair)
    return found


def _write_questions(run: _Run, waiting: Sequence[Passage]) -> bool:
    """The teacher's questions for each passage; False when it was stopped.

    A passage for which the teacher fails is left for the next run, and the reason counted; failing again and again ends the run.
    """
    failures = done = 0
    for passage, written in in_order(waiting, partial(_written, run), run.at_once, run.should_stop):
        if run.should_stop():
            return False
        run.on_progress(f"writing questions, passage {done + 1} of {len(waiting)}", 0.2 + 0.8 * done / len(waiting))
        done += 1
        try:
            found = written()
        except TeacherFailed as error:
            failures += 1
            log.warning("passage %d was not taught: %s", passage.id, error)
            run.tally.drop(error.reason)
            if failures == FAILURES_IN_A_ROW:
                raise
            continue
        if found.texts is None:
            return False
        failures = 0
        pairs = list(_extracted(run, passage, found.texts, found.tally))
        _record(run, passage, pairs, run.teacher, writing.PROMPT_VERSION, found.seconds, found.tally)
    return done == len(waiting)


def _written(run: _Run, passage: Passage) -> _Written:
    """Ask the teacher about a passage; touches nothing that another thread may use."""
    tally = Tally()
    if instructs_the_model(passage.text):
        tally.drop("instruction")
        return _Written([], 0.0, tally)
    if len(words(passage.text)) < LEAST_WORDS:
        return _Written([], 0.0, tally)
    started = time.monotonic()
    generation = run.complete(writing.request(passage))
    if generation.finish == "cancelled":
        return _Written(None, 0.0, tally)
    texts = writing.questions(generation.text)
    if not texts:
        tally.drop("no question written")
    return _Written(texts, time.monotonic() - started, tally)


def _extracted(run: _Run, passage: Passage, texts: Sequence[str], tally: Tally) -> Iterator[Pair]:
    for text in texts:
        quote = extract(text, passage, run.rarity, run.library.encoder)
        if quote is None:
            tally.drop("no agreement")
            continue
        yield Pair(text, passage.text[quote.start : quote.end], (quote,), "engine")


def _record(run: _Run, passage: Passage, pairs: Sequence[Pair], teacher: str, prompt_version: str, engine_s: float, tally: Tally) -> None:
    """Filter the pairs of one passage and keep the rest, in one transaction with the passage's row."""
    seq = run.library.newest_seq()
    kept = list(_passing(run, without_repeats(pairs, tally), passage.collection, tally))
    vectors = run.library.encoder.encode([pair.question for pair in kept])  # [n, d]
    connection = run.library.connection
    with transaction(connection):
        added = bank.store(connection, kept, np.asarray(vectors), teacher=teacher, prompt_version=prompt_version, checked_seq=seq)
        tally.keep(added)
        for _ in range(len(kept) - added):
            tally.drop("duplicate")
        _mark(run, passage, teacher, prompt_version, engine_s, tally)
    run.tally.add(tally)
    run.engine_s += engine_s
    run.passages += bool(teacher)


def _passing(run: _Run, pairs: Sequence[Pair], collection: str, tally: Tally) -> Iterator[Pair]:
    for pair in pairs:
        try:
            passages = [run.library.passage(id_) for id_ in dict.fromkeys(quote.passage_id for quote in pair.quotes)]
        except KeyError:
            tally.drop("document gone")
            continue
        reason = reason_to_drop(pair, passages, run.rarity)
        if reason is None and not finds_its_passage(run.library, pair, collection):
            reason = "not found again"
        if reason is None:
            yield pair
        else:
            tally.drop(reason)


def _mark(run: _Run, passage: Passage, teacher: str, prompt_version: str, engine_s: float, tally: Tally) -> None:
    connection = run.library.connection
    if connection.execute("SELECT 1 FROM passages WHERE id = ?", (passage.id,)).fetchone() is None:
        return
    row = connection.execute("SELECT counts, engine_s FROM taught_passages WHERE passage_id = ?", (passage.id,)).fetchone()
    total = Tally(**json.loads(row[0])) if row else Tally()
    total.add(tally)
    connection.execute(
        "INSERT OR REPLACE INTO taught_passages(passage_id, teacher, prompt_version, counts, engine_s) VALUES (?, ?, ?, ?, ?)",
        (passage.id, teacher, prompt_version, json.dumps(asdict(total)), engine_s + (row[1] if row else 0.0)),
    )


def _never() -> bool:
    return False


def _ignore(stage: str, share: float) -> None:
    """Progress that nobody watches."""
