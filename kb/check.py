"""Whether tables, full text, vectors, search index and files of a library agree, and the mending of what can be derived again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kb import database, originals
from kb.dense import INDEX_NAME, newest_change, read_index
from kb.indexfile import DamagedIndex

if TYPE_CHECKING:
    from kb.library import Library


@dataclass
class Report:
    """What a check found. `problems` are those left at its end, `mended` those that it repaired; each is a sentence."""

    documents: int = 0
    passages: int = 0
    files: int = 0
    problems: list[str] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)

    @property
    def is_consistent(self) -> bool:
        """Whether nothing is left to mend."""
        return not self.problems


def check(library: Library, repair: bool = False) -> Report:
    """Compare everything with everything, contents of originals by their hash included."""
    report = Report(documents=len(library.documents()), passages=_count(library, "passages"))
    _database(library, report)
    _full_text(library, report, repair)
    _vectors(library, report, repair)
    _index(library, report, repair)
    _files(library, report, repair)
    return report


def _count(library: Library, table: str) -> int:
    return int(library.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def _database(library: Library, report: Report) -> None:
    for row in library.connection.execute("PRAGMA integrity_check"):
        if row[0] != "ok":
            report.problems.append(f"the database is damaged: {row[0]}; restore a backup")
    if library.connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
        report.problems.append("the database has rows that point to nothing; restore a backup")
    stale = library.connection.execute(
        "SELECT count(*) FROM passages JOIN revisions ON revisions.id = passages.revision_id"
        " JOIN documents ON documents.id = passages.document_id WHERE NOT revisions.is_current OR documents.removed_at IS NOT NULL"
    ).fetchone()[0]
    if stale:
        report.problems.append(f"{stale} passages belong to removed or replaced documents; restore a backup")
    altered = 0
    for passage in library.passages():
        altered += hashlib.sha256(passage.text.encode("utf-8")).hexdigest() != passage.quote_sha256
    if altered:
        report.problems.append(f"{altered} passages do not have the text that they were stored with; restore a backup")


def _full_text(library: Library, report: Report, repair: bool) -> None:
    connection = library.connection
    missing = connection.execute("SELECT count(*) FROM passages WHERE id NOT IN (SELECT rowid FROM passages_fts)").fetchone()[0]
    extra = connection.execute("SELECT count(*) FROM passages_fts WHERE rowid NOT IN (SELECT id FROM passages)").fetchone()[0]
    if not missing and not extra:
        return
    problem = f"the full text lacks {missing} passages and holds {extra} that are gone"
    if not repair:
        report.problems.append(f"{problem}; run check with --repair")
        return
    with database.transaction(connection):
        connection.execute("DELETE FROM passages_fts WHERE rowid NOT IN (SELECT id FROM passages)")
        connection.execute(
            "INSERT INTO passages_fts(rowid, heading, text)"
            " SELECT id, heading, text FROM passages WHERE id NOT IN (SELECT rowid FROM passages_fts)"
        )
    report.mended.append(problem)


def _vectors(library: Library, report: Report, repair: bool) -> None:
    missing = library.without_vectors()
    if not missing:
        return
    problem = f"{len(missing)} passages have no vector of the encoder in use"
    if not repair:
        report.problems.append(f"{problem}; run check with --repair")
        return
    library.encode_missing()
    report.mended.append(problem)


def _index(library: Library, report: Report, repair: bool) -> None:
    """The saved file may lag behind (it is replayed) but must not be damaged or hold what no change explains."""
    file = library.home / "index" / INDEX_NAME
    try:
        index, facts = read_index(file)
    except FileNotFoundError:
        return
    except DamagedIndex as error:
        problem = f"the search index file is damaged: {error}"
    else:
        import faiss

        held = set(faiss.vector_to_array(index.id_map).tolist())
        current = {int(row[0]) for row in library.connection.execute("SELECT id FROM passages")}
        if facts["seq"] != newest_change(library.connection) or held == current:
            return
        problem = f"the search index holds {len(held - current)} passages that are gone and lacks {len(current - held)}"
    if repair:
        library.rebuild_index()
        report.mended.append(problem)
    else:
        report.problems.append(f"{problem}; run check with --repair")


def _files(library: Library, report: Report, repair: bool) -> None:
    rows = library.connection.execute(
        "SELECT DISTINCT content_sha256, documents.name FROM revisions JOIN documents ON documents.id = revisions.document_id"
        " WHERE documents.removed_at IS NULL"
    ).fetchall()
    for sha256, name in rows:
        place = library.files / sha256
        if not place.is_file():
            report.problems.append(f"the original of {name} is missing; remove the document and add it again")
            continue
        report.files += 1
        with place.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != sha256:
                report.problems.append(f"the original of {name} was altered; remove the document and add it again")
    left = originals.orphans(library.connection, library.files)
    if left and repair:
        report.mended.append(f"{originals.sweep(library.connection, library.files)} files that no document needs")
    elif left:
        report.problems.append(f"{len(left)} files belong to no document; run check with --repair")
