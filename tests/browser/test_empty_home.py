"""What a newcomer sees before there is a document, and what becomes of files that cannot be added."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.app import App, upload

pytestmark = [pytest.mark.browser, pytest.mark.models]
Visit = Callable[..., Page]


def test_every_page_of_an_empty_library_leads_to_adding_documents(visit: Visit) -> None:
    page = visit()
    expect(page.get_by_text("The library is empty")).to_be_visible()
    page.get_by_role("link", name="Go to the library").click()
    expect(page.get_by_role("button", name="Add the sample library")).to_be_visible()
    page.get_by_role("link", name="Teach").click()
    expect(page.get_by_text("The library is empty")).to_be_visible()
    page.get_by_role("link", name="Settings").click()
    expect(page.get_by_text("How sure an instant answer must be")).to_be_visible()


def test_no_page_asks_anything_of_the_outside(visit: Visit, app: App) -> None:
    page, asked = visit(), set[str]()
    page.on("request", lambda request: asked.add(urlsplit(request.url).hostname or ""))
    for name in ("", "library", "teach", "review", "insights", "settings"):
        page.goto(f"{app.address}/{name}", wait_until="networkidle")
    assert asked - {""} == {urlsplit(app.address).hostname}


def test_files_that_cannot_be_added_are_named_with_a_reason_until_dismissed(visit: Visit, app: App) -> None:
    page = visit("library")
    upload(
        page,
        {
            "empty.pdf": b"",
            "../../outside.pdf": b"%PDF-1.7 and then nothing that a reader could use",
            "old.doc": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 old",
        },
    )
    expect(page.get_by_text("refused")).to_have_count(3, timeout=180_000)
    expect(page.get_by_text("empty.pdf")).to_be_visible()
    expect(page.get_by_text("outside.pdf")).to_be_visible()
    page.reload()
    expect(page.get_by_text("refused")).to_have_count(3)
    page.get_by_role("button", name="Dismiss").click()
    expect(page.get_by_text("refused")).to_have_count(0)
    assert not (app.home.parent / "outside.pdf").exists()
    assert not list((app.home / "uploads").iterdir()), "uploads are deleted once they are dealt with"


def test_a_question_that_is_too_long_is_refused_and_can_be_shortened(visit: Visit) -> None:
    page = visit()
    box = page.get_by_placeholder("Ask your documents")
    box.fill("Why does the pump whine? " * 400)
    box.press("Enter")
    expect(page.get_by_text("at most 2,000 can be asked")).to_be_visible()
    expect(box).to_have_value("Why does the pump whine? " * 400)


def test_a_chat_that_is_gone_gives_way_to_a_new_one(visit: Visit) -> None:
    page = visit("?chat=4711")
    expect(page.get_by_text("There is no chat 4711 any more")).to_be_visible()
