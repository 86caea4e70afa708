"""The main path with the real model and encoder: what every answer keeps to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from kb.library import Library
from surrogates import corrections, router, schema
from surrogates.router import Resources, answer
from surrogates.scheduling import Scheduler
from surrogates.settings import Settings
from surrogates.surrogate import Surrogate

pytestmark = pytest.mark.models

PUMP = """# HP 40 pump

## Setting the relief valve

The relief valve of the pump is set to 210 bar at the factory. It must never be set above 230 bar.

## Replacing the suction strainer

1. Stop the pump and lock the main switch.
2. Drain the tank to below the strainer.
3. Unscrew the strainer with a 46 mm spanner.
4. Fit the new strainer and tighten it to 35 Nm.

## Alarms

| Alarm | Meaning | Remedy |
| --- | --- | --- |
| P-11 | Oil level low | Top up with HLP 46 |
| P-12 | Oil too hot | Clean the oil cooler |
"""


@pytest.fixture(scope="module")
def scheduler(default_pack: Path) -> Iterator[Scheduler]:
    with Scheduler(Settings()) as made:
        yield made


@pytest.fixture
def resources(home: Path, tmp_path: Path, default_encoder: Path, scheduler: Scheduler) -> Iterator[Resources]:
    file = tmp_path / "pump.md"
    file.write_text(PUMP, encoding="utf-8")
    schema.connect(home).close()
    with Library(home) as library:
        library.add(file, "Press 4")
        yield Resources(library, Surrogate(library), scheduler)


def test_a_written_answer_gives_the_fact_and_quotes_its_passage_word_for_word(resources: Resources) -> None:
    given = answer("What is the relief valve of the pump set to?", resources)
    assert given.route == "engine"
    assert "210 bar" in given.text
    for citation in given.citations:
        assert citation.quote in resources.library.passage(citation.passage_id).text
    assert given.citations[0].heading[-1] == "Setting the relief valve"
    assert given.seconds.first_token is not None


def test_a_procedure_comes_with_all_its_steps(resources: Resources) -> None:
    given = answer("How do I replace the suction strainer?", resources)
    assert all(part in given.text for part in ("lock the main switch", "Drain the tank", "46 mm", "35 Nm"))


def test_an_alarm_code_brings_its_row(resources: Resources) -> None:
    given = answer("What does alarm P-12 mean?", resources)
    assert "Oil too hot" in given.text
    assert "Oil level low" not in given.text


@pytest.mark.parametrize("question", ["Who won the football world cup in 1998?", "How do I change the toner of the printer?"])
def test_what_the_documents_do_not_hold_is_declined_with_the_nearest_passages(resources: Resources, question: str) -> None:
    given = answer(question, resources)
    assert given.route == "declined"
    assert given.citations


def test_a_removed_document_is_never_cited(resources: Resources) -> None:
    resources.library.remove(1)
    given = answer("What is the relief valve of the pump set to?", resources)
    assert (given.route, given.citations) == ("declined", ())


def test_a_document_removed_while_the_answer_is_written_is_not_cited(resources: Resources) -> None:
    removed: list[int] = []

    def remove(text: str) -> None:
        if not removed:
            removed.append(resources.library.remove(1).document_id)

    given = answer("What is the relief valve of the pump set to?", resources, on_text=remove)
    assert removed == [1]
    assert (given.route, given.citations) == ("declined", ())


def test_a_stopped_answer_says_that_it_was_stopped(resources: Resources) -> None:
    seen: list[str] = []
    given = answer("How do I replace the suction strainer?", resources, on_text=seen.append, should_stop=lambda: bool(seen))
    assert router.STOPPED in given.notes
    assert given.text


def test_another_collection_knows_nothing_of_it(resources: Resources) -> None:
    assert answer("What is the relief valve of the pump set to?", resources, collection="Press 5").route == "declined"


def test_a_follow_up_is_understood_with_the_question_before_it(resources: Resources) -> None:
    given = answer("And its remedy?", resources, previous="What does alarm P-12 mean?")
    assert "Clean the oil cooler" in given.text


def test_a_question_that_asks_for_two_things_is_answered_in_both_with_the_places_of_both(resources: Resources) -> None:
    seen: list[str] = []
    given = answer("What is the relief valve of the pump set to and what does alarm P-12 mean?", resources, on_text=seen.append)
    assert given.route == "engine"
    assert "210 bar" in given.text
    assert "Oil too hot" in given.text
    assert [citation.heading[-1] for citation in given.citations] == ["Setting the relief valve", "Alarms"]
    assert "210 bar" in seen[-1]
    assert router.SEVERAL not in given.notes


def test_a_part_that_the_documents_do_not_answer_is_named(resources: Resources) -> None:
    given = answer("How do I replace the suction strainer? And who won the football world cup in 1998?", resources)
    assert "35 Nm" in given.text
    assert any("football" in note for note in given.notes)


def test_parts_of_which_none_is_answered_are_declined(resources: Resources) -> None:
    assert answer("Who won the football world cup in 1998 and what is the capital of Peru?", resources).route == "declined"


def test_a_question_that_names_nothing_is_answered_with_a_note(resources: Resources) -> None:
    given = answer("How do I tighten it to 35 Nm?", resources)
    assert given.route == "engine"
    assert router.UNNAMED in given.notes


def test_a_correction_comes_before_the_instant_and_the_written_answer(resources: Resources) -> None:
    question = "What is the relief valve of the pump set to?"
    passage = next(passage for passage in resources.library.passages() if "210 bar" in passage.text)
    corrections.correct(resources.library, question, "Ours is set to 42 bar.", "Anna", passage_ids=[passage.id])
    instant, written = answer(question, resources), answer(question, resources, route="engine")
    assert (instant.route, instant.text) == ("surrogate", "Ours is set to 42 bar.")
    assert written.route == "engine"
    assert "42 bar" in written.text
    assert "210 bar" in written.text
    assert [given.citations[0].document[:18] for given in (instant, written)] == ["Correction by Anna"] * 2


def test_a_written_answer_names_its_model(resources: Resources) -> None:
    assert "SmolLM2" in (answer("What is the relief valve of the pump set to?", resources).teacher or "")


def test_without_an_instant_answer_the_surrogate_route_declines(resources: Resources) -> None:
    assert answer("What is the relief valve of the pump set to?", resources, route="surrogate").route == "declined"


def test_a_model_that_cannot_start_is_said_and_the_nearest_passages_are_shown(resources: Resources, tmp_path: Path) -> None:
    with Scheduler(Settings(model=str(tmp_path / "none"))) as missing, Scheduler(Settings(memory_bytes=5_000_000)) as small:
        for scheduler, said in ((missing, "there is no model"), (small, "too small")):
            given = answer("What is the relief valve of the pump set to?", replace(resources, scheduler=scheduler))
            assert given.route == "declined"
            assert said in given.text
            assert given.citations


def test_an_engine_that_dies_in_mid_answer_costs_that_answer_alone(resources: Resources) -> None:
    killed: list[int] = []

    def kill(text: str) -> None:
        if not killed:
            engines = [child for child in psutil.Process().children() if "engine.process" in " ".join(child.cmdline())]
            engines[-1].kill()
            killed.append(engines[-1].pid)

    given = answer("How do I replace the suction strainer?", resources, on_text=kill)
    assert given.route == "declined"
    assert "ended unexpectedly" in given.text
    assert answer("How do I replace the suction strainer?", resources).route == "engine"
