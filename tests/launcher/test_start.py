"""The real app, started as `python launch.py` does: it answers, it is alone on its home, and it leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from launcher import instance
from launcher.installation import ROOT, Installation
from launcher.start import CannotStart, Options, start

START = """
import sys
from pathlib import Path
from launcher.installation import Installation
from launcher.start import Options, start
sys.exit(start(Installation(), Options(Path(sys.argv[1]), browser=False)))
"""
END_S = 30

pytestmark = pytest.mark.skipif(not Installation().python.is_file(), reason="needs the environment that `python launch.py setup` makes")


@contextmanager
def launched(home: Path) -> Iterator[subprocess.Popen[str]]:
    """A launcher in a process of its own; killed at the end, should the test not have ended it."""
    environment = {**os.environ, "PYTHONUTF8": "1"}
    command = [sys.executable, "-c", START, str(home)]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, encoding="utf-8") as launcher:
        try:
            yield launcher
        finally:
            launcher.kill()


def opened(launcher: subprocess.Popen[str]) -> list[psutil.Process]:
    """Wait until the app is open; its processes, the launcher's own left out."""
    assert launcher.stdout is not None
    for line in launcher.stdout:
        if "is open" in line:
            return psutil.Process(launcher.pid).children(recursive=True)
    raise AssertionError(f"the app did not open; exit code {launcher.wait()}")


def test_an_app_is_alone_on_its_home_and_leaves_nothing_when_it_is_closed(home: Path) -> None:
    with launched(home) as launcher:
        processes = opened(launcher)
        note = json.loads((home / "app.json").read_text(encoding="utf-8"))
        assert note["pid"] == launcher.pid
        assert instance.is_healthy(note["port"])
        with launched(home) as second:
            assert second.communicate()[0] == f"FlashKB runs already: http://127.0.0.1:{note['port']}\n"
            assert second.returncode == 0
        assert processes
        assert instance.is_healthy(note["port"])
        launcher.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGINT)
        assert launcher.wait(END_S) == 0 or sys.platform == "win32"
        _, left = psutil.wait_procs(processes, timeout=0 if sys.platform != "win32" else END_S)
    assert left == []
    assert instance.is_free(note["port"])
    assert not (home / "app.json").exists() or sys.platform == "win32"


def test_a_killed_launcher_takes_the_app_with_it_and_the_home_is_free_again(home: Path) -> None:
    with launched(home) as launcher:
        processes = opened(launcher)
        launcher.kill()
        _, left = psutil.wait_procs(processes, timeout=END_S)
        assert left == []
    with instance.held(home) as ours:
        assert ours


def test_a_home_that_is_a_file_is_refused_with_the_way_out(home: Path) -> None:
    home.touch()
    with pytest.raises(CannotStart, match="choose a writable folder on a local disk with --home"):
        start(Installation(), Options(home, browser=False))
