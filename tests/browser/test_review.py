"""What people say about answers, in a real browser: a correction made, shown first, and taken back."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.app import App, ask, marks, open_page, wait_for_worker

pytestmark = [pytest.mark.browser, pytest.mark.models, pytest.mark.slow]
ANSWER_MS = 180_000
QUESTION = "What is the rated pressure of the HX 300 pump?"
SAID = "Ours runs at 42 bar since the rebuild."


@pytest.fixture(scope="module", autouse=True)
def sample_library(app: App, window: Browser) -> None:
    """The sample library, added as a newcomer adds it."""
    page = open_page(window, app, "library")
    page.get_by_role("button", name="Add the sample library").click()
    expect(page.get_by_text("3 documents,")).to_be_visible(timeout=ANSWER_MS)
    page.context.close()
    wait_for_worker(app)


def test_a_correction_answers_from_then_on_until_it_is_withdrawn(visit: Callable[..., Page]) -> None:
    page = visit()
    ask(page, QUESTION)
    expect(marks(page).last).to_be_visible(timeout=ANSWER_MS)
    page.get_by_role("button", name="Correct").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("What is right").fill(SAID)
    dialog.get_by_label("Your name").fill("Ada")
    dialog.get_by_role("button", name="Keep the correction").click()
    expect(dialog).to_have_count(0)
    ask(page, QUESTION)
    expect(page.get_by_test_id("stChatMessage").last.get_by_text(SAID).first).to_be_visible(timeout=ANSWER_MS)
    expect(page.get_by_role("button", name=re.compile("Correction by Ada")).first).to_be_visible()
    review = visit("review")
    expect(review.get_by_label("Your name")).to_have_value("Ada")
    review.get_by_role("radio", name="Corrections").or_(review.get_by_role("button", name="Corrections")).first.click()
    review.get_by_role("button", name="Withdraw").click()
    expect(review.get_by_role("button", name="Restore")).to_be_visible()
