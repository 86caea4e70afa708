"""One app to a home: the lock that the running one holds, the note of its port, and whether it answers."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

HOST = "127.0.0.1"
DEFAULT_PORT = 8501
PORTS_TRIED = 100
HEALTH_TIMEOUT_S = 2.0
HEALTH_PAUSE_S = 0.1


class PortTaken(Exception):
    """Another program listens on the port that the user asked for."""


@contextmanager
def held(folder: Path, name: str = "app.lock") -> Iterator[bool]:
    """Hold a lock of this folder within the block; yields False when another process holds it. The system drops it when its holder dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / name, "a+b") as file:
        taken = _lock(file)
        try:
            yield taken
        finally:
            if taken:
                _unlock(file)


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> bool:
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)


def note(home: Path, port: int, pid: int) -> None:
    """Write down where the app of this home answers."""
    aside = home / "app.json.part"
    aside.write_text(json.dumps({"port": port, "pid": pid}), encoding="utf-8")
    os.replace(aside, home / "app.json")


def forget(home: Path) -> None:
    """Remove the note; the app has ended."""
    with contextlib.suppress(PermissionError):  # Windows: another start is reading it, and will find nobody there
        (home / "app.json").unlink(missing_ok=True)


def running_port(home: Path, patience_s: float) -> int | None:
    """The port on which the home's app answers; waits for one that is just starting, None when it does not answer in time."""
    deadline = time.monotonic() + patience_s
    while True:
        port = _noted_port(home)
        if port is not None and is_healthy(port):
            return port
        if time.monotonic() >= deadline:
            return None
        time.sleep(HEALTH_PAUSE_S)


def _noted_port(home: Path) -> int | None:
    try:
        return int(json.loads((home / "app.json").read_text(encoding="utf-8"))["port"])
    except (OSError, ValueError, KeyError, TypeError):  # absent, or being replaced
        return None


def is_healthy(port: int) -> bool:
    """Whether a Streamlit app answers its health call on this port. Asks directly: a proxy has no business on 127.0.0.1."""
    connection = http.client.HTTPConnection(HOST, port, timeout=HEALTH_TIMEOUT_S)
    try:
        connection.request("GET", "/_stcore/health")
        response = connection.getresponse()
        return response.status == 200 and response.read(64).strip() == b"ok"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def free_port(wanted: int | None) -> int:
    """`wanted` when it is free; without a wish the first free port from 8501 on.

    Raises:
        PortTaken: the wish cannot be met, or none of a hundred ports is free.
    """
    if wanted is not None:
        if is_free(wanted):
            return wanted
        raise PortTaken(f"port {wanted} is taken by another program; choose another one, or leave --port out to get a free one")
    last = DEFAULT_PORT + PORTS_TRIED
    for port in range(DEFAULT_PORT, last):
        if is_free(port):
            return port
    raise PortTaken(f"every port from {DEFAULT_PORT} to {last - 1} is taken; name a free one with --port")


def is_free(port: int) -> bool:
    """Whether nobody listens on the port of this computer."""
    with socket.socket() as probe:
        if sys.platform == "win32":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            return False
    return True
