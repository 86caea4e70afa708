"""A child process with all its descendants, so that none is left when the app closes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

GRACE_S = 12.0
KILL_GRACE_S = 5.0
PAUSE_S = 0.05

if sys.platform == "win32":
    NEW_GROUP = subprocess.CREATE_NEW_PROCESS_GROUP
else:
    NEW_GROUP = 0


class Family:
    """A process that ends by itself when its standard input does, in a group (POSIX) or job object (Windows) of its own."""

    def __init__(self, command: Sequence[str | Path], folder: Path, output: IO[bytes]) -> None:
        self.process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            env={**os.environ, "PYTHONUTF8": "1"},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            creationflags=NEW_GROUP,
            start_new_session=sys.platform != "win32",
        )
        if sys.platform == "win32":
            from launcher.windows_job import Job

            self._job = Job(self.process)

    def end(self, grace_s: float = GRACE_S) -> None:
        """Ask the process to end, wait so long for it and its descendants, and kill whoever stays."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):  # it is gone already
                self.process.stdin.close()
        if not self._wait_until_gone(grace_s):
            self._kill()
            self._wait_until_gone(KILL_GRACE_S)
        self.process.wait()

    def _wait_until_gone(self, patience_s: float) -> bool:
        deadline = time.monotonic() + patience_s
        while self._lives():
            if time.monotonic() >= deadline:
                return False
            time.sleep(PAUSE_S)
        return True

    def _lives(self) -> bool:
        self.process.poll()  # a zombie would count as a member of its group
        if sys.platform == "win32":
            return self._job.active() > 0
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # macOS says so of a group that holds only zombies
            return self.process.returncode is None
        return True

    def _kill(self) -> None:
        if sys.platform == "win32":
            self._job.terminate()
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
