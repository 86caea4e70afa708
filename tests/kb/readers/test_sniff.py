"""What kind a file is, and which are refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from kb.blocks import UnreadableDocument
from kb.readers.limits import ReaderLimits
from kb.readers.sniff import kind_of

LIMITS = ReaderLimits()
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def kind(tmp_path: Path, name: str, data: bytes, limits: ReaderLimits = LIMITS) -> str:
    file = tmp_path / "upload"
    file.write_bytes(data)
    return kind_of(file, name, limits)


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.txt", b"%PDF-1.7 ...", "pdf"),
        ("A.PDF", b"%PDF-1.4", "pdf"),
        ("notes", b"just words", "text"),
        ("a.txt", b"<!DOCTYPE html><p>x", "html"),
        ("a.md", b"# x", "markdown"),
        ("a.tsv", b"a\tb", "csv"),
    ],
)
def test_content_decides_and_the_name_helps(tmp_path: Path, name: str, data: bytes, expected: str) -> None:
    assert kind(tmp_path, name, data) == expected


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.md", b"", "empty"),
        ("a.md", b" \n\n", "empty"),
        ("a.doc", OLE + b"x", "old Word format"),
        ("a.xls", OLE + b"x", "old Excel format"),
        ("a.docx", OLE + "EncryptedPackage".encode("utf-16-le"), "password"),
        ("a.pdf", b"hello", "named .pdf but its content is not PDF"),
        ("a.docx", b"PK\x03\x04 cut", "damaged"),
        ("a.md", b"\x89PNG\r\n\x1a\n", "picture"),
        ("a.tar.gz", b"\x1f\x8b", "archive"),
        ("a.pptx", b"words", "presentation"),
    ],
)
def test_a_file_that_is_not_read_says_what_to_do(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableDocument, match=reason):
        kind(tmp_path, name, data)


def test_a_file_over_the_limit_says_both_figures(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDocument, match="3 MB, the limit is 1 MB"):
        kind(tmp_path, "a.txt", b"x" * 3_000_000, ReaderLimits(file_bytes=1_000_000))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.docx"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"\0" * 80_000_000)
    with pytest.raises(UnreadableDocument, match="unpacks to 80 MB"):
        kind_of(bomb, "bomb.docx", LIMITS)


def test_a_zip_that_is_no_document_is_refused(tmp_path: Path) -> None:
    plain = tmp_path / "a.docx"
    with zipfile.ZipFile(plain, "w") as archive:
        archive.writestr("readme.txt", "x")
    with pytest.raises(UnreadableDocument, match="archive"):
        kind_of(plain, "a.docx", LIMITS)
