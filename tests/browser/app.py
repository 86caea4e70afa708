"""The real app for tests: Streamlit with its worker on a free port and a home of its own, and the system's Chromium to see it with."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from playwright.sync_api import Browser, FilePayload, Locator, Page, sync_playwright

from surrogates import schema, service

ROOT = Path(__file__).resolve().parent.parent.parent
START_S = 240.0
PATIENCE_MS = 60_000  # a busy machine is no failure
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge")
PLACES = (
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/snap/bin/chromium",
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
]
HOW_TO_GET = (
    "no Chromium was found; install Chromium, Chrome or Edge (Debian and Ubuntu: `apt-get install chromium`),"
    " or name its program in the variable FLASHKB_CHROMIUM"
)


class AppDidNotStart(RuntimeError):
    """The app gave no sign of health in time; the message has the end of its output."""


@dataclass(frozen=True)
class App:
    """A running app: its address, its home and its process."""

    address: str
    home: Path
    process: subprocess.Popen[bytes]


def chromium() -> Path | None:
    """The system's Chromium or a relative of it; None when there is none."""
    named = os.environ.get("FLASHKB_CHROMIUM")
    found = [named, *(shutil.which(name) for name in NAMES), *PLACES]
    return next((Path(place) for place in found if place and Path(place).is_file()), None)


@contextmanager
def browser(executable: Path) -> Iterator[Browser]:
    """Chromium without a window."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(executable), args=FLAGS)
        yield opened
        opened.close()


@contextmanager
def running_app(home: Path) -> Iterator[App]:
    """Start the app on `home` and wait until it answers; ends it with all its children."""
    port = _free_port()
    output = home.parent / f"{home.name}-output.txt"
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port), "--", "--home", str(home)]
    with output.open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        _wait_for_health(f"http://127.0.0.1:{port}", process, output)
        yield App(f"http://127.0.0.1:{port}", home, process)
    finally:
        end_tree(process)


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """End a process and everything that it started."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        children = []
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    for child in alive:
        child.kill()
    psutil.wait_procs(alive, timeout=10)


def open_page(opened: Browser, app: App, path: str = "", *, width: int = 1280, dark: bool = False) -> Page:
    """A new window on the app, drawn to its end."""
    context = opened.new_context(viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light")
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{app.address}/{path}")
    page.wait_for_selector('[data-testid="stAppViewContainer"] h1, [data-testid="stAppViewContainer"] h3')
    return page


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for_health(address: str, process: subprocess.Popen[bytes], output: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AppDidNotStart(output.read_text(encoding="utf-8", errors="replace")[-2_000:])


def upload(page: Page, files: dict[str, bytes]) -> None:
    """Give files to the library page, as dropping them there does."""
    payload = [FilePayload(name=name, mimeType="application/octet-stream", buffer=content) for name, content in files.items()]
    page.locator('[data-testid="stFileUploaderDropzoneInput"]').set_input_files(payload)


def ask(page: Page, question: str) -> None:
    """Type a question and press Enter."""
    box = page.get_by_placeholder("Ask your documents")
    box.fill(question)
    box.press("Enter")
    page.get_by_test_id("stChatMessage").filter(has_text=question).last.wait_for()


def marks(page: Page, kind: str = r"(written|declined|sure)$") -> Locator:
    """The marks of answers that are on the page, by how their words end."""
    return page.locator(".stMarkdownBadge:visible", has_text=re.compile(kind))


def stop_button(page: Page, label: str = "Stop") -> Locator:
    """The button that stops work; Streamlit has one of its own in the header, which stops the drawing of the page."""
    return page.get_by_role("main").get_by_role("button", name=label, exact=True)


def wait_for_worker(app: App) -> None:
    """Wait until the worker has loaded its models."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        with closing(schema.connect(app.home)) as connection:
            state = service.worker_state(connection)
        if state.stage == "ready":
            assert not state.problem, state.problem
            return
        time.sleep(0.2)
    raise AppDidNotStart(f"the worker is {state.stage}; see {app.home / 'logs'}")


def engine_process(app: App) -> psutil.Process:
    """The process that holds the model for this app."""
    children = psutil.Process(app.process.pid).children(recursive=True)
    return next(child for child in children if "engine.process" in child.cmdline())
