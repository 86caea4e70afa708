"""Bad input and faults around teaching and asking: what is left behind is whole, and the next run goes on."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.request import Generation, Request
from kb.library import Library
from surrogates import bank, schema, teaching
from surrogates.surrogate import Surrogate
from tests.surrogates.conftest import WordEncoder

Add = Callable[[str, str], int]
ROOT = Path(__file__).resolve().parents[2]
PARTS = "# Saw\n" + "".join(
    f"\n## {name}\n\nThe {name.lower()} of the saw is changed after {hours} hours. Loosen the nut with the key and lift the {name.lower()} "
    "out before a new one is fitted.\n"
    for name, hours in (("Blade", 80), ("Belt", 90), ("Filter", 20), ("Brush", 70), ("Lamp", 60), ("Guard", 50))
)
DIES = """
import sys
from pathlib import Path
import psutil
from engine.request import Generation
from kb.library import Library
from surrogates import teaching
from tests.surrogates.conftest import WordEncoder
from tests.surrogates.test_faults import writes

asked = 0

def complete(request):
    global asked
    asked += 1
    if asked == 4:
        psutil.Process().kill()  # SIGKILL; on Windows TerminateProcess
    return writes(request)

with Library(Path(sys.argv[1]), WordEncoder()) as library:
    teaching.teach(library, complete, teacher="tiny")
"""


def writes(request: Request) -> Generation:
    """Two questions about the part that the request names."""
    part = next(name for name in ("blade", "belt", "filter", "brush", "lamp", "guard") if f"The {name} of" in request.segments[-1].text)
    text = f" After how many hours is the {part} of the saw changed?\n2. What do I loosen before I lift the {part} out of the saw?\n3. What"
    return Generation(text, 9, 1, "stop", 1.0, 0.1, 0.0, 0.0, 0.0, 1, "exact")


def questions(library: Library) -> Counter[tuple[str, str]]:
    rows = library.connection.execute("SELECT q.text, a.text FROM bank_questions q JOIN bank_answers a ON a.id = q.answer_id")
    return Counter((row[0], row[1]) for row in rows)


@pytest.fixture
def undisturbed(tmp_path: Path, word_encoder: WordEncoder) -> Counter[tuple[str, str]]:
    """What teaching makes of the document when nothing goes wrong."""
    with Library(tmp_path / "undisturbed", word_encoder) as library:
        schema.of(library)
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "saw.md").write_text(PARTS, encoding="utf-8")
        library.add(tmp_path / "other" / "saw.md")
        teaching.teach(library, writes, teacher="tiny")
        return questions(library)


def test_teaching_that_was_killed_goes_on_to_what_it_would_have_made(
    word_library: Library, add: Add, home: Path, undisturbed: Counter[tuple[str, str]]
) -> None:
    add("saw.md", PARTS)
    died = subprocess.run([sys.executable, "-c", DIES, str(home)], cwd=ROOT, capture_output=True, timeout=120, check=False)
    assert died.returncode != 0
    taught = word_library.connection.execute("SELECT count(*) FROM taught_passages WHERE teacher = 'tiny'").fetchone()[0]
    assert taught == 3, died.stderr.decode()
    assert teaching.teach(word_library, writes, teacher="tiny").passages == 3
    assert questions(word_library) == undisturbed


@pytest.mark.parametrize("room", [0, 2, 5, 9])
def test_teaching_on_a_full_disk_fails_and_goes_on_without_duplicates(
    word_library: Library, add: Add, undisturbed: Counter[tuple[str, str]], room: int
) -> None:
    add("saw.md", PARTS)
    connection = word_library.connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    free = connection.execute("PRAGMA freelist_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages - free + room}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        while True:  # small changes may still fit
            teaching.teach(word_library, writes, teacher="tiny")
            connection.execute("DELETE FROM taught_passages")
            connection.execute(f"CREATE TABLE IF NOT EXISTS filler{room}(text TEXT)")
            connection.execute(f"INSERT INTO filler{room} VALUES (?)", ("x" * 5_000,))
    assert not connection.in_transaction
    connection.execute("PRAGMA max_page_count = 1000000")
    teaching.teach(word_library, writes, teacher="tiny")
    assert questions(word_library) == undisturbed


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_ten_thousand_near_identical_rows_are_taught_and_never_confused(word_library: Library, add: Add) -> None:
    rows = "\n".join(f"| B-{number} | M{number % 7 + 4} | {number % 90 + 10} Nm |" for number in range(10_000))
    add("bolts.md", f"# Bolts\n\n| Bolt | Thread | Torque |\n|---|---|---|\n{rows}\n")
    teaching.teach(word_library, lambda request: Generation("", 0, 1, "stop", 1.0, 0.1, 0.0, 0.0, 0.0, 1, "exact"))
    surrogate, answered = Surrogate(word_library), 0
    for number in (7, 1234, 1243, 9999):
        question = f"What is the torque of B-{number}?"
        given = surrogate.predict(question, word_library.search(question))
        if given is not None and given.refused_by is None:
            answered += 1
            assert f"{number % 90 + 10} Nm" in given.text
            assert f"B-{number}" in given.text
    assert bank.counts(word_library.connection).get("questions", 0) <= 60_000


def test_a_library_of_one_sentence_is_taught_trained_and_asked(word_library: Library, add: Add) -> None:
    add("one.md", "The pump is blue.")
    teaching.teach(word_library, lambda request: Generation(" What colour is the pump?", 5, 1, "stop", 1.0, 0.1, 0.0, 0.0, 0.0, 1, "exact"))
    teaching.train(word_library)
    assert teaching.status(word_library)["passages"] == 1
    given = Surrogate(word_library).predict("What colour is the pump?", word_library.search("What colour is the pump?"))
    assert given is None or given.refused_by is not None or "blue" in given.text


@pytest.mark.parametrize(
    "question",
    ["Nach wie vielen Stunden wird das Blatt der Säge gewechselt?", "Après combien d'heures la lame de la scie est-elle changée ?"],
)
def test_a_question_in_another_language_gets_no_instant_answer(word_library: Library, add: Add, question: str) -> None:
    add("saw.md", PARTS)
    teaching.teach(word_library, writes, teacher="tiny")
    given = Surrogate(word_library).predict(question, word_library.search(question))
    assert given is None or given.refused_by is not None
