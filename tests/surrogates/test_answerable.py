"""Whether the library holds the answer: the search's evidence where passages wait to be read, the reader beside it where none does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from engine.request import Generation, Request
from kb.encoder import Encoder
from kb.library import Library
from kb.records import Hit
from surrogates import answerable, interaction, reader, router, teaching
from surrogates.answerable import Evidence, is_enough, probability
from surrogates.scheduling import Scheduler
from surrogates.settings import Settings
from surrogates.surrogate import Surrogate

STRONG = Evidence(cosine=0.8, sentence=0.9, covered=1.0, together=1.0, codes=1.0)
WEAK = Evidence(cosine=0.1, sentence=0.0, covered=0.1, together=0.1, codes=0.0)
PRESS = """# Press P40

## Pressures

The working pressure is 180 bar. The relief valve opens at 200 bar. Set it with the lock nut loose and the pump cold.

## Hydraulic oil

Fill the tank with 60 l of oil of grade HLP 46. Change the oil after 2000 hours, the first time after 50 hours.

## Cleaning

Wipe the guides with a lint-free cloth. Never use compressed air: it drives chips under the wipers.
"""


def silent(request: Request) -> Generation:
    return Generation("", 0, 0, "stop", 0.0, 0.0, 0.0, 0.0, 0.0, 0, "exact")


def read(surrogate: Surrogate, question: str, hits: Sequence[Hit]) -> float | None:
    reading = surrogate.reading(question, hits)
    return None if reading is None else reading.answerable(hits)


@pytest.fixture
def press(home: Path, tmp_path: Path, default_encoder: Path) -> Iterator[Library]:
    with Library(home, Encoder(default_encoder)) as library:
        (tmp_path / "press.md").write_text(PRESS, encoding="utf-8")
        library.add(tmp_path / "press.md")
        yield library


def test_the_reader_and_the_evidence_must_both_speak_for_an_answer() -> None:
    assert is_enough(STRONG, answerable.READ_AT_LEAST)
    assert not is_enough(STRONG, answerable.READ_AT_LEAST - 0.01)
    assert not is_enough(WEAK, 1.0)


def test_unread_the_evidence_alone_decides_and_has_to_be_clearer() -> None:
    between = next(
        found
        for found in (replace(STRONG, cosine=step / 100, covered=0.3) for step in range(100))
        if probability(found) >= answerable.DOUBTED_BELOW
    )
    assert is_enough(STRONG, None)
    assert not is_enough(between, None)
    assert is_enough(between, 1.0)


@pytest.mark.models
def test_nothing_is_told_while_a_passage_waits_to_be_read(press: Library) -> None:
    surrogate, question = Surrogate(press), "at what pressure does the relief valve open"
    teaching.teach(press, silent)
    hits = press.search(question)
    assert read(surrogate, question, hits) is not None
    with press.connection:
        press.connection.execute("DELETE FROM passage_tokens WHERE passage_id = ?", (hits[-1].passage.id,))
    assert read(Surrogate(press), question, hits) is None


@pytest.mark.models
def test_what_a_manual_does_not_tell_looks_less_answerable_than_what_it_tells(press: Library) -> None:
    teaching.teach(press, silent)
    surrogate = Surrogate(press)

    def told(question: str) -> float:
        found = read(surrogate, question, press.search(question))
        assert found is not None
        return found

    assert told("how much oil goes into the tank") >= answerable.READ_AT_LEAST
    assert told("how much oil goes into the tank") > told("what does the tank weigh when empty")
    assert told("who won the world cup in 1998") < answerable.READ_AT_LEAST


def test_another_encoder_leaves_it_to_the_evidence(word_library: Library, add: Callable[[str, str], int]) -> None:
    add("press.md", PRESS)
    teaching.teach(word_library, silent)
    question = "relief valve opens at"
    hits = word_library.search(question)
    assert interaction.unread(word_library) == []
    assert read(Surrogate(word_library), question, hits) is None


@pytest.mark.models
def test_a_question_that_the_reader_finds_untold_is_declined_without_the_engine(press: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    teaching.teach(press, silent)
    with Scheduler(Settings()) as scheduler:
        resources = router.Resources(press, Surrogate(press), scheduler)
        monkeypatch.setattr(reader.Reading, "answerable", lambda reading, hits: answerable.READ_AT_LEAST - 0.01)
        given = router.answer("How much oil goes into the tank of the press?", resources, route="engine")
    assert given.route == "declined"
    assert given.citations
