"""Opening, migrating and transactions."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from kb.database import Migration, NewerSchema, UnusableHome, connect, migrate, set_setting, setting, transaction
from kb.schema import MIGRATIONS

FIRST = Migration(1, "CREATE TABLE a (x);\nCREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM a WHERE x = 0; END;\n")
SECOND = Migration(2, "ALTER TABLE a ADD COLUMN y DEFAULT 7;\n")


@pytest.fixture
def connection(home: Path) -> sqlite3.Connection:
    opened = connect(home)
    migrate(opened, "kb", MIGRATIONS)
    return opened


def test_migrations_run_once_and_in_order(connection: sqlite3.Connection) -> None:
    assert migrate(connection, "room", [FIRST]) == 1
    connection.execute("INSERT INTO a(x) VALUES (1)")
    assert migrate(connection, "room", [SECOND, FIRST]) == 2
    assert migrate(connection, "room", [FIRST, SECOND]) == 2
    assert tuple(connection.execute("SELECT x, y FROM a").fetchone()) == (1, 7)


def test_a_failed_migration_leaves_nothing_behind(connection: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, "room", [Migration(1, "CREATE TABLE b (x);\nCREATE TABLE b (x);\n")])
    assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'b'").fetchone()[0] == 0
    with pytest.raises(ValueError, match="unfinished statement"):
        migrate(connection, "room", [Migration(1, "CREATE TABLE b (x)")])


def test_a_library_of_a_newer_program_is_refused(connection: sqlite3.Connection) -> None:
    migrate(connection, "room", [FIRST, SECOND])
    with pytest.raises(NewerSchema, match="version 2, this program knows 1"):
        migrate(connection, "room", [FIRST])


def test_a_failed_transaction_is_rolled_back_with_what_is_nested_in_it(connection: sqlite3.Connection) -> None:
    with pytest.raises(ZeroDivisionError), transaction(connection):
        set_setting(connection, "k", 1)
        raise ZeroDivisionError
    assert setting(connection, "k", "unset") == "unset" and not connection.in_transaction


def test_a_full_disk_is_named_and_leaves_what_was_there(connection: sqlite3.Connection) -> None:
    set_setting(connection, "k", 1)
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError, match="full"), transaction(connection):
        set_setting(connection, "k", 2)
        connection.execute("CREATE TABLE filler AS SELECT randomblob(1000000) AS x")
    assert setting(connection, "k", "unset") == 1 and not connection.in_transaction
    connection.execute("PRAGMA max_page_count = 1000000")
    set_setting(connection, "k", 3)
    assert setting(connection, "k", "unset") == 3


def test_a_commit_that_fails_leaves_no_transaction_for_the_next_one_to_join(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE parts(id INTEGER PRIMARY KEY)")
    connection.execute("CREATE TABLE uses(part INTEGER REFERENCES parts(id) DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises(sqlite3.IntegrityError), transaction(connection):
        connection.execute("INSERT INTO uses VALUES (9)")
    assert not connection.in_transaction


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(UnusableHome, match="choose a writable folder"):
        connect(tmp_path / "file")


def test_a_home_on_a_network_drive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kb.filesystem._mount_table_linux", lambda: [("/", "ext4"), (str(tmp_path), "nfs4")])
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(UnusableHome, match="network drive"):
        connect(tmp_path / "home")


def test_a_new_home_is_opened_by_many_at_the_same_moment(home: Path) -> None:
    together = threading.Barrier(8)

    def open_it(_: int) -> int:
        together.wait()
        with closing(connect(home)) as connection:
            return migrate(connection, "library", MIGRATIONS)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(open_it, range(8)))) == 1
