"""Backup and the way back."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from kb.backup import BadBackup, restore
from kb.database import UnusableHome
from kb.encoder import Encoder
from kb.library import Library


def test_a_restored_backup_equals_the_library(library: Library, pump: Path, pdf: Path, tmp_path: Path, encoder: Encoder) -> None:
    library.add(pump)
    library.add(pdf, "Press")
    file = library.backup(tmp_path / "safe" / "copy.zip")
    restore(file, tmp_path / "new")
    with Library(tmp_path / "new", encoder) as other:
        assert list(other.passages()) == list(library.passages()) and other.documents() == library.documents()
        assert other.search("E-17") == library.search("E-17")
        assert {place.name for place in other.files.iterdir()} == {place.name for place in library.files.iterdir()}
        assert other.check().is_consistent


def test_a_backup_goes_only_into_an_empty_home(library: Library, pump: Path, tmp_path: Path) -> None:
    library.add(pump)
    file = library.backup(tmp_path / "copy.zip")
    with pytest.raises(UnusableHome, match="not empty"):
        restore(file, library.home)
    assert len(library.documents()) == 1


@pytest.mark.parametrize("damage", ["no zip", "other zip", "cut"])
def test_what_is_no_backup_is_refused_and_leaves_nothing(library: Library, pump: Path, tmp_path: Path, damage: str) -> None:
    library.add(pump)
    file = library.backup(tmp_path / "copy.zip")
    if damage == "no zip":
        file.write_bytes(b"hello")
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-200])
    else:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("x", "y")
    with pytest.raises(BadBackup):
        restore(file, tmp_path / "new")
    assert not (tmp_path / "new").exists() and not list(tmp_path.glob("*.part"))
