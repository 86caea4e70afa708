"""One engine for questions and teaching."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from engine.request import Generation, Request, Segment
from surrogates.scheduling import ModelMissing, Scheduler
from surrogates.settings import Settings

LESSON = Request((Segment("Write a long story about a hydraulic pump.", "user"),), max_tokens=120)
QUESTION = Request((Segment("What is a pump?", "user"),), max_tokens=4)


def test_a_missing_model_says_how_to_get_one(tmp_path: Path) -> None:
    with Scheduler(Settings(model=str(tmp_path))) as scheduler, pytest.raises(ModelMissing, match=r"launch\.py setup"):
        scheduler.warm_up()


@pytest.mark.models
def test_a_question_goes_before_teaching_which_is_run_again_whole(default_pack: Path) -> None:
    with Scheduler(Settings()) as scheduler:
        alone = scheduler.generate_patiently(LESSON)
        ended: list[str] = []
        lessons: list[Generation] = []

        def teach() -> None:
            lessons.append(scheduler.generate_patiently(LESSON))
            ended.append("lesson")

        teaching = threading.Thread(target=teach)
        teaching.start()
        while not scheduler.is_busy:
            time.sleep(0.005)
        with scheduler.for_question() as engine:
            engine.generate(QUESTION)
            ended.append("question")
        teaching.join()
    assert ended == ["question", "lesson"]
    assert lessons[0].text == alone.text
    assert lessons[0].finish != "cancelled"


@pytest.mark.models
def test_teaching_that_is_stopped_comes_back_cancelled(default_pack: Path) -> None:
    with Scheduler(Settings()) as scheduler:
        assert scheduler.generate_patiently(LESSON, should_stop=lambda: True).finish == "cancelled"


@pytest.mark.models
def test_an_idle_engine_is_released_and_comes_back_when_asked(default_pack: Path) -> None:
    with Scheduler(Settings()) as scheduler:
        assert not scheduler.release_if_idle(0.0)
        scheduler.warm_up()
        assert not scheduler.release_if_idle(3600.0)
        assert scheduler.release_if_idle(0.0)
        with scheduler.for_question() as engine:
            assert engine.generate(QUESTION).tokens


@pytest.mark.models
def test_another_budget_starts_the_engine_anew(default_pack: Path) -> None:
    with Scheduler(Settings()) as scheduler:
        with scheduler.for_question() as engine:
            before = engine.process_id
        scheduler.follow(Settings(level=5))
        with scheduler.for_question() as engine:
            assert engine.process_id == before
        scheduler.follow(Settings(memory_bytes=600_000_000))
        with scheduler.for_question() as engine:
            assert engine.process_id != before
