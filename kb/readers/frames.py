"""Messages between a program and its child over standard input and output: a length in four bytes, then JSON in UTF-8."""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO

LENGTH = struct.Struct("<I")


def write_frame(stream: BinaryIO, message: Any) -> None:
    """Send one message at once."""
    data = json.dumps(message, ensure_ascii=False).encode("utf-8", errors="surrogatepass")
    stream.write(LENGTH.pack(len(data)) + data)
    stream.flush()


def read_frame(stream: BinaryIO) -> Any:
    """Receive one message.

    Raises:
        EOFError: the other side ended, maybe in the middle of a message.
    """
    (length,) = LENGTH.unpack(_exactly(stream, LENGTH.size))
    return json.loads(_exactly(stream, length).decode("utf-8", errors="replace"))


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = stream.read(count - len(data))
        if not part:
            raise EOFError("the other process ended")
        data = data + part if data else part
    return data
