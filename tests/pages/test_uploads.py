"""Uploads lie safely in the home until they are dealt with, and what became of each is said in a sentence."""

from __future__ import annotations

import io
import os
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kb import jobs
from pages.elements import uploads
from surrogates import schema


def ended(home: Path, state: str, result: dict[str, Any] | None = None, error: str | None = None) -> uploads.Outcome:
    """What is said of an upload that ended so."""
    job_id = uploads.accept(home, "pump.pdf", io.BytesIO(b"x"), "General")
    with closing(schema.connect(home)) as connection:
        jobs.claim(connection, ["ingest"])
        if state == "done":
            jobs.finish(connection, job_id, result)
        elif state == "failed":
            jobs.fail(connection, job_id, error or "")
        else:
            jobs.cancelled(connection, job_id)
        return uploads.outcome(jobs.get(connection, job_id))


def added(status: str, **values: Any) -> dict[str, Any]:
    return {"status": status, "reason": "", "passages": 30, "pages": 7, "pages_without_text": [], **values}


@pytest.mark.parametrize("name", ["../../etc/passwd", "C:\\Windows\\win.ini", "a\x00b\n.pdf", "x" * 400 + ".pdf", ""])
def test_no_name_leads_out_of_the_uploads_folder(home: Path, name: str) -> None:
    job_id = uploads.accept(home, name, io.BytesIO(b"content"), "Line 3")
    with closing(schema.connect(home)) as connection:
        payload = jobs.get(connection, job_id).payload
    kept = Path(payload["path"])
    assert kept.parent == home / "uploads" and kept.read_bytes() == b"content"
    assert payload["name"] == name and payload["delete_after"] is True


def test_an_upload_makes_its_collection_once_whatever_the_case(home: Path) -> None:
    ids = [uploads.accept(home, "a.md", io.BytesIO(b"a"), name) for name in ("Line 3", "line 3", "  ")]
    with closing(schema.connect(home)) as connection:
        scopes = [jobs.get(connection, job_id).collection_id for job_id in ids]
        names = [row["name"] for row in connection.execute("SELECT name FROM collections ORDER BY id")]
    assert scopes[0] == scopes[1] != scopes[2]
    assert names == ["Line 3", uploads.DEFAULT_COLLECTION]


def test_a_file_added_where_it_lies_is_not_deleted_afterwards(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "manual.md"
    file.write_text("# Manual", encoding="utf-8")
    job_id = uploads.accept_path(home, file, "General")
    with closing(schema.connect(home)) as connection:
        assert jobs.get(connection, job_id).payload == {"path": str(file), "name": "manual.md", "delete_after": False}


def test_old_uploads_that_no_job_waits_for_are_swept(home: Path) -> None:
    needed = uploads.accept(home, "a.md", io.BytesIO(b"a"), "General")
    left = home / "uploads" / "left-by-a-crash"
    young = home / "uploads" / "being-written"
    for file in (left, young):
        file.write_bytes(b"x")
    with closing(schema.connect(home)) as connection:
        waiting = Path(jobs.get(connection, needed).payload["path"])
    for file in (left, waiting):
        os.utime(file, (time.time() - 2 * uploads.ABANDONED_S,) * 2)
    uploads.sweep(home)
    assert waiting.exists() and young.exists() and not left.exists()


def test_every_end_of_a_file_is_said(home: Path) -> None:
    assert ended(home, "done", added("indexed")) == uploads.Outcome("pump.pdf", "indexed", "7 pages, 30 passages")
    assert "no text on pages 2 and 3" in ended(home, "done", added("indexed", pages_without_text=[2, 3])).detail
    assert "new revision" in ended(home, "done", added("replaced")).detail
    assert ended(home, "done", added("refused", reason="the file is empty")).detail == "the file is empty"
    assert ended(home, "done", added("duplicate", reason="the collection already has this file")).status == "duplicate"
    assert ended(home, "failed", error="the disk is full") == uploads.Outcome("pump.pdf", "refused", "the disk is full")
    assert ended(home, "cancelled").status == "stopped"


@pytest.mark.parametrize(
    ("pages", "said"),
    [
        ([3], "page 3"),
        ([3, 7], "pages 3 and 7"),
        ([1, 2, 3], "pages 1, 2 and 3"),
        ([*range(1, 31)], "pages 1, 2, 3, 4, 5, 6, 7, 8 and 22 more"),
    ],
)
def test_page_numbers_are_listed_in_a_few_words(pages: list[int], said: str) -> None:
    assert uploads.page_list(pages) == said
