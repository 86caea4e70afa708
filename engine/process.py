"""The engine's process: `python -m engine.process --model PACK --memory BYTES`. Frames in on standard input, frames out on standard output.

In: {"op": "generate", "id", "request"}, {"op": "count", "id", "text"}, {"op": "score", "id", "tokens", "first"}, {"op": "encode", "id",
"text"}, {"op": "cancel", "id"}. Out: {"event": "ready", ..} once, then for each id {"event": "text"} pieces and one {"event": "done"}
or {"event": "error"}. The process ends when its input ends, whatever it is doing.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from engine.errors import EngineError
from engine.frames import read_frame, write_frame
from engine.request import Request, Segment
from engine.session import Session


def main() -> int:
    """Load the model, say so, and answer until the input ends."""
    arguments = _arguments()
    commands, replies = _take_standard_streams()
    try:
        session = Session(arguments.model, arguments.memory, arguments.mode, pin=not arguments.no_pin)
    except EngineError as error:
        write_frame(replies, {"event": "failed", **describe_error(error)})
        return 1
    ready = {"context_tokens": session.plan.context_tokens, "model_name": session.model_name, "plan": session.plan.to_json()}
    write_frame(replies, {"event": "ready", **ready, "kernels": session.kernels_name})
    Server(session, commands, replies).run()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m engine.process", description="the engine's process; started by engine.generate.Engine")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--memory", type=int, required=True, help="bytes")
    parser.add_argument("--mode", choices=("exact", "balanced"), default="exact")
    parser.add_argument("--no-pin", action="store_true", help="keep no FFN weights in memory")
    return parser.parse_args()


def _take_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """Frames own the two pipes; whatever else is printed in this process goes to standard error."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(0, os.O_BINARY)
        msvcrt.setmode(replies.fileno(), os.O_BINARY)
    return os.fdopen(os.dup(0), "rb"), replies


def describe_error(error: EngineError) -> dict[str, Any]:
    """Class, message and fields of an error, for the other side to raise it again."""
    fields = {name: value for name, value in vars(error).items() if isinstance(value, int)}
    return {"kind": type(error).__name__, "message": str(error), "fields": fields}


class Server:
    """Reads commands on a thread of its own, so that a stop is seen at once, and works on them in order."""

    def __init__(self, session: Session, commands: BinaryIO, replies: BinaryIO) -> None:
        self._session = session
        self._commands = commands
        self._replies = replies
        self._waiting: queue.Queue[dict[str, Any]] = queue.Queue()
        self._cancelled: set[int] = set()

    def run(self) -> None:
        """Work until the input ends, which ends the process."""
        threading.Thread(target=self._listen, name="commands", daemon=True).start()
        while True:
            self._work(self._waiting.get())

    def _listen(self) -> None:
        try:
            while (command := read_frame(self._commands)) is not None:
                if command["op"] == "cancel":
                    self._cancelled.add(int(command["id"]))
                else:
                    self._waiting.put(command)
        finally:
            # in mid-computation too: nobody is left to read the answer, and nothing here needs saving
            os._exit(0)

    def _work(self, command: dict[str, Any]) -> None:
        number = int(command["id"])
        try:
            result = self._result(number, command)
            self._reply({"event": "done", "id": number, "result": result})
        except EngineError as error:
            self._reply({"event": "error", "id": number, **describe_error(error)})
        finally:
            self._cancelled.discard(number)

    def _result(self, number: int, command: dict[str, Any]) -> Any:
        operation = command["op"]
        if operation == "count":
            return len(self._session.tokenizer.encode(command["text"], with_bos=False))
        if operation == "encode":
            return self._session.tokenizer.encode(command["text"])
        if operation == "score":
            return [float(value) for value in self._session.log_likelihoods(command["tokens"], command["first"])]
        if operation == "generate":
            return asdict(self._generate(number, request_from_json(command["request"])))
        raise ValueError(f"unknown operation {operation!r}")

    def _generate(self, number: int, request: Request) -> Any:
        return self._session.generate(
            request,
            on_text=lambda text: self._reply({"event": "text", "id": number, "text": text}),
            should_stop=lambda: number in self._cancelled,
        )

    def _reply(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the other side is gone (a broken pipe has many names); the end of the input follows
            write_frame(self._replies, message)


def request_from_json(value: dict[str, Any]) -> Request:
    """The inverse of `dataclasses.asdict` after a trip through JSON."""
    segments = tuple(Segment(**segment) for segment in value["segments"])
    return Request(**{**value, "segments": segments, "drafts": tuple(value["drafts"]), "stop": tuple(value["stop"])})


if __name__ == "__main__":
    sys.exit(main())
