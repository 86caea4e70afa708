from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import platformdirs
import pytest

from engine import curves, kernels
from engine.curves import GUESSED_GAP_BYTES, Curves
from engine.errors import EngineError

DISK = Curves(((4096, 130.0), (16384, 400.0), (65536, 800.0), (262144, 850.0)), 20.0, 15.0)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr(curves, "_SECONDS_PER_SIZE", 0.01)
    monkeypatch.setattr(curves, "_KERNEL_BYTES", 1_000_000)
    (tmp_path / "data").write_bytes(np.random.default_rng(0).bytes(600_000))
    return tmp_path / "data"


def test_small_reads_are_joined_over_gaps_and_large_ones_are_not() -> None:
    assert DISK.gap_bytes(4096) > 8192
    assert DISK.gap_bytes(262144) < DISK.gap_bytes(4096)
    even = Curves(((4096, 500.0), (262144, 500.0)), 20.0, 15.0)  # a disk whose reads cost by their bytes alone
    assert even.gap_bytes(4096) == 0


def test_a_token_takes_as_long_as_the_slower_of_disk_and_kernels() -> None:
    assert DISK.token_s(80e6, 65536, 1e6) == pytest.approx(0.1)
    assert DISK.token_s(0, 1, 15e9) == pytest.approx(1.0)
    assert DISK.token_s(8e6, 1 << 20, 3e9) == pytest.approx(0.2)


def test_a_measurement_is_taken_once_for_a_disk(file: Path) -> None:
    found = kernels.load()
    assert curves.gap_bytes_here(file, found, 4096) == GUESSED_GAP_BYTES
    first = curves.measured(file, found)
    assert [size for size, _ in first.disk_mb_per_s] == [4096, 16384, 65536, 262144]
    assert min(rate for _, rate in first.disk_mb_per_s) > 0 and first.memory_gb_per_s > 0 and first.kernel_gb_per_s > 0
    assert curves.measured(file, found) == first
    assert curves.gap_bytes_here(file, found, 4096) == first.gap_bytes(4096)


@pytest.mark.parametrize("content", ["", "[]", '{"a": 3}', json.dumps({"a": {"b": 1}})])
def test_a_cache_of_another_kind_is_measured_anew(content: str, file: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "flashkb" / "curves.json"
    cache.parent.mkdir(parents=True)
    cache.write_text(content, "utf-8")
    assert curves.measured(file, kernels.load()).kernel_gb_per_s > 0


def test_a_file_too_small_to_tell_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tiny").write_bytes(b"x" * 5000)
    with pytest.raises(EngineError, match="too few"):
        curves.measure(tmp_path / "tiny", kernels.load())
