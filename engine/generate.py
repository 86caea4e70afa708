"""The engine's one door: a client that keeps the engine process, feeds it requests and raises its errors."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from engine import errors
from engine.errors import EngineDied, EngineError
from engine.frames import read_frame, write_frame
from engine.request import Generation, Mode, Request

OnText = Callable[[str], None]
ShouldStop = Callable[[], bool]
_ROOT = Path(__file__).resolve().parent.parent
_POLL_S = 0.05
_GONE_S = 10.0


class Engine:
    """A model in a process of its own, which holds at most `memory_bytes`. Thread-safe: callers take turns.

        with Engine(pack, 700_000_000) as engine:
            print(engine.generate(Request((Segment("What is a pump?", "user"),))).text)

    The process starts at construction and ends with `close`, or with this process. When it dies in mid-work the call raises EngineDied and
    the next one starts it anew.
    """

    def __init__(self, pack: Path, memory_bytes: int, mode: Mode = "exact", pin: bool = True) -> None:
        """`pin` False keeps no FFN weights in memory, for comparison. Raises BudgetTooSmall, CorruptPack or EngineDied."""
        self._command = [sys.executable, "-m", "engine.process", "--model", str(pack), "--memory", str(memory_bytes), "--mode", mode]
        if not pin:
            self._command.append("--no-pin")
        self._turn = threading.Lock()
        self._closed = False
        self._number = 0
        self._connection = _Connection(self._command)

    @property
    def context_tokens(self) -> int:
        """Tokens of prompt and answer together that fit the budget."""
        return int(self._connection.ready["context_tokens"])

    @property
    def model_name(self) -> str:
        """As the checkpoint calls itself."""
        return str(self._connection.ready["model_name"])

    @property
    def plan(self) -> dict[str, Any]:
        """What the process decided to do with its budget; see `engine.plan.Plan`."""
        return dict(self._connection.ready["plan"])

    @property
    def kernels_name(self) -> str:
        """Which arithmetic runs: the native library or the numpy twin."""
        return str(self._connection.ready["kernels"])

    @property
    def process_id(self) -> int:
        """Of the engine process."""
        return self._connection.process_id

    def generate(self, request: Request, on_text: OnText | None = None, should_stop: ShouldStop | None = None) -> Generation:
        """Answer a request. `on_text` gets the text piece by piece; `should_stop` is asked often and ends the answer where it is.

        Raises:
            ContextTooLong: the prompt does not fit; says the largest that does.
            CorruptPack: a part of the model read for the first time is damaged.
            EngineDied: the process ended in mid-answer.
        """
        result = self._call({"op": "generate", "request": asdict(request)}, on_text, should_stop)
        return Generation(**result)

    def count_tokens(self, text: str) -> int:
        """How many tokens a text has, without control tokens."""
        return int(self._call({"op": "count", "text": text}))

    def encode(self, text: str) -> list[int]:
        """A raw text's tokens, with those that the model expects in front."""
        return [int(token) for token in self._call({"op": "encode", "text": text})]

    def log_likelihoods(self, tokens: Sequence[int], first: int) -> list[float]:
        """Natural log probability of each of tokens[first:] given all before it; `first` >= 1."""
        return [float(value) for value in self._call({"op": "score", "tokens": list(tokens), "first": first})]

    def close(self) -> None:
        """End the process. An answer that is under way in another thread raises EngineDied there."""
        self._closed = True
        self._connection.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _call(self, command: dict[str, Any], on_text: OnText | None = None, should_stop: ShouldStop | None = None) -> Any:
        with self._turn:
            if self._closed:
                raise EngineDied("the engine was closed; make a new one")
            if not self._connection.is_alive:
                self._connection.close()
                self._connection = _Connection(self._command)
            self._number += 1
            return self._connection.call({**command, "id": self._number}, on_text, should_stop)


class _Connection:
    """One engine process and the pipes to it."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(),
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        self._last_words: deque[str] = deque(maxlen=20)
        self._stderr_reader = threading.Thread(target=self._keep_last_words, name="engine-stderr", daemon=True)
        self._stderr_reader.start()
        self._frames: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._stdout_reader = threading.Thread(target=self._receive, name="engine-frames", daemon=True)
        self._stdout_reader.start()
        self.ready = self._first_frame()

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    @property
    def process_id(self) -> int:
        return self._process.pid

    def call(self, command: dict[str, Any], on_text: OnText | None, should_stop: ShouldStop | None) -> Any:
        """Send a command and follow it to its end; raises the error that the process reports."""
        number = int(command["id"])
        self._send(command)
        try:
            return self._follow(number, on_text, should_stop)
        except EngineError:
            raise
        except BaseException:
            self._abandon(number)  # the caller's own code raised, or a key was pressed: the answer has no reader
            raise

    def _follow(self, number: int, on_text: OnText | None, should_stop: ShouldStop | None) -> Any:
        """Hand on text and ask `should_stop` in the caller's thread, since what it asks may belong to that thread."""
        asked_at = time.monotonic()
        while True:
            frame = self._read(None if should_stop is None else _POLL_S)
            if should_stop is not None and time.monotonic() - asked_at >= _POLL_S:
                asked_at = time.monotonic()
                if should_stop():
                    self.send_cancel(number)
                    should_stop = None
            if frame is None or frame.get("id") != number:
                continue
            if frame["event"] == "text":
                if on_text:
                    on_text(frame["text"])
            elif frame["event"] == "error":
                raise _error_from(frame)
            else:
                return frame["result"]

    def send_cancel(self, number: int) -> None:
        """Ask the process to end the answer; that it is gone is noticed by whoever reads."""
        try:
            self._send({"op": "cancel", "id": number})
        except EngineDied:
            return

    def close(self) -> None:
        """Close its input, which ends it; kill it if that takes too long."""
        assert self._process.stdin and self._process.stdout and self._process.stderr
        try:
            self._process.stdin.close()
        except OSError:
            self._process.kill()  # the pipe broke while closing, so the process no longer listens
        try:
            self._process.wait(_GONE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stderr_reader.join()
        self._stdout_reader.join()
        self._process.stdout.close()
        self._process.stderr.close()

    def _abandon(self, number: int) -> None:
        self.send_cancel(number)
        try:
            self._follow(number, None, None)
        except EngineError:
            return

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin
        try:
            write_frame(self._process.stdin, message)
        except (OSError, ValueError) as error:
            raise self._death() from error

    def _read(self, timeout_s: float | None = None) -> dict[str, Any] | None:
        """The next frame; None when there is none within `timeout_s`."""
        try:
            frame = self._frames.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if frame is None:
            self._frames.put(None)  # for whoever asks again
            raise self._death()
        return frame

    def _receive(self) -> None:
        """Queue frames as they come, None at the end of the process's output or when it is no frames any more."""
        assert self._process.stdout
        frame: dict[str, Any] | None = {}
        while frame is not None:
            try:
                frame = read_frame(self._process.stdout)
            except (OSError, ValueError) as error:
                self._last_words.append(f"its output cannot be read: {error}")
                frame = None
            self._frames.put(frame)

    def _first_frame(self) -> dict[str, Any]:
        try:
            frame = self._read()
        except BaseException:
            self.close()
            raise
        assert frame is not None
        if frame["event"] == "failed":
            self.close()
            raise _error_from(frame)
        return frame

    def _death(self) -> EngineDied:
        try:
            code: int | None = self._process.wait(_GONE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._stderr_reader.join(_GONE_S)
        said = self._last_words[-1] if self._last_words else "it left no message"
        return EngineDied(f"the engine process ended unexpectedly (exit code {code}: {said}); asking again starts it anew")

    def _keep_last_words(self) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            text = line.decode("utf-8", errors="replace").strip()
            if text:
                self._last_words.append(text)


def _environment() -> dict[str, str]:
    """The engine's package is found from any working folder; numpy's own threads would fight with the kernels' pool."""
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    quiet = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUTF8": "1"}
    quiet["MALLOC_ARENA_MAX"] = "1"  # glibc would keep what each thread once freed, 20 MB in a long prompt
    return {**os.environ, **quiet, "PYTHONPATH": os.pathsep.join(paths)}


def _error_from(frame: dict[str, Any]) -> EngineError:
    """The error that the process described, as the class that it was."""
    kind = getattr(errors, frame["kind"], EngineError)
    error: EngineError = kind.__new__(kind)
    error.args = (frame["message"],)
    for name, value in frame["fields"].items():
        setattr(error, name, value)
    return error
