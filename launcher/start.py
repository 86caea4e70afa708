"""Opening the app: one instance to a home, the browser on it, and an end that leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from launcher import instance
from launcher.family import Family
from launcher.installation import Installation

START_S = 120.0
WATCH_S = 0.2
LOG_LINES = 15
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


class CannotStart(Exception):
    """The app did not come up; the message says why and what to do."""


@dataclass(frozen=True)
class Options:
    """`home` None is the default home, `port` None the first free one."""

    home: Path | None = None
    port: int | None = None
    browser: bool = True


class _Ended(Exception):
    """The user or the system asked the app to end."""


def start(installation: Installation, options: Options) -> int:
    """Serve the app until the user closes it, or open the one that runs on this home already; returns the exit code.

    Raises:
        CannotStart: it did not come up.
        PortTaken: the port asked for is another program's.
    """
    home = (options.home or default_home(installation)).expanduser().absolute()
    try:
        with _ending_signals(), instance.held(home) as ours:
            return _serve(installation, home, options) if ours else _open_running(home, options)
    except OSError as error:
        raise CannotStart(f"cannot use {home} as home: {error}; choose a writable folder on a local disk with --home") from error
    except _Ended:
        return 0


def default_home(installation: Installation) -> Path:
    """Where this user's library lies unless --home says otherwise."""
    ask = "import platformdirs; print(platformdirs.user_data_path('flashkb'))"
    environment = {**os.environ, "PYTHONUTF8": "1"}
    answer = subprocess.run([installation.python, "-c", ask], env=environment, capture_output=True, encoding="utf-8", check=False)
    if answer.returncode:
        raise CannotStart(f"the environment is damaged ({answer.stderr.strip()[-200:]}); delete the folder .venv and start again")
    return Path(answer.stdout.strip())


def _open_running(home: Path, options: Options) -> int:
    port = instance.running_port(home, START_S)
    if port is None:
        raise CannotStart(f"FlashKB seems to run on {home} already but does not answer; end its process or wait, then start again")
    print(f"FlashKB runs already: {_url(port)}", flush=True)
    _open_browser(_url(port), options)
    return 0


def _serve(installation: Installation, home: Path, options: Options) -> int:
    instance.forget(home)  # of a launcher that was killed; nobody may follow it to a port that is another's by now
    port = instance.free_port(options.port)
    print(f"Starting FlashKB (library in {home})", flush=True)
    with open(_fresh_log(home), "wb") as log:
        family = Family([installation.python, "-m", "launcher.serve", str(port), home], installation.root, log)
        try:
            _wait_until_healthy(family, port, home)
            instance.note(home, port, os.getpid())
            print(f"FlashKB is open: {_url(port)}\nClose it with Ctrl-C.", flush=True)
            _open_browser(_url(port), options)
            while family.process.poll() is None:
                time.sleep(WATCH_S)
        except _Ended:
            print("Closing FlashKB ...", flush=True)
            return 0
        finally:
            _ignore_signals()
            family.end()
            instance.forget(home)
    raise CannotStart(f"FlashKB ended by itself.\n{_end_of_log(home)}")


def _wait_until_healthy(family: Family, port: int, home: Path) -> None:
    deadline = time.monotonic() + START_S
    while not instance.is_healthy(port):
        if family.process.poll() is not None:
            raise CannotStart(f"FlashKB did not start.\n{_end_of_log(home)}")
        if time.monotonic() > deadline:
            raise CannotStart(f"FlashKB did not answer within {START_S:.0f} s.\n{_end_of_log(home)}")
        time.sleep(instance.HEALTH_PAUSE_S)


def _url(port: int) -> str:
    return f"http://{instance.HOST}:{port}"


def _log(home: Path) -> Path:
    return home / "logs" / "app.log"


def _fresh_log(home: Path) -> Path:
    """The log file, with the one of the run before set aside."""
    log = _log(home)
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        os.replace(log, log.with_suffix(".log.1"))
    return log


def _end_of_log(home: Path) -> str:
    lines = _log(home).read_text(encoding="utf-8", errors="replace").strip().splitlines()[-LOG_LINES:]
    return "\n".join([*(f"    {line}" for line in lines), f"Log: {_log(home)}"])


def _open_browser(url: str, options: Options) -> None:
    """A browser in a window only: without a display the standard library would start a text browser in this console."""
    has_display = sys.platform in ("win32", "darwin") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if options.browser and not (has_display and webbrowser.open(url)):
        print("No browser could be opened; open the address yourself.", flush=True)


@contextmanager
def _ending_signals() -> Iterator[None]:
    """Ctrl-C, a closed terminal and a request to end all raise _Ended within the block."""
    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    before = {number: signal.signal(number, _raise_ended) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise_ended(number: int, frame: FrameType | None) -> None:
    raise _Ended


def _ignore_signals() -> None:
    """While the app closes: a second Ctrl-C must not leave half of it running."""
    for name in SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
