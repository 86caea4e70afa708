"""Reading in a bounded child process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kb.blocks import UnreadableDocument
from kb.readers.limits import ReaderLimits
from kb.readers.process import ReaderProcess


@pytest.fixture
def reader() -> Iterator[ReaderProcess]:
    process = ReaderProcess()
    yield process
    process.close()


def test_one_child_reads_many_files(reader: ReaderProcess, pump: Path, pdf: Path) -> None:
    assert reader.read(pump, "markdown").blocks[0].text == "Hydraulic pump HP-200"
    child = reader._child
    pages: list[tuple[int, int]] = []
    assert reader.read(pdf, "pdf", lambda done, total: pages.append((done, total))).pages == 4
    assert pages == [(1, 4), (2, 4), (3, 4), (4, 4)] and reader._child is child


def test_a_reading_survives_the_trip_between_processes(reader: ReaderProcess, pdf: Path) -> None:
    from kb.readers.pdf.reader import read_pdf

    assert reader.read(pdf, "pdf") == read_pdf(pdf, ReaderLimits(), lambda done, total: None)


def test_a_file_that_kills_the_reader_costs_only_itself(reader: ReaderProcess, pump: Path) -> None:
    reader.read(pump, "markdown")
    assert reader._child is not None
    reader._child.kill()
    reader._child.wait()
    assert reader.read(pump, "markdown").blocks


def test_memory_over_the_limit_is_refused_with_the_figure(pump: Path) -> None:
    reader = ReaderProcess(ReaderLimits(memory_bytes=1_000_000))
    with pytest.raises(UnreadableDocument, match="more than 1 MB of memory"):
        reader.read(pump, "markdown")
    reader.close()


def test_a_reader_without_progress_is_stopped(pump: Path) -> None:
    reader = ReaderProcess(ReaderLimits(stall_s=0.01))
    with pytest.raises(UnreadableDocument, match=r"no progress for 0\.01 seconds"):
        reader.read(pump, "markdown")
    reader.close()


def test_an_error_inside_a_reader_is_a_refusal(reader: ReaderProcess, tmp_path: Path) -> None:
    with pytest.raises(UnreadableDocument, match="FileNotFoundError"):
        reader.read(tmp_path / "gone.md", "markdown")


def test_limits_must_be_positive() -> None:
    with pytest.raises(ValueError, match="pages is 0"):
        ReaderLimits(pages=0)
