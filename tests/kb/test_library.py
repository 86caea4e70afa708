"""The library's door: documents come in, are found and go."""

from __future__ import annotations

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kb.encoder import Encoder
from kb.library import Library, walk
from kb.readers.limits import ReaderLimits

Write = Callable[[str, str], Path]
ROOT = Path(__file__).resolve().parents[2]


def contents(library: Library) -> set[str]:
    return {passage.text for passage in library.passages()}


def test_an_added_document_is_listed_and_found(library: Library, pump: Path) -> None:
    added = library.add(pump, "Line 1")
    (document,) = library.documents()
    assert (added.status, added.passages) == ("indexed", 2)
    assert (document.name, document.collection, document.kind, document.revision, document.passages) == (
        "pump.md",
        "Line 1",
        "markdown",
        1,
        2,
    )
    hit = library.search("what does alarm E-17 mean?")[0]
    assert "Code: E-17; Meaning: Oil pressure too low" in hit.passage.text
    assert hit.passage.heading == ("Hydraulic pump HP-200", "Alarms") and hit.rank == 1


def test_a_pdf_passage_knows_its_page_and_place(library: Library, pdf: Path) -> None:
    added = library.add(pdf)
    assert (added.pages, added.pages_without_text) == (4, (4,))
    passage = library.search("Die not clamped A-09")[0].passage
    assert (passage.page_first, passage.page_last) == (2, 2) and all(box[0] == 2 for box in passage.boxes)


def test_the_same_content_is_a_duplicate_within_its_collection_only(library: Library, pump: Path) -> None:
    first = library.add(pump, "Line 1")
    again = library.add(pump, "Line 1", name="copy.md")
    assert (again.status, again.document_id) == ("duplicate", first.document_id) and "pump.md" in again.reason
    assert library.add(pump, "Line 2").status == "indexed"


def test_the_same_name_with_other_content_is_a_new_revision(library: Library, write: Write) -> None:
    old = library.add(write("a/oil.md", "# Oil\n\nUse grade 46."), name="oil.md")
    gone = library.search("grade")[0].passage.id
    new = library.add(write("b/oil.md", "# Oil\n\nUse grade 68."), name="oil.md")
    assert (new.status, new.document_id) == ("replaced", old.document_id)
    assert library.documents()[0].revision == 2 and contents(library) == {"Use grade 68."}
    assert [hit.passage.text for hit in library.search("grade 46")] == ["Use grade 68."]
    with pytest.raises(KeyError, match="not in the library any more"):
        library.passage(gone)


def test_a_removed_document_is_never_found_again(library: Library, pump: Path, write: Write) -> None:
    added = library.add(pump)
    library.add(write("other.md", "# Other\n\nNothing of interest here."))
    assert any("E-17" in hit.passage.text for hit in library.search("E-17"))
    assert added.document_id is not None
    removed = library.remove(added.document_id)
    assert (removed.name, removed.passages, removed.files) == ("pump.md", 2, 1)
    assert all(hit.passage.document == "other.md" for hit in library.search("E-17"))
    assert library.check().is_consistent
    with pytest.raises(KeyError):
        library.remove(added.document_id)


def test_an_original_stays_while_another_document_needs_it(library: Library, pump: Path) -> None:
    one, two = library.add(pump, "Line 1"), library.add(pump, "Line 2")
    assert one.document_id and two.document_id
    assert library.remove(one.document_id).files == 0 and len(list(library.files.iterdir())) == 1
    assert library.remove(two.document_id).files == 1 and not list(library.files.iterdir())


def test_ids_are_never_used_again(library: Library, pump: Path) -> None:
    first = library.add(pump)
    before = {passage.id for passage in library.passages()}
    assert first.document_id
    library.remove(first.document_id)
    second = library.add(pump)
    assert second.document_id != first.document_id and before.isdisjoint(passage.id for passage in library.passages())


def test_search_stays_within_its_collection(library: Library, write: Write) -> None:
    for line in ("A", "B"):
        for number in range(30):
            library.add(write(f"{line}{number}.md", f"# Machine {line}\n\nThe pressure of unit {number} is {number} bar."), f"Line {line}")
    hits = library.search("pressure of unit 7", "Line B", limit=40)
    assert {hit.passage.collection for hit in hits} == {"Line B"} and len(hits) == 30
    assert library.search("pressure", "No such line") == []


def test_an_empty_question_and_an_empty_library_find_nothing(library: Library, pump: Path) -> None:
    assert library.search("pressure") == []
    library.add(pump)
    assert library.search("") == library.search(" \n ") == []


@pytest.mark.parametrize("question", ['"', "AND OR NOT", "a* NEAR(b", "E-17' OR 1=1 --", "?" * 50, "x" * 10_000, "\x00\u202e", "öl ☃"])
def test_no_question_breaks_the_search(library: Library, pump: Path, question: str) -> None:
    library.add(pump)
    assert len(library.search(question)) <= 10


def test_newest_seq_counts_additions_of_a_collection(library: Library, pump: Path, write: Write) -> None:
    assert library.newest_seq() == 0
    added = library.add(pump, "Line 1")
    first = library.newest_seq("Line 1")
    library.add(write("x.md", "# X\n\nText."), "Line 2")
    assert library.newest_seq("Line 1") == first < library.newest_seq("Line 2") == library.newest_seq()
    assert added.document_id
    library.remove(added.document_id)
    assert library.newest_seq("Line 1") == first


def test_context_gives_the_neighbours_in_reading_order(library: Library, write: Write) -> None:
    library.add(write("m.md", "".join(f"# Part {number}\n\nText {number}.\n\n" for number in range(5))))
    middle = next(passage for passage in library.passages() if passage.text == "Text 2.")
    assert [passage.text for passage in library.context(middle.id, around=1)] == ["Text 1.", "Text 2.", "Text 3."]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("empty.md", "", "empty"),
        ("blank.txt", " \n", "empty"),
        ("only.md", "<!-- nothing -->", "no text"),
        ("broken.pdf", "%PDF-1.4 no", "broken"),
    ],
)
def test_a_bad_file_is_refused_with_a_reason_and_leaves_nothing(library: Library, write: Write, name: str, text: str, reason: str) -> None:
    added = library.add(write(name, text))
    assert added.status == "refused" and reason in added.reason
    assert library.documents() == [] and not list(library.files.iterdir() if library.files.is_dir() else [])


def test_a_missing_file_and_a_folder_are_refused(library: Library, tmp_path: Path) -> None:
    assert library.add(tmp_path / "gone.md").reason == "there is no such file"
    assert "folder" in library.add(tmp_path).reason


def test_a_file_over_the_limit_is_refused_with_both_figures(home: Path, encoder: Encoder, write: Write) -> None:
    with Library(home, encoder, ReaderLimits(file_bytes=1_000_000)) as library:
        assert "3 MB, the limit is 1 MB" in library.add(write("big.txt", "word " * 600_000)).reason


def test_a_dangerous_name_becomes_display_text(library: Library, pump: Path) -> None:
    library.add(pump, name="..\\..\\C:\\x\x07\u202ey/pump.md")
    assert [document.name for document in library.documents()] == ["x y/pump.md".replace(" ", "")]


def test_a_folder_is_walked_and_every_file_is_reported(library: Library, write: Write, pump: Path) -> None:
    write("machines /.hidden", "x")
    write("machines /a/notes.md", "# A\n\nFirst.")
    write("machines /b/notes.md", "# B\n\nSecond.")
    write("machines /drawing.dwg", "x")
    seen: list[str] = []
    results = library.add_tree([pump.parent / "machines ", pump], on_file=lambda added: seen.append(added.status))
    assert {Path(added.path).name: added.status for added in results} | {"notes.md": "indexed"} == {
        ".hidden": "refused",
        "drawing.dwg": "refused",
        "notes.md": "indexed",
        "pump.md": "indexed",
    }
    assert len(seen) == len(results) == 5 and all(added.reason for added in results if added.status == "refused")
    assert [document.name for document in library.documents()] == ["machines/a/notes.md", "machines/b/notes.md", "pump.md"]


def test_walking_names_each_file_once(tmp_path: Path, write: Write) -> None:
    write("b.txt", "x")
    write("a/a.txt", "x")
    folder = tmp_path / "documents"
    assert [name for _, name in walk([folder])] == ["documents/b.txt", "documents/a/a.txt"]


def test_progress_goes_from_reading_to_indexing(library: Library, pdf: Path) -> None:
    seen: list[tuple[str, float]] = []
    library.add(pdf, on_progress=lambda stage, share: seen.append((stage, share)))
    assert [stage for stage, _ in seen if stage == "reading"] and seen[-1] == ("indexing", 1.0)
    assert [share for _, share in seen] == sorted(share for _, share in seen)


def test_what_was_added_is_there_after_closing(home: Path, encoder: Encoder, pump: Path) -> None:
    with Library(home, encoder) as library:
        library.add(pump)
        before = [(hit.passage.id, round(hit.score, 6)) for hit in library.search("oil pressure")]
    with Library(home, encoder) as library:
        assert [(hit.passage.id, round(hit.score, 6)) for hit in library.search("oil pressure")] == before


def test_another_process_sees_changes_without_opening_again(home: Path, encoder: Encoder, pump: Path, write: Write) -> None:
    with Library(home, encoder) as one, Library(home, encoder) as other:
        one.add(pump)
        assert other.search("suction filter")
        added = other.add(write("n.md", "# N\n\nThe hopper holds 40 kg."))
        assert one.search("hopper")[0].passage.text == "The hopper holds 40 kg."
        assert added.document_id
        other.remove(added.document_id)
        assert all("hopper" not in hit.passage.text for hit in one.search("hopper"))


def test_a_change_of_the_encoder_is_made_up_for(home: Path, encoder: Encoder, other_encoder: Encoder, pump: Path) -> None:
    with Library(home, encoder) as library:
        library.add(pump)
        library.search("oil")
    with Library(home, other_encoder) as library:
        assert len(library.without_vectors()) == 2
        assert library.search("oil")[0].dense is not None
        assert library.without_vectors() == [] and library.check().is_consistent


ADD = """
import runpy, sys, time
from pathlib import Path
from kb import library, originals
home, conftest, mode, *files = sys.argv[1:]
encoder = runpy.run_path(conftest)["WordEncoder"]()
def stop(*arguments):
    print("here", flush=True)
    time.sleep(60)
if mode == "encoding":
    encoder.encode = stop
if mode == "storing":
    originals.keep = stop
with library.Library(Path(home), encoder) as opened:
    for file in files:
        print(opened.add(Path(file)).status, flush=True)
"""


def adding(home: Path, mode: str, *files: Path) -> subprocess.Popen[str]:
    """Another process that adds files; in the modes "encoding" and "storing" it stops there and waits."""
    command = [sys.executable, "-c", ADD, str(home), str(Path(__file__).with_name("conftest.py")), mode, *map(str, files)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("moment", ["encoding", "storing"])
def test_a_killed_ingest_leaves_a_consistent_library(home: Path, encoder: Encoder, pump: Path, moment: str) -> None:
    with adding(home, moment, pump) as child:
        assert child.stdout is not None and child.stdout.readline() == "here\n"
        child.kill()
    with Library(home, encoder) as library:
        assert library.documents() == [] and contents(library) == set()
        assert not list(library.files.iterdir())
        assert library.check().is_consistent
        assert library.add(pump).status == "indexed"


def test_two_processes_can_add_at_the_same_time(home: Path, encoder: Encoder, write: Write) -> None:
    files = [write(f"{number}.md", f"# Part {number}\n\nValue {number}.") for number in range(8)]
    with adding(home, "", *files[:5]) as one, adding(home, "", *files[3:]) as other:
        said = one.communicate(timeout=120)[0] + other.communicate(timeout=120)[0]
    assert said.count("indexed") == 8 and said.count("duplicate") == 2
    with Library(home, encoder) as library:
        assert contents(library) == {f"Value {number}." for number in range(8)} and library.check().is_consistent


def test_the_encoder_of_the_tests_is_the_same_everywhere() -> None:
    other = runpy.run_path(str(Path(__file__).with_name("conftest.py")))["WordEncoder"]()
    assert other.encode(["oil pump"])[0] @ other.encode(["pump oil"])[0] == pytest.approx(1.0, abs=1e-5)


@pytest.mark.skipif(sys.platform == "win32", reason="the limit on file sizes that stands for a full disk is POSIX")
def test_a_full_disk_refuses_the_file_with_the_way_out_and_leaves_nothing(library: Library, pump: Path, write: Write) -> None:
    import resource

    library.add(pump)
    before = library.check(), contents(library)
    large = write("large.txt", "The pump runs at 42 bar. " * 5_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    try:
        added = library.add(large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert added.status == "refused" and "could not be stored" in (added.reason or "")
    assert (library.check(), contents(library)) == before
    assert library.add(large).status == "indexed"
