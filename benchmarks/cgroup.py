"""A memory cgroup (Linux, as root) for whole commands: page cache counts, and the peak is the kernel's own figure."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_ROOTS = ((Path("/sys/fs/cgroup/memory"), 1), (Path("/sys/fs/cgroup"), 2))
_FILES = {
    1: ("memory.limit_in_bytes", "memory.max_usage_in_bytes"),
    2: ("memory.max", "memory.peak"),
}


@dataclass(frozen=True)
class Finished:
    """What a command printed, and the most memory that it and its children took, page cache included; None without a cgroup."""

    stdout: str
    stderr: str
    returncode: int
    peak_bytes: int | None


def run(command: list[str], limit_bytes: int | None, environment: dict[str, str] | None = None) -> Finished:
    """Run to the end within `limit_bytes` (None: no limit, nothing measured). RuntimeError where cgroups cannot be made."""
    environment = {**os.environ, **(environment or {})}
    if limit_bytes is None:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        return Finished(done.stdout, done.stderr, done.returncode, None)
    with _group(limit_bytes) as (folder, peak):
        entry = ["sh", "-c", f'echo $$ > "{folder}/cgroup.procs" && exec "$@"', "sh", *command]
        done = subprocess.run(entry, capture_output=True, text=True, env=environment, check=False)
        return Finished(done.stdout, done.stderr, done.returncode, int((folder / peak).read_text()))


def forget_cached(file: Path) -> None:
    """Drop a file's pages from the page cache, so that the next command reads it for itself."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


@contextmanager
def _group(limit_bytes: int) -> Iterator[tuple[Path, str]]:
    for root, version in _ROOTS:
        limit, peak = _FILES[version]
        folder = root / f"flashkb-benchmark-{os.getpid()}"
        try:
            folder.mkdir()
            (folder / limit).write_text(str(limit_bytes))
        except OSError:
            folder.rmdir() if folder.is_dir() else None
            continue
        try:
            yield folder, peak
        finally:
            folder.rmdir()
        return
    raise RuntimeError("no memory cgroup can be made here; this needs Linux, root and the memory controller")
