"""The check finds what does not agree and mends what can be derived again."""

from __future__ import annotations

from pathlib import Path

from kb.library import Library


def test_a_library_in_order_has_no_problems(library: Library, pump: Path, pdf: Path) -> None:
    library.add(pump)
    library.add(pdf)
    library.search("oil")
    library.rebuild_index()
    report = library.check()
    assert report.is_consistent and (report.documents, report.passages, report.files) == (2, len(list(library.passages())), 2)


def test_lost_full_text_vectors_and_index_are_mended(library: Library, pump: Path) -> None:
    library.add(pump)
    library.rebuild_index()
    library.connection.execute("DELETE FROM passages_fts WHERE rowid = 1")
    library.connection.execute("DELETE FROM passage_vectors WHERE passage_id = 2")
    index = library.home / "index" / "passages.faiss"
    index.write_bytes(index.read_bytes()[:-9])
    assert len(library.check().problems) == 3
    assert len(library.check(repair=True).mended) == 3
    assert library.check().is_consistent


def test_a_lost_or_altered_original_is_named(library: Library, pump: Path, pdf: Path) -> None:
    library.add(pump)
    library.add(pdf)
    originals = {document.name: library.original(document.revision_id) for document in library.documents()}
    originals["pump.md"].unlink()
    originals["press.pdf"].write_bytes(b"other")
    problems = library.check(repair=True).problems
    assert sorted(problem.split(";")[0] for problem in problems) == [
        "the original of press.pdf was altered",
        "the original of pump.md is missing",
    ]


def test_a_file_of_no_document_is_swept(library: Library, pump: Path) -> None:
    library.add(pump)
    (library.files / ("0" * 64)).write_bytes(b"left over")
    assert "1 files belong to no document" in library.check().problems[0]
    assert library.check(repair=True).is_consistent and len(list(library.files.iterdir())) == 1


def test_an_altered_passage_is_found(library: Library, pump: Path) -> None:
    library.add(pump)
    library.connection.execute("UPDATE passages SET text = 'changed' WHERE id = 1")
    assert any("do not have the text" in problem for problem in library.check().problems)
