"""How much of the machine one file may cost."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class ReaderLimits:
    """Bounds on one file. Bytes and seconds; a file beyond one of them is refused with the figure, and harms nothing else."""

    file_bytes: int = 512 * 1024 * 1024
    memory_bytes: int = 2_000_000_000
    """Resident memory of the reader's process, libraries included."""
    stall_s: float = 90.0
    """Longest silence between two signs of progress (a page, a sheet, a part of the text)."""
    total_s: float = 3600.0
    pages: int = 20_000
    text_characters: int = 60_000_000
    unpacked_bytes: int = 2 * 1024 * 1024 * 1024
    """What a zipped document (DOCX, XLSX) may unpack to."""
    unpacked_ratio: int = 200
    """And how many times its own size, once that is more than 64 MB."""
    rows: int = 300_000
    """Table rows of a CSV or XLSX file."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) <= 0:
                raise ValueError(f"{field.name} is {getattr(self, field.name)}, expected more than 0")


def megabytes(size_bytes: int) -> str:
    """A size as people read it: "3 MB"."""
    return f"{max(1, round(size_bytes / 1_000_000)):,} MB"
