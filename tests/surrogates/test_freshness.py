import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.request import Generation, Request
from kb.library import Library
from surrogates import bank, freshness, teaching
from surrogates.surrogate import Surrogate
from surrogates.threshold import GRID

Add = Callable[[str, str], int]
PUMP = "# Pump P200\n\n## Maximum pressure\n\nThe maximum pressure of the pump P200 is 200 bar at the outlet.\n"
UNRELATED = "# Canteen\n\n## Lunch\n\nSoup and bread are served in the canteen between noon and one o'clock on working days.\n"
RIVAL = "# Pump P200 notes\n\n## Maximum pressure\n\nThe maximum pressure of the pump P200 is 180 bar since the last overhaul.\n"


def silent(request: Request) -> Generation:
    """A teacher that writes nothing."""
    return Generation("", 0, 1, "stop", 1.0, 0.1, 0.0, 0.0, 0.0, 1, "exact")


def states(library: Library) -> set[str]:
    return {row[0] for row in library.connection.execute("SELECT state FROM bank_answers")}


def test_an_unrelated_document_suspends_nothing(word_library: Library, add: Add) -> None:
    add("pump.md", PUMP)
    teaching.teach(word_library, silent)
    add("canteen.md", UNRELATED)
    replayed = freshness.replay(word_library)
    assert replayed.checked > 0
    assert replayed.suspended == 0
    assert word_library.connection.execute(bank.SERVING).fetchall()


def test_a_document_that_says_as_much_suspends_the_answer_and_a_recheck_keeps_it_so(word_library: Library, add: Add) -> None:
    add("pump.md", PUMP)
    teaching.teach(word_library, silent)
    add("notes.md", RIVAL)
    freshness.replay(word_library)
    assert states(word_library) == {"suspended"}
    assert freshness.recheck(word_library) == 0
    assert states(word_library) == {"suspended"}


def test_an_answer_touched_in_vain_comes_back(word_library: Library, add: Add) -> None:
    add("pump.md", PUMP)
    teaching.teach(word_library, silent)
    add("canteen.md", UNRELATED)
    word_library.connection.execute("UPDATE bank_answers SET state = 'suspended'")
    assert freshness.recheck(word_library) > 0
    assert states(word_library) == {"active"}
    assert word_library.connection.execute(bank.SERVING).fetchall()


def test_a_replay_with_nothing_new_does_nothing(word_library: Library, add: Add) -> None:
    add("pump.md", PUMP)
    teaching.teach(word_library, silent)
    assert freshness.replay(word_library) == freshness.Replayed(0, 0)


VALUES = ("200 bar", "210 bar", "220 bar")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(["a.md", "b.md"]), st.sampled_from(VALUES)),
        st.tuples(st.just("remove"), st.sampled_from(["a.md", "b.md"]), st.just("")),
        st.tuples(st.just("noise"), st.just(""), st.just("")),
        st.tuples(st.just("teach"), st.just(""), st.just("")),
        st.tuples(st.just("recheck"), st.just(""), st.just("")),
    ),
    min_size=2,
    max_size=7,
)


@pytest.mark.timeout(280)
@settings(
    max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_no_history_of_the_library_gets_a_stale_answer(steps: list[tuple[str, str, str]], word_encoder: object) -> None:
    """Whatever was added, replaced, removed and taught: an instant answer is what the library says now, and all that it says."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, Library(Path(folder) / "home", word_encoder) as library:  # type: ignore[arg-type]
        surrogate, held, noise = Surrogate(library), {}, 0  # type: ignore[var-annotated]
        for step, name, value in steps:
            if step == "put":
                held[name] = value
                _write(
                    library, Path(folder) / name, f"# Pump\n\n## Maximum pressure\n\nThe maximum pressure of the pump is {value} here.\n"
                )
            elif step == "remove" and name in held:
                del held[name]
                library.remove(next(document.id for document in library.documents() if document.name == name))
            elif step == "noise":
                noise += 1
                _write(library, Path(folder) / f"noise{noise}.md", UNRELATED + "x" * noise)
            elif step == "teach":
                teaching.teach(library, silent)
            elif step == "recheck":
                freshness.recheck(library)
            _check(library, surrogate, set(held.values()))


def _write(library: Library, file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    assert library.add(file).status in ("indexed", "replaced", "duplicate")


def _check(library: Library, surrogate: Surrogate, said: set[str]) -> None:
    question = "What is the maximum pressure of the pump?"
    prediction = surrogate.predict(question, library.search(question))
    if prediction is None or prediction.refused_by is not None:
        return
    if not said:
        assert prediction.confidence < GRID[-1], "nothing is said of it, yet one was answered at some level"
        return
    assert len(said) == 1, "documents disagree, yet one was answered"
    assert next(iter(said)) in prediction.text
    for source in prediction.sources:
        assert source.quote in library.passage(source.passage.id).text
