"""The sample library: a small set of industrial documents, of an invented company, to try the app with."""

from __future__ import annotations

from pathlib import Path

NAMES = (
    "HX 200 and HX 300 pump manual.pdf",
    "IM 160 alarm manual.docx",
    "Hydra 46 safety data sheet.md",
)


def paths() -> list[Path]:
    """The sample files, in the order in which they are added to a library."""
    folder = Path(__file__).parent
    return [folder / name for name in NAMES]
