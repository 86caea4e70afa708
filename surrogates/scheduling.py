"""One engine for everybody in the worker: questions go before teaching, settings and crashes are followed, idle memory is given back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from engine.request import Generation, Request
from surrogates.settings import Settings

if TYPE_CHECKING:
    from engine.generate import Engine

IDLE_S = 600.0


class ModelMissing(Exception):
    """There is no model where the settings point; the message says how to get one."""


class Scheduler:
    """The engine as the worker's threads share it. Thread-safe; starts nothing before it is asked.

    An urgent request (a question) cancels a request of teaching that is under way; teaching's request is then run again from its
    beginning, so that its text is the same as if nobody had asked.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engine: Engine | None = None
        self._running: Settings | None = None
        self._turn = threading.Condition()
        self._busy = False
        self._urgent_waiting = 0
        self._used_at = time.monotonic()

    def __enter__(self) -> Scheduler:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def follow(self, settings: Settings) -> None:
        """Use these settings from the next request on; another model or budget starts the engine anew."""
        self._settings = settings

    @contextmanager
    def for_question(self) -> Iterator[Engine]:
        """The engine, started if need be, for the length of one question; teaching gives way at its next token.

        Raises:
            ModelMissing: no pack at the settings' place.
            engine.errors: what starting the engine raises.
        """
        with self._turn:
            self._urgent_waiting += 1
            try:
                self._turn.wait_for(lambda: not self._busy)
                self._busy = True
            finally:
                self._urgent_waiting -= 1
        with self._give_back():
            yield self._started()

    def generate_patiently(self, request: Request, should_stop: Callable[[], bool] | None = None) -> Generation:
        """Run a request of teaching whenever no question wants the engine; "cancelled" only when `should_stop` said so."""
        while True:
            given_way = False

            def stop() -> bool:
                nonlocal given_way
                if should_stop is not None and should_stop():
                    return True
                given_way = self._urgent_waiting > 0
                return given_way

            with self._turn:
                self._turn.wait_for(lambda: not self._busy and self._urgent_waiting == 0)
                self._busy = True
            with self._give_back():
                generation = self._started().generate(request, should_stop=stop)
            if generation.finish != "cancelled" or not given_way:
                return generation

    def model_name(self) -> str:
        """The name of the model that the settings choose; starts the engine."""
        with self.for_question() as engine:
            return engine.model_name

    def warm_up(self) -> None:
        """Start the engine, so that the first question does not wait for it."""
        with self.for_question():
            pass

    @property
    def is_busy(self) -> bool:
        """Whether somebody has the engine right now."""
        return self._busy

    def release_if_idle(self, idle_s: float = IDLE_S) -> bool:
        """End the engine's process when nobody used it for `idle_s`; returns whether it was ended."""
        with self._turn:
            if self._engine is None or self._busy or time.monotonic() - self._used_at < idle_s:
                return False
            self._close_engine()
            return True

    def close(self) -> None:
        """End the engine's process once the request under way has ended."""
        with self._turn:
            self._turn.wait_for(lambda: not self._busy)
            self._close_engine()

    @contextmanager
    def _give_back(self) -> Iterator[None]:
        try:
            yield
        finally:
            with self._turn:
                self._busy = False
                self._used_at = time.monotonic()
                self._turn.notify_all()

    def _started(self) -> Engine:
        """The engine for the settings of now; only for the one whose turn it is."""
        wanted = self._settings
        if self._engine is not None and self._running is not None and _same_engine(self._running, wanted):
            return self._engine
        self._close_engine()
        if not (wanted.pack / "manifest.json").is_file():
            raise ModelMissing(f"there is no model in {wanted.pack}; run `python launch.py setup`, or choose a model in the settings")
        from engine.generate import Engine

        self._engine = Engine(wanted.pack, wanted.memory_bytes, wanted.mode)
        self._running = wanted
        return self._engine

    def _close_engine(self) -> None:
        engine, self._engine, self._running = self._engine, None, None
        if engine is not None:
            engine.close()


def _same_engine(one: Settings, other: Settings) -> bool:
    return (one.pack, one.memory_bytes, one.mode) == (other.pack, other.memory_bytes, other.mode)
