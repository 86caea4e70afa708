"""The main job in a real browser: documents in, questions asked, answers with their pages, teaching, removal."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.app import App, ask, engine_process, marks, open_page, stop_button, upload, wait_for_worker

pytestmark = [pytest.mark.browser, pytest.mark.models]
Visit = Callable[..., Page]
ANSWER_MS = 180_000
COMPRESSOR = b"# Compressor K7\n\n## Receiver\n\nThe safety valve of the compressor K7 receiver opens at 11.3 bar.\n"
QUESTION = "What is the rated pressure of the HX 300 pump?"


@pytest.fixture(scope="module", autouse=True)
def sample_library(app: App, window: Browser) -> None:
    """The sample library, added as a newcomer adds it."""
    page = open_page(window, app, "library")
    page.get_by_role("button", name="Add the sample library").click()
    expect(page.get_by_text("3 documents,")).to_be_visible(timeout=ANSWER_MS)
    page.get_by_role("button", name="Dismiss").click()
    page.context.close()
    wait_for_worker(app)


@contextmanager
def slow_model(app: App) -> Iterator[None]:
    """While this holds, the model writes nothing: its process is suspended, as on a machine that is very busy."""
    engine = engine_process(app)
    engine.suspend()
    try:
        yield
    finally:
        if psutil.pid_exists(engine.pid):
            engine.resume()


def test_an_answer_opens_the_cited_page_as_a_picture(visit: Visit) -> None:
    page = visit()
    ask(page, QUESTION)
    expect(marks(page).last).to_be_visible(timeout=ANSWER_MS)
    chip = page.get_by_role("button", name=re.compile(r"1 · HX .* · page \d"))
    chip.first.click()
    picture = page.get_by_role("dialog").get_by_role("img", name=re.compile("the cited passage marked"))
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.complete && image.naturalWidth") > 500


def test_a_source_without_pages_shows_its_text_with_the_quote_marked(visit: Visit) -> None:
    page = visit()
    ask(page, "What is the flash point of Hydra 46?")
    expect(marks(page).last).to_be_visible(timeout=ANSWER_MS)
    page.get_by_role("button", name=re.compile(r"^\S* ?1 · Hydra 46")).first.click()
    expect(page.get_by_role("dialog").locator("mark").first).to_be_visible()


@pytest.mark.slow
def test_a_running_answer_survives_a_reload_is_seen_in_a_second_window_and_can_be_stopped(visit: Visit, app: App) -> None:
    page = visit()
    with slow_model(app):
        ask(page, QUESTION)
        expect(stop_button(page)).to_be_visible()
        page.reload()
        expect(stop_button(page)).to_be_visible()
        second = visit(page.url.removeprefix(app.address).lstrip("/"))
        stop_button(second).click()
        expect(stop_button(page, "Stopping")).to_be_visible()
    for one in (page, second):
        expect(marks(one, r"stopped( before it was finished)?$").first).to_be_visible(timeout=ANSWER_MS)


def test_a_model_that_dies_in_mid_answer_is_told_and_the_next_question_works(visit: Visit, app: App) -> None:
    page = visit()
    with slow_model(app):
        ask(page, QUESTION)
        expect(stop_button(page)).to_be_visible()
        engine_process(app).kill()
    expect(stop_button(page)).to_have_count(0, timeout=ANSWER_MS)
    ask(page, QUESTION)
    expect(marks(page, r"written$").last).to_be_visible(timeout=ANSWER_MS)


def test_a_chat_is_renamed_found_again_and_deleted(visit: Visit) -> None:
    page = visit()
    ask(page, "Who won the world cup in 1998?")
    expect(marks(page).last).to_be_visible(timeout=ANSWER_MS)
    page.get_by_role("button", name="Chat", exact=True).click()
    page.get_by_label("Name of this chat").fill("Football")
    page.get_by_label("Name of this chat").press("Enter")
    expect(page.get_by_role("heading", name="Football")).to_be_visible()
    page.get_by_role("button", name="New chat").click()
    page.get_by_role("button", name="Football").click()
    expect(page.get_by_text("Who won the world cup in 1998?").first).to_be_visible()
    page.get_by_role("button", name="Chat", exact=True).click()
    page.get_by_role("button", name="Delete this chat").click()
    expect(page.get_by_role("button", name="Football")).to_have_count(0)


def test_a_removed_document_goes_at_once_and_old_answers_say_so(visit: Visit) -> None:
    page = visit("library")
    upload(page, {"Compressor K7.md": COMPRESSOR})
    expect(page.get_by_text("4 documents,")).to_be_visible(timeout=ANSWER_MS)
    asking = visit()
    ask(asking, "At what pressure does the safety valve of the compressor K7 receiver open?")
    expect(asking.get_by_role("button", name=re.compile("Compressor K7")).first).to_be_visible(timeout=ANSWER_MS)
    row = page.locator('[class*="st-key-document-"]', has_text="Compressor K7.md")
    row.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("dialog").get_by_text("1 passage")).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_text("3 documents,")).to_be_visible()
    asking.reload()
    expect(asking.get_by_role("button", name=re.compile("Compressor K7.* removed")).first).to_be_visible()


@pytest.mark.slow
def test_after_teaching_a_taught_question_is_answered_instantly(visit: Visit) -> None:
    page = visit("teach")
    page.get_by_label("How much").click()
    page.get_by_role("option", name="Some, to try it").click()
    page.get_by_label("Passages, if some").fill("4")
    page.get_by_role("button", name="Start teaching").click()
    expect(page.get_by_text("Teaching is done")).to_be_visible(timeout=2 * ANSWER_MS)
    question = page.locator(".st-key-examples strong").first.inner_text()
    asking = visit()
    ask(asking, question)
    expect(marks(asking, r"sure$").last).to_be_visible(timeout=ANSWER_MS)


def test_the_dark_theme_follows_the_system(visit: Visit) -> None:
    light, dark = visit("settings"), visit("settings", dark=True)
    assert _brightness(light) > 200 > 60 > _brightness(dark)


def _brightness(page: Page) -> float:
    color = page.locator('[data-testid="stApp"]').evaluate("element => getComputedStyle(element).backgroundColor")
    return sum(int(part) for part in re.findall(r"\d+", color)[:3]) / 3
