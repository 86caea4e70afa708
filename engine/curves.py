"""What this machine's disk and memory give, measured in a few seconds: the physical limit that a rate is held against."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import platformdirs

from engine.errors import EngineError
from engine.formats import find
from engine.kernels import Kernels, aligned_buffer

READ_SIZES = (4096, 16384, 65536, 262144, 1048576)
GUESSED_GAP_BYTES = 8192
_LONGEST_GAP = 1 << 17
_SECONDS_PER_SIZE = 0.4
_MOST_IN_FLIGHT_BYTES = 32 << 20
_KERNEL_BYTES = 48_000_000
"""Weights of the product that is timed: more than any cache holds."""


@dataclass(frozen=True)
class Curves:
    """`disk_mb_per_s` by the bytes of a random direct read, many in flight; memory and kernel in 10^9 bytes of weights a second."""

    disk_mb_per_s: tuple[tuple[int, float], ...]
    memory_gb_per_s: float
    kernel_gb_per_s: float

    def disk_rate(self, read_bytes: float) -> float:
        """Bytes a second with random reads of about this size; between measured sizes the time of a read grows evenly."""
        return read_bytes / self.read_s(read_bytes)

    def read_s(self, read_bytes: float) -> float:
        """Seconds that one of many reads in flight adds."""
        sizes = [float(size) for size, _ in self.disk_mb_per_s]
        seconds = [size / (rate * 1e6) for size, rate in self.disk_mb_per_s]
        if read_bytes >= sizes[-1]:
            return seconds[-1] * read_bytes / sizes[-1]
        return float(np.interp(read_bytes, sizes, seconds))

    def gap_bytes(self, typical_bytes: int) -> int:
        """How many unwanted bytes between two wanted pieces of that size are read sooner than with a second read.

        Two reads cost 2 t(s), one over the gap t(2 s + gap).
        """
        gap, step = 0, 512
        while gap < _LONGEST_GAP and self.read_s(2 * typical_bytes + gap + step) < 2 * self.read_s(typical_bytes):
            gap += step
        return gap

    def token_s(self, disk_bytes: float, read_bytes: float, weight_bytes: float) -> float:
        """The least time of a token that reads so much from disk, in reads of that size, and so many weights from memory, all at once."""
        from_disk = disk_bytes / self.disk_rate(read_bytes) if disk_bytes else 0.0
        return max(from_disk, weight_bytes / (min(self.memory_gb_per_s, self.kernel_gb_per_s) * 1e9))


def measure(file: Path, kernels: Kernels) -> Curves:
    """Time random reads of `file` and a product larger than the caches; about three seconds.

    Raises EngineError when the file is too small to tell anything.
    """
    sizes = [size for size in READ_SIZES if 2 * size <= file.stat().st_size]
    if not sizes:
        raise EngineError(f"{file} has {file.stat().st_size} bytes, too few to measure the disk with; name a larger file")
    disk = tuple((size, _disk_rate(file, kernels, size)) for size in sizes)
    return Curves(disk, _memory_rate(), _kernel_rate(kernels))


def measured(file: Path, kernels: Kernels) -> Curves:
    """As `measure`, from the user's cache where this machine and disk were measured before with the same kernels."""
    cache, key = _cache_file(), _key(file, kernels)
    known = _read_cache(cache)
    if key in known:
        return _from_json(known[key])
    found = measure(file, kernels)
    known[key] = asdict(found)
    cache.parent.mkdir(parents=True, exist_ok=True)
    aside = cache.with_name(f".{cache.name}.{os.getpid()}")
    aside.write_text(json.dumps(known), "utf-8")
    os.replace(aside, cache)
    return found


def gap_bytes_here(file: Path, kernels: Kernels, typical_bytes: int) -> int:
    """`Curves.gap_bytes` where this disk was measured before; a guess that suits most disks elsewhere, since measuring takes seconds."""
    known = _read_cache(_cache_file()).get(_key(file, kernels))
    return GUESSED_GAP_BYTES if known is None else _from_json(known).gap_bytes(typical_bytes)


def _cache_file() -> Path:
    return platformdirs.user_cache_path("flashkb") / "curves.json"


def _key(file: Path, kernels: Kernels) -> str:
    return f"{platform.node()} {file.stat().st_dev} {kernels.name}"


def _read_cache(cache: Path) -> dict[str, dict[str, object]]:
    try:
        found = json.loads(cache.read_text("utf-8"))
        return {key: value for key, value in found.items() if set(value) == set(Curves.__dataclass_fields__)}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}  # no cache yet, or one that another version wrote: it is measured again


def _from_json(value: dict[str, object]) -> Curves:
    pairs: list[list[float]] = value["disk_mb_per_s"]  # type: ignore[assignment]
    rest = {name: float(value[name]) for name in ("memory_gb_per_s", "kernel_gb_per_s")}  # type: ignore[arg-type]
    return Curves(tuple((int(size), float(rate)) for size, rate in pairs), **rest)


def _disk_rate(file: Path, kernels: Kernels, size: int) -> float:
    """MB/s of random reads, as many in flight as the kernels keep."""
    random = np.random.default_rng(size)
    count = min(256, _MOST_IN_FLIGHT_BYTES // size)
    buffer = aligned_buffer(count * size)
    places, sizes = np.arange(count, dtype=np.int64) * size, np.full(count, size, np.int64)
    read, began = 0, time.perf_counter()
    with kernels.open_direct(file) as opened:
        while time.perf_counter() - began < _SECONDS_PER_SIZE:
            kernels.read_batch(opened, random.integers(0, opened.size // size, count) * size, sizes, buffer, places)
            read += count * size
    return read / (time.perf_counter() - began) / 1e6


def _memory_rate() -> float:
    values = np.ones(_KERNEL_BYTES // 4, np.float32)
    return _best_rate(lambda: values.sum(), values.nbytes)


def _kernel_rate(kernels: Kernels) -> float:
    """GB/s of weights of a four-bit product with one token."""
    columns = 4096
    width = find("q4_1").row_bytes(columns)
    weights = np.random.default_rng(0).integers(0, 60, (_KERNEL_BYTES // width, width), dtype=np.uint8)
    x = np.random.default_rng(1).standard_normal((1, columns)).astype(np.float32)
    return _best_rate(lambda: kernels.matmul("q4_1", weights, x), weights.nbytes)


def _best_rate(work: Callable[[], object], size: int) -> float:
    best = float("inf")
    for _ in range(7):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return size / best / 1e9
