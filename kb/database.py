"""The one SQLite file of a home: opening it, migrating it, and refusing places where WAL cannot work."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kb.filesystem import is_network_path

DATABASE_NAME = "library.sqlite3"
BUSY_TIMEOUT_MS = 30_000


class UnusableHome(Exception):
    """The home folder cannot hold a library; the message says why and what to do."""


class NewerSchema(UnusableHome):
    """The library was written by a newer version of the program."""


@dataclass(frozen=True)
class Migration:
    """One step of a room's schema: `number` counts from 1 without gaps and is never edited once released."""

    number: int
    sql: str


def connect(home: Path) -> sqlite3.Connection:
    """Open (and create if need be) the library database in `home`, without migrating it.

    The connection is in autocommit mode: use `transaction` for every write. It may be used by one thread only.

    Raises:
        UnusableHome: `home` is on a network drive, is a file, or cannot be written.
    """
    if is_network_path(home):
        raise UnusableHome(
            f"{home} is on a network drive, where the database cannot lock safely; choose a folder on a local disk with --home"
        )
    try:
        home.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(home / DATABASE_NAME, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1000)
        connection.row_factory = sqlite3.Row
        _use_wal(connection)
    except (OSError, sqlite3.OperationalError) as error:
        raise UnusableHome(f"cannot open a library in {home}: {error}; choose a writable folder with --home") from error
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA recursive_triggers=ON")
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL, which SQLite refuses at once, without its busy timeout, while another connection switches or closes."""
    until = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) or time.monotonic() > until:
                connection.close()
                raise
            time.sleep(0.02)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """A write transaction that takes its lock at once; rolled back on any error. Nested use joins the outer one."""
    if connection.in_transaction:
        yield connection
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # on a full disk SQLite has rolled back by itself
            connection.execute("ROLLBACK")
        raise


def migrate(connection: sqlite3.Connection, room: str, migrations: Sequence[Migration]) -> int:
    """Bring one room's tables up to date and return the schema number that now holds.

    Each migration runs in a transaction of its own, together with the record that it ran.

    Raises:
        NewerSchema: the database already holds a higher number than this program knows.
    """
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations ("
        "room TEXT NOT NULL, number INTEGER NOT NULL, applied_at TEXT NOT NULL DEFAULT (datetime('now')),"
        "PRIMARY KEY (room, number))"
    )
    newest = max((migration.number for migration in migrations), default=0)
    held = _schema_number(connection, room)
    if held > newest:
        raise NewerSchema(f"the library's {room} tables have version {held}, this program knows {newest}; install the newer version")
    for migration in sorted(migrations, key=lambda step: step.number):
        _apply(connection, room, migration)
    return newest


def _schema_number(connection: sqlite3.Connection, room: str) -> int:
    row = connection.execute("SELECT coalesce(max(number), 0) FROM schema_migrations WHERE room = ?", (room,)).fetchone()
    return int(row[0])


def _apply(connection: sqlite3.Connection, room: str, migration: Migration) -> None:
    with transaction(connection):
        if _schema_number(connection, room) >= migration.number:
            return
        for statement in _statements(migration.sql):
            connection.execute(statement)
        connection.execute("INSERT INTO schema_migrations(room, number) VALUES (?, ?)", (room, migration.number))


def _statements(sql: str) -> Iterator[str]:
    """Split a script into statements; trigger bodies stay whole. `executescript` would commit behind our back."""
    pending = ""
    for line in sql.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            if pending.strip():
                yield pending
            pending = ""
    if pending.strip():
        raise ValueError(f"the migration ends in an unfinished statement: {pending.strip()[:80]!r}")


def setting(connection: sqlite3.Connection, key: str, default: Any) -> Any:
    """A value of the home's settings, or `default` when it was never set."""
    row = connection.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
    return default if row is None else json.loads(row[0])


def set_setting(connection: sqlite3.Connection, key: str, value: Any) -> None:
    """Keep a JSON value under `key`."""
    with transaction(connection):
        connection.execute(
            "INSERT INTO settings(key, value) VALUES (?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value", (key, json.dumps(value))
        )
