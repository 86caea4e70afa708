"""Pictures of every page in its states: `python -m tests.browser.screenshots [FOLDER] [--guide]`.

With `--guide` it makes the few pictures of the user guide in docs/images; otherwise every page at 1280 and 800 pixels, light and dark.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.browser.app import (
    HOW_TO_GET,
    ROOT,
    App,
    ask,
    browser,
    chromium,
    engine_process,
    marks,
    open_page,
    running_app,
    stop_button,
    upload,
    wait_for_worker,
)

WIDTHS = (1280, 800)
HEIGHT = 900
ABOVE_THE_HOME = 740  # of the settings page: the guide need not show where somebody's data lies
QUESTION = "How do I replace the return filter element?"
REFUSED = {"scan of 1994.tif": b"II*\x00", "empty.pdf": b"", "readme.doc": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 of Word 97"}


@dataclass(frozen=True)
class Camera:
    """Takes the pictures of one run into `folder`; for the guide only those that it names, once."""

    window: Browser
    app: App
    folder: Path
    guide: bool

    def looks(self, path: str) -> Iterator[tuple[Page, str]]:
        """The page at `path`, in each width and theme, with what to add to a picture's name."""
        for width in WIDTHS[:1] if self.guide else WIDTHS:
            for dark in (False,) if self.guide else (False, True):
                page = open_page(self.window, self.app, path, width=width, dark=dark)
                yield page, "" if self.guide else f"-{width}-{'dark' if dark else 'light'}"
                page.context.close()

    def take(self, page: Page, name: str, height: int = HEIGHT) -> None:
        """One picture, once every element is drawn and nothing moves any more."""
        expect(page.get_by_test_id("stSkeleton")).to_have_count(0, timeout=60_000)
        page.wait_for_timeout(1_200)
        width = (page.viewport_size or {"width": WIDTHS[0]})["width"]
        page.screenshot(path=self.folder / f"{name}.png", clip={"x": 0, "y": 0, "width": width, "height": height})

    def all_looks(self, path: str, name: str) -> None:
        """The page at `path` as it stands."""
        for page, suffix in self.looks(path):
            self.take(page, f"{name}{suffix}")


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "docs" / "images")
    parser.add_argument("--guide", action="store_true")
    chosen = parser.parse_args()
    executable = chromium()
    if executable is None:
        raise SystemExit(HOW_TO_GET)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, browser(executable) as window, running_app(Path(folder) / "home") as app:
        camera = Camera(window, app, chosen.folder, chosen.guide)
        empty(camera)
        library(camera)
        asking(camera)
        teaching(camera)
        settings(camera)


def empty(camera: Camera) -> None:
    """Every page before there is a document."""
    if not camera.guide:
        for path in ("ask", "library", "teach", "review", "insights"):
            camera.all_looks("" if path == "ask" else path, f"{path}-empty")


def library(camera: Camera) -> None:
    """The sample library while it comes in, refused files, a document leafed through, the question before removal."""
    page = open_page(camera.window, camera.app, "library")
    page.get_by_role("button", name="Add the sample library").click()
    page.get_by_text(re.compile(r"of 3 done")).wait_for()
    if not camera.guide:
        camera.all_looks("library", "library-busy")
        upload(page, REFUSED)
    expect(page.get_by_role("button", name="Dismiss")).to_be_visible(timeout=120_000)
    camera.all_looks("library", "library")
    page.context.close()
    wait_for_worker(camera.app)
    for page, suffix in camera.looks("library"):
        page.locator('[class*="st-key-document-"]', has_text=".pdf").get_by_role("button", name="View").click()
        page.get_by_role("dialog").get_by_role("img").wait_for()
        camera.take(page, f"document{suffix}")
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Remove").first.click()
        if not camera.guide:
            camera.take(page, f"removal{suffix}")


def asking(camera: Camera) -> None:
    """Suggestions, an answer being written, answers of each kind, a cited page."""
    if not camera.guide:
        camera.all_looks("", "ask-new")
    page = open_page(camera.window, camera.app)
    engine = engine_process(camera.app)
    engine.suspend()
    ask(page, QUESTION)
    stop_button(page).wait_for()
    chat = page.url.removeprefix(camera.app.address).lstrip("/")
    if not camera.guide:
        camera.all_looks(chat, "ask-busy")
    engine.resume()
    marks(page).last.wait_for(timeout=60_000)
    for question in () if camera.guide else ("What does alarm E-17 mean?", "Who won the football world cup in 1998?"):
        count = marks(page).count()
        ask(page, question)
        expect(marks(page)).to_have_count(count + 1, timeout=60_000)
    page.context.close()
    for page, suffix in camera.looks(chat):
        camera.take(page, f"ask{suffix}")
        page.get_by_role("button", name=re.compile(r"1 · .* · page \d")).first.click()
        page.get_by_role("dialog").get_by_role("img").wait_for()
        camera.take(page, f"source{suffix}")


def settings(camera: Camera) -> None:
    """The settings, in the guide without the folder of the home."""
    for page, suffix in camera.looks("settings"):
        camera.take(page, f"settings{suffix}", ABOVE_THE_HOME if camera.guide else HEIGHT)


def teaching(camera: Camera) -> None:
    """Teaching under way and done, and an instant answer from it."""
    page = open_page(camera.window, camera.app, "teach")
    page.get_by_label("How much").click()
    page.get_by_role("option", name="Some, to try it").click()
    page.get_by_label("Passages, if some").fill("12")
    page.get_by_role("button", name="Start teaching").click()
    stop_button(page).wait_for()
    if not camera.guide:
        camera.all_looks("teach", "teach-busy")
    page.get_by_text("Teaching is done").wait_for(timeout=300_000)
    camera.all_looks("teach", "teach")
    question = page.locator(".st-key-examples strong").first.inner_text()
    page.context.close()
    page = open_page(camera.window, camera.app)
    ask(page, question)
    marks(page, r"sure$").last.wait_for(timeout=60_000)
    chat = page.url.removeprefix(camera.app.address).lstrip("/")
    page.context.close()
    camera.all_looks(chat, "instant")


if __name__ == "__main__":
    main()
