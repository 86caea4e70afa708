"""Originals under their content hash: copied aside, put in place at once, deleted when no document needs them."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sqlite3
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from kb.database import transaction

CHUNK_BYTES = 1 << 20
STALE_S = 24 * 3600.0
NEEDED = (
    "SELECT 1 FROM revisions JOIN documents ON documents.id = revisions.document_id"
    " WHERE revisions.content_sha256 = ? AND documents.removed_at IS NULL LIMIT 1"
)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Staged:
    """A copy of an upload that is not in the library yet."""

    path: Path
    sha256: str
    size_bytes: int


@contextlib.contextmanager
def staged(source: Path, folder: Path) -> Iterator[Staged]:
    """Copy `source` aside within `folder`, hashing it on the way; the copy is gone afterwards unless `keep` moved it.

    Its name holds this process's id, so that only those of dead processes are swept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f"{uuid.uuid4().hex}.{os.getpid()}.part"
    digest, size = hashlib.sha256(), 0
    try:
        with source.open("rb") as original, aside.open("wb") as copy:
            while part := original.read(CHUNK_BYTES):
                digest.update(part)
                copy.write(part)
                size += len(part)
            copy.flush()
            os.fsync(copy.fileno())
        yield Staged(aside, digest.hexdigest(), size)
    finally:
        aside.unlink(missing_ok=True)


def keep(copy: Staged, folder: Path) -> None:
    """Put a staged copy in its place. Call inside the transaction that records it, whose lock keeps `discard` out."""
    place = folder / copy.sha256
    if not place.exists():
        os.replace(copy.path, place)


def discard(connection: sqlite3.Connection, folder: Path, hashes: set[str]) -> int:
    """Delete those originals that no document needs any more; returns how many went."""
    gone = 0
    with transaction(connection):
        for sha256 in hashes:
            if connection.execute(NEEDED, (sha256,)).fetchone() is None and _unlink(folder / sha256):
                gone += 1
    return gone


def orphans(connection: sqlite3.Connection, folder: Path) -> list[Path]:
    """Files that no document needs: of an interrupted ingest or removal. Copies of ingests that still run are not among them."""
    if not folder.is_dir():
        return []
    found = []
    for place in folder.iterdir():
        if place.suffix == ".part":
            if _is_abandoned(place):
                found.append(place)
        elif connection.execute(NEEDED, (place.name,)).fetchone() is None:
            found.append(place)
    return found


def sweep(connection: sqlite3.Connection, folder: Path) -> int:
    """Delete orphans; returns how many."""
    if not orphans(connection, folder):
        return 0
    with transaction(connection):
        return sum(_unlink(place) for place in orphans(connection, folder))


def _is_abandoned(place: Path) -> bool:
    owner = place.name.split(".")[1]
    try:
        is_old = time.time() - place.stat().st_mtime > STALE_S
    except OSError:
        return False  # its ingest has just put it in place
    return is_old or not (owner.isdigit() and psutil.pid_exists(int(owner)))


def _unlink(place: Path) -> bool:
    """Whether the file is gone now. One that another program holds open (Windows) stays until the next sweep."""
    try:
        place.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        log.warning("%s is not needed any more but cannot be deleted yet: %s", place, error)
        return False
    return True
