"""The review page: verdicts, confirmations and corrections reach the bank, signed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from streamlit.testing.v1 import AppTest

from kb.library import Library
from surrogates import corrections, judging, proposals, sampling
from surrogates.answer import Answer, Timings
from surrogates.quotes import Quote
from surrogates.surrogate import Surrogate
from surrogates.wording import Rarity

Opened = Callable[[str], AppTest]
SENTENCE = "The relief valve of the pump is set to 210 bar at the factory."


def shown(page: AppTest) -> str:
    assert not page.exception, page.exception[0].value
    return "\n".join(str(each.value) for each in (*page.markdown, *page.caption, *page.info, *page.warning, *page.success))


def test_a_verdict_is_kept_with_the_name_of_who_gave_it(press: Library, opened: Opened) -> None:
    sampling.take_down(press.connection, "What is the maximum pressure of the press?", None, 1)
    sampling.prepare(Surrogate(press))
    page = opened("review")
    assert "200 bar" in shown(page)
    page.text_input(key="review-by").input("Ada").run()
    page.button(key="judge-right").click().run()
    assert judging.progress(press).judged == 1
    assert press.connection.execute("SELECT verdict, judged_by FROM judgements").fetchone()[:] == ("right", "Ada")
    assert "All questions with an instant answer are judged" in shown(page)


def test_the_certificate_says_how_many_are_missing(press: Library, opened: Opened) -> None:
    page = opened("review")
    needed = judging.certificate(press).needed
    assert f"0 of {needed} judged" in page.get("progress")[0].proto.text


def test_a_question_of_ones_own_is_taken_down(press: Library, opened: Opened) -> None:
    page = opened("review")
    page.text_input(key="own-question-text").input("how much pressure can the press take")
    next(button for button in page.button if button.label == "Enter").click().run()
    assert judging.progress(press).sampled == 1


def test_a_proposal_is_confirmed_only_by_name_and_can_be_taken_back(press: Library, opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "pump.md").write_text(f"# Pump\n\n## Relief valve\n\n{SENTENCE}\n", encoding="utf-8")
    press.add(tmp_path / "pump.md")
    passage = next(passage for passage in press.passages() if SENTENCE in passage.text)
    start = passage.text.find(SENTENCE)
    written = Answer(SENTENCE, "engine", None, (Quote(passage, start, start + len(SENTENCE)).citation(),), Timings(1.0), teacher="tiny")
    number = proposals.propose(press, "What is the relief valve of the pump set to?", written, Rarity.of_library(press.connection))
    assert number is not None
    page = opened("review")
    page.segmented_control(key="review-part").set_value("Proposals").run()
    assert page.button(key=f"confirm-{number}").disabled
    page.text_input(key="review-by").input("Ada").run()
    page.button(key=f"confirm-{number}").click().run()
    assert [one.decided_by for one in proposals.listing(press, "confirmed")] == ["Ada"]
    page.button(key=f"undo-{number}").click().run()
    assert [one.id for one in proposals.listing(press)] == [number]


def test_a_correction_is_listed_with_its_signature_and_can_be_withdrawn(press: Library, opened: Opened) -> None:
    number = corrections.correct(press, "What is the maximum pressure of the press?", "Ours runs at 42 bar.", "Ada")
    page = opened("review")
    page.segmented_control(key="review-part").set_value("Corrections").run()
    assert page.button(key=f"withdraw-{number}").disabled
    page.text_input(key="review-by").input("Ada").run()
    assert "Correction by Ada" in shown(page)
    page.button(key=f"withdraw-{number}").click().run()
    assert corrections.listing(press)[0].state == "withdrawn"
    page.button(key=f"restore-{number}").click().run()
    assert corrections.listing(press)[0].state == "active"
