"""An answer offers to be corrected; the dialog itself is driven in the browser tests."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from streamlit.testing.v1 import AppTest

from kb import jobs
from kb.library import Library
from surrogates import chat, schema, service
from surrogates.answer import Answer, Timings
from surrogates.quotes import Quote

Opened = Callable[[str], AppTest]
QUESTION = "What is the maximum pressure of the press?"


def answered(library: Library, home: Path) -> None:
    """A chat with one answered question."""
    passage = next(iter(library.passages()))
    answer = Answer("200 bar", "surrogate", 0.9, (Quote(passage, 0, 8).citation(),), Timings(0.01), answer_id=1, matched_question=QUESTION)
    with closing(schema.connect(home)) as connection:
        job_id = service.submit(home, QUESTION, None, "auto", chat.create(connection, None))
        jobs.claim(connection, ["ask"])
        jobs.finish(connection, job_id, answer.to_json())


def test_an_answer_says_how_it_was_understood_and_offers_to_correct_it(press: Library, home: Path, opened: Opened) -> None:
    answered(press, home)
    page = opened("ask")
    page.query_params["chat"] = "1"
    page.run()
    assert not page.exception, page.exception[0].value
    assert any(QUESTION in str(caption.value) for caption in page.caption)
    next(button for button in page.button if button.label == "Correct").click().run()
    assert page.text_area(key="correction-text").value == ""
    assert any("signed, dated" in str(caption.value) for caption in page.caption)
