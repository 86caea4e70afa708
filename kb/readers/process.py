"""Reading in a child process, bounded in time and memory: a bad file costs its own refusal and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import psutil

from kb.blocks import Reading, UnreadableDocument
from kb.readers.frames import read_frame, write_frame
from kb.readers.limits import ReaderLimits, megabytes

WATCH_EVERY_S = 0.05
PROJECT = Path(__file__).resolve().parents[2]


def start_child(module: str, log: Path | None) -> subprocess.Popen[bytes]:
    """Start `python -m module` with framed standard input and output; what it prints goes to `log` (None: nowhere)."""
    paths = [str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUTF8": "1"}
    flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    errors: IO[bytes] | int = subprocess.DEVNULL if log is None else log.open("ab")
    try:
        return subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            creationflags=flags,
        )
    finally:
        if not isinstance(errors, int):
            errors.close()


def stop_child(child: subprocess.Popen[bytes]) -> None:
    """End a child and free its pipes; it ends by itself when its input does, and is killed if it does not."""
    for stream in (child.stdin, child.stdout):
        try:
            if stream:
                stream.close()
        except OSError:
            continue  # the pipe broke because the child is gone, which is what we want
    try:
        child.wait(timeout=2)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


class Watch:
    """Kills a child that uses too much memory or makes no progress; `verdict` then says why. A context manager around one request."""

    def __init__(self, child: subprocess.Popen[bytes], limits: ReaderLimits) -> None:
        self.verdict = ""
        self._child = child
        self._limits = limits
        self._started = self._progress = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader-watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def progress(self) -> None:
        """The child gave a sign of life."""
        self._progress = time.monotonic()

    def _run(self) -> None:
        try:
            process = psutil.Process(self._child.pid)
            while not self._over.wait(WATCH_EVERY_S):
                self.verdict = self._judge(process.memory_info().rss)
                if self.verdict:
                    self._child.kill()
                    return
        except psutil.NoSuchProcess:
            return  # it ended; whoever reads its answers sees that

    def _judge(self, resident_bytes: int) -> str:
        now = time.monotonic()
        if resident_bytes > self._limits.memory_bytes:
            return f"reading it needs more than {megabytes(self._limits.memory_bytes)} of memory; split the file"
        if now - self._progress > self._limits.stall_s:
            return f"reading it made no progress for {self._limits.stall_s:g} seconds; it may be damaged, save it again or split it"
        if now - self._started > self._limits.total_s:
            return f"reading it takes longer than {self._limits.total_s:g} seconds; split the file"
        return ""


class ReaderProcess:
    """A child that reads many files, one at a time, and is started again after one that killed it. Not thread-safe."""

    def __init__(self, limits: ReaderLimits = ReaderLimits(), log: Path | None = None) -> None:  # noqa: B008 - frozen
        self.limits = limits
        self._log = log
        self._child: subprocess.Popen[bytes] | None = None

    def read(self, path: Path, kind: str, on_page: Callable[[int, int], None] | None = None) -> Reading:
        """Read one file of a kind that `kb.readers.sniff` named.

        Raises:
            UnreadableDocument: it cannot be read, or costs more than the limits allow.
        """
        child = self._running_child()
        with Watch(child, self.limits) as watch:
            try:
                answer = self._exchange(child, path, kind, watch, on_page)
            except (EOFError, OSError):
                answer = None
        if answer is None:
            self.close()
            code = child.returncode
            raise UnreadableDocument(
                watch.verdict or f"the reader ended at this file (exit code {code}); the file may be damaged, save it again"
            )
        if "refused" in answer:
            raise UnreadableDocument(answer["refused"], answer.get("pages"), tuple(answer.get("pages_without_text", ())))
        return Reading.from_json(answer["reading"])

    def _exchange(
        self, child: subprocess.Popen[bytes], path: Path, kind: str, watch: Watch, on_page: Callable[[int, int], None] | None
    ) -> dict[str, Any]:
        assert child.stdin and child.stdout
        write_frame(child.stdin, {"path": str(path), "kind": kind, "limits": asdict(self.limits)})  # type: ignore[arg-type]
        while True:
            answer: dict[str, Any] = read_frame(child.stdout)  # type: ignore[arg-type]
            watch.progress()
            if "page" not in answer:
                return answer
            if on_page:
                on_page(*answer["page"])

    def _running_child(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self.close()
            self._child = start_child("kb.readers.child", self._log)
        return self._child

    def close(self) -> None:
        """End the child, if one runs."""
        if self._child is not None:
            stop_child(self._child)
            self._child = None
