"""One file that holds everything of a home that cannot be derived again, written while the program runs, and the way back."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
import uuid
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from kb.database import DATABASE_NAME, UnusableHome

if TYPE_CHECKING:
    from kb.library import Library

MARK = "flashkb-backup.txt"
MARK_TEXT = "A FlashKB library. Restore it into an empty folder with: python -m kb restore FILE --home DIR\n"


class BadBackup(Exception):
    """The file is not a whole backup; the message says what is wrong with it."""


def backup(library: Library, file: Path) -> Path:
    """Write database and originals into `file` (a zip), under another name until it is whole; returns the file.

    The database is copied by SQLite's online backup. Originals never change, and one that went since then belongs to no document.
    """
    file = Path(file)
    if file.is_dir():
        raise IsADirectoryError(f"{file} is a folder; name a file such as {file / 'library.zip'}")
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f"{file.name}.{uuid.uuid4().hex}.part")
    try:
        with tempfile.TemporaryDirectory(prefix="flashkb-backup-") as folder:
            copy = Path(folder) / DATABASE_NAME
            _copy_database(library.connection, copy)
            with zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
                archive.writestr(MARK, MARK_TEXT)
                archive.write(copy, DATABASE_NAME)
                for original in sorted(library.files.iterdir()) if library.files.is_dir() else []:
                    if original.suffix != ".part":
                        _write_original(archive, original)
        os.replace(aside, file)
    finally:
        aside.unlink(missing_ok=True)
    return file


def _copy_database(connection: sqlite3.Connection, copy: Path) -> None:
    with contextlib.closing(sqlite3.connect(copy)) as target:
        connection.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")


def _write_original(archive: zipfile.ZipFile, original: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # removed since the listing: the database's copy may still name it, check says so
        archive.write(original, f"files/{original.name}", zipfile.ZIP_STORED)


def restore(file: Path, home: Path) -> None:
    """Fill an empty or missing `home` from a backup.

    Raises:
        BadBackup: the file is not a backup or is damaged.
        UnusableHome: `home` is not empty.
    """
    if home.exists() and any(home.iterdir()):
        raise UnusableHome(f"{home} is not empty; restore into a new folder with --home")
    home.parent.mkdir(parents=True, exist_ok=True)
    aside = home.with_name(f"{home.name}.{uuid.uuid4().hex}.part")
    try:
        _unpack(file, aside)
        if home.exists():
            home.rmdir()
        os.replace(aside, home)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _unpack(file: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if MARK not in names or DATABASE_NAME not in names:
                raise BadBackup(f"{file} is a zip file but not a backup made by this program")
            damaged = archive.testzip()
            if damaged:
                raise BadBackup(f"{file} is damaged at {damaged}; use another backup")
            (folder / "files").mkdir(parents=True)
            for name in names:
                if name == DATABASE_NAME or (name.startswith("files/") and name[6:].isalnum()):
                    with archive.open(name) as source, (folder / name).open("wb") as target:
                        shutil.copyfileobj(source, target, 1 << 20)
    except zipfile.BadZipFile as error:
        raise BadBackup(f"{file} is not a backup or is cut short ({error})") from error
