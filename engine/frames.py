"""JSON messages over a pipe: four bytes of length, big-endian, then UTF-8."""

from __future__ import annotations

import json
from typing import IO, Any

LONGEST_FRAME = 1 << 28


def write_frame(stream: IO[bytes], message: dict[str, Any]) -> None:
    """Write one message and flush."""
    data = json.dumps(message, ensure_ascii=False).encode("utf-8", errors="replace")
    stream.write(len(data).to_bytes(4, "big") + data)
    stream.flush()


def read_frame(stream: IO[bytes]) -> dict[str, Any] | None:
    """The next message; None at the end of the stream, also when it ends within a message."""
    head = stream.read(4)
    if len(head) < 4:
        return None
    length = int.from_bytes(head, "big")
    if length > LONGEST_FRAME:
        raise ValueError(f"a frame of {length} bytes; something other than frames was written to the pipe")
    data = stream.read(length)
    if len(data) < length:
        return None
    message = json.loads(data)
    if not isinstance(message, dict):
        raise ValueError(f"a frame holds {type(message).__name__}, expected an object")
    return message
