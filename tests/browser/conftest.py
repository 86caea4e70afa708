"""The app that the browser tests share, and the windows that they look at it through."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.app import HOW_TO_GET, PATIENCE_MS, App, browser, chromium, open_page, running_app

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def window() -> Iterator[Browser]:
    """Chromium; the tests are skipped where there is none, but fail where CI=true."""
    executable = chromium()
    if executable is None:
        if os.environ.get("CI") == "true":
            pytest.fail(HOW_TO_GET)
        pytest.skip(HOW_TO_GET)
    with browser(executable) as opened:
        yield opened


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The app on a fresh home, one for each module of tests."""
    with running_app(tmp_path_factory.mktemp("browser") / "home") as started:
        yield started


@pytest.fixture
def visit(window: Browser, app: App) -> Iterator[Callable[..., Page]]:
    """Opens windows on the app as `open_page` does, and closes them after the test."""
    opened: list[Page] = []

    def open_one(path: str = "", **options: object) -> Page:
        opened.append(open_page(window, app, path, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield open_one
    for page in opened:
        page.context.close()
