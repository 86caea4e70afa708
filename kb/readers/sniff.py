"""What kind of file this is: by its content where content can tell, else by its name."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath

from kb.blocks import UnreadableDocument
from kb.readers.limits import ReaderLimits, megabytes

BY_SUFFIX = {
    ".pdf": "pdf",
    ".docx": "docx",
    ".docm": "docx",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
    ".md": "markdown",
    ".markdown": "markdown",
    ".mdx": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "text",
    ".text": "text",
    ".rst": "text",
    ".log": "text",
    ".asc": "text",
}
TEXT_KINDS = frozenset({"markdown", "html", "csv", "text"})
REFUSED = {
    **dict.fromkeys((".doc", ".dot"), "is in the old Word format; open it in Word or LibreOffice and save it as DOCX or PDF"),
    **dict.fromkeys((".xls", ".xlt"), "is in the old Excel format; open it in Excel or LibreOffice and save it as XLSX or CSV"),
    **dict.fromkeys((".ppt", ".pptx", ".odp", ".key"), "is a presentation; export it as PDF"),
    **dict.fromkeys((".odt", ".rtf", ".pages", ".wpd"), "is in a format that is not read; save it as DOCX or PDF"),
    **dict.fromkeys((".ods", ".numbers"), "is in a format that is not read; save it as XLSX or CSV"),
    **dict.fromkeys(
        (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".heic", ".svg"),
        "is a picture; pictures are not read, add the document as a PDF with text",
    ),
    **dict.fromkeys((".zip", ".7z", ".rar", ".gz", ".tar", ".tgz", ".bz2", ".xz"), "is an archive; unpack it and add the files in it"),
    **dict.fromkeys((".msg", ".eml", ".pst"), "is an e-mail; save the text or the attachment as a file of its own"),
    **dict.fromkeys((".mp3", ".mp4", ".avi", ".mov", ".wav", ".mkv"), "is a recording; only documents with text are read"),
    **dict.fromkeys((".exe", ".dll", ".msi", ".bin", ".iso", ".so", ".dmg"), "is a program or disk image, not a document"),
    **dict.fromkeys((".dwg", ".dxf", ".step", ".stp", ".stl", ".igs"), "is a CAD file; export the drawing as PDF"),
}
BY_MAGIC = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole"),
    (b"\x89PNG\r\n", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"GIF8", ".gif"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
    (b"\x1f\x8b", ".gz"),
    (b"7z\xbc\xaf", ".7z"),
    (b"Rar!", ".rar"),
    (b"MZ\x90", ".exe"),
    (b"\x7fELF", ".so"),
    (b"{\\rtf", ".rtf"),
)
HEAD_BYTES = 4096
SUSPICIOUS_BYTES = 64 * 1024 * 1024


def kind_of(path: Path, name: str, limits: ReaderLimits) -> str:
    """The kind that reads this file: "pdf", "docx", "xlsx", "markdown", "html", "csv" or "text".

    `name` is what the user calls it; a name without a known ending is plain text when its content is.

    Raises:
        UnreadableDocument: it is empty, too large, of a kind that is not read, or not what its name says.
    """
    suffix = PurePosixPath(name.lower().strip()).suffix
    size = path.stat().st_size
    if size > limits.file_bytes:
        raise UnreadableDocument(f"the file has {megabytes(size)}, the limit is {megabytes(limits.file_bytes)}; split it")
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head.strip(b"\0 \t\r\n") and size <= HEAD_BYTES:
        raise UnreadableDocument("the file is empty")
    if b"%PDF-" in head[:1024]:
        return "pdf"
    if head.startswith(b"PK\x03\x04"):
        return _kind_of_zip(path, suffix, limits)
    magic = next((found for mark, found in BY_MAGIC if head.startswith(mark)), "")
    if magic == "ole":
        _refuse_ole(path, suffix)
    return _kind_by_name(suffix, REFUSED.get(magic) or REFUSED.get(suffix), head)


def _kind_by_name(suffix: str, refusal: str | None, head: bytes) -> str:
    if refusal:
        raise UnreadableDocument(f"the file {refusal}")
    kind = BY_SUFFIX.get(suffix, "text")
    if kind not in TEXT_KINDS:
        raise UnreadableDocument(f"the file is named {suffix} but its content is not {kind.upper()}; it may be damaged, save it again")
    opening = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:200].lower()
    if kind == "text" and (opening.startswith(b"<!doctype html") or opening.startswith(b"<html")):
        return "html"
    return kind


def _refuse_ole(path: Path, suffix: str) -> None:
    """The old Office container: also what Word and Excel wrap an encrypted document in."""
    with path.open("rb") as file:
        content = file.read(2_000_000)
    if "EncryptedPackage".encode("utf-16-le") in content:
        raise UnreadableDocument("the file is protected with a password; save a copy without one")
    raise UnreadableDocument(f"the file {REFUSED[suffix if suffix in ('.xls', '.ppt') else '.doc']}")


def _kind_of_zip(path: Path, suffix: str, limits: ReaderLimits) -> str:
    """DOCX and XLSX by what lies in the container; guards against an archive that unpacks without end."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise UnreadableDocument(f"the file is damaged ({error}); open it in the program that made it and save it again") from error
    kind = "docx" if "word/document.xml" in names else "xlsx" if "xl/workbook.xml" in names else ""
    if not kind:
        raise UnreadableDocument(f"the file {REFUSED.get(suffix, REFUSED['.zip'])}")
    if unpacked > limits.unpacked_bytes or unpacked > max(SUSPICIOUS_BYTES, limits.unpacked_ratio * path.stat().st_size):
        raise UnreadableDocument(f"the file unpacks to {megabytes(unpacked)}, far more than a document holds; save it again or split it")
    return kind
