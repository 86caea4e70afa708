"""Whatever happens to a library, in whichever order and through whichever connection: no instant answer is stale."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.request import Generation, Request
from kb.library import Library
from surrogates import corrections, freshness, proposals, schema, teaching
from surrogates.answer import Answer, Timings
from surrogates.quotes import Quote
from surrogates.surrogate import Surrogate
from surrogates.wording import Rarity
from tests.surrogates.conftest import WordEncoder

QUESTION = "What is the maximum pressure of the pump?"
WORDED = "How high may the pressure of the pump be at most?"
ENGINE = " What is the highest pressure of the pump?\n2. What is the maximum pressure of the pump here?\n3. What"
CORRECTED = "Ours runs at 42 bar."
COLLECTIONS = ("Line 1", "Line 2")
NAMES = ("a.md", "b.md", "copy of a.md")
VALUES = ("200 bar", "210 bar", "220 bar")
FORGETFUL = ("put", "put", "remove", "move")
OTHERS = ("noise", "teach", "teach one", "recheck", "replay", "propose", "confirm", "correct", "withdraw", "reopen")


class Step(NamedTuple):
    """`by` is the connection that does it."""

    do: str
    name: str
    value: str
    collection: str
    by: int


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from([*FORGETFUL, *OTHERS]),
        st.sampled_from(NAMES),
        st.sampled_from(VALUES),
        st.sampled_from(COLLECTIONS),
        st.integers(0, 1),
    ),
    min_size=3,
    max_size=10,
)


class History:
    """Two libraries over one home, as the app and a command line have them, and what is true at each moment."""

    def __init__(self, folder: Path, encoder: WordEncoder, stack: ExitStack) -> None:
        self.folder, self.encoder, self.stack = folder, encoder, stack
        self.libraries = [self._opened(), self._opened()]
        self.surrogates = [Surrogate(library) for library in self.libraries]
        self.held: dict[str, tuple[str, str]] = {}  # name: collection, value
        self.made = 0

    def _opened(self) -> Library:
        library = self.stack.enter_context(Library(self.folder / "home", self.encoder))
        schema.of(library)
        return library

    def run(self, step: Step) -> None:
        library = self.libraries[step.by]
        if step.do == "put":
            self._put(library, step.name, step.collection, step.value)
        elif step.do in ("remove", "move") and step.name in self.held:
            _, value = self._remove(library, step.name)
            if step.do == "move":
                self._put(library, step.name, step.collection, value)
        elif step.do == "noise":
            self.made += 1
            _add(library, self.folder / f"noise{self.made}.md", f"# Canteen\n\nSoup {self.made} is served at noon on working days.\n", step)
        elif step.do.startswith("teach"):
            teaching.teach(library, _writes, limit=1 if step.do == "teach one" else None, teacher="tiny")
        elif step.do == "recheck":
            freshness.recheck(library)
        elif step.do == "replay":
            freshness.replay(library)
        elif step.do == "reopen":
            self.libraries[step.by] = self._opened()
            self.surrogates[step.by] = Surrogate(self.libraries[step.by])
        else:
            self._speak(library, step)

    def _put(self, library: Library, name: str, collection: str, value: str) -> None:
        if name in self.held and self.held[name][0] != collection:
            self._remove(library, name)
        text = f"# Pump\n\n## Maximum pressure\n\nThe maximum pressure of the pump is {value} here.\n"
        file = self.folder / name
        file.write_text(text, encoding="utf-8")
        if library.add(file, collection).status != "duplicate":
            self.held[name] = collection, value

    def _remove(self, library: Library, name: str) -> tuple[str, str]:
        library.remove(next(document.id for document in library.documents() if document.name == name))
        return self.held.pop(name)

    def _speak(self, library: Library, step: Step) -> None:
        """What people and written answers say."""
        passage = next((passage for passage in library.passages(None) if passage.document == step.name), None)
        if step.do == "propose" and passage is not None:
            quote = Quote(passage, 0, len(passage.text))
            written = Answer(quote.text, "engine", None, (quote.citation(),), Timings(1.0), teacher="tiny")
            proposals.propose(library, WORDED, written, Rarity.of_library(library.connection))
        elif step.do == "confirm":
            for proposal in proposals.listing(library):
                if proposal.is_current:
                    proposals.confirm(library, proposal.id, "Anna")
                else:
                    with pytest.raises(ValueError, match="changed since"):
                        proposals.confirm(library, proposal.id, "Anna")
        elif step.do == "correct" and passage is not None:
            corrections.correct(library, QUESTION, CORRECTED, "Anna", None, [passage.id])
        elif step.do == "withdraw":
            for correction in corrections.listing(library):
                corrections.withdraw(library, correction.id, "Anna")

    def check(self) -> None:
        """What either connection answers at once, in each scope, is what the documents of that scope say now."""
        for library, surrogate in zip(self.libraries, self.surrogates, strict=True):
            for scope in (None, *library.collections()):
                said = {value for collection, value in self.held.values() if scope in (None, collection)}
                for question in (QUESTION, WORDED):
                    self._check_answer(library, surrogate, question, scope, said)
                self._check_correction(library, scope)

    def _check_answer(self, library: Library, surrogate: Surrogate, question: str, scope: str | None, said: set[str]) -> None:
        prediction = surrogate.predict(question, library.search(question, scope), scope)
        if prediction is None or prediction.refused_by is not None:
            return
        for source in prediction.sources:
            live = library.passage(source.passage.id)
            assert source.quote in live.text
            assert scope in (None, live.collection)
        values = {value for value in VALUES if value in prediction.text}
        assert values <= said, f"{question} in {scope}: {values} is said no more, {said} is"
        assert scope is None or not values or len(said) == 1, "documents disagree, yet one was answered"

    def _check_correction(self, library: Library, scope: str | None) -> None:
        given = corrections.answer(library, QUESTION, scope, Rarity.of_library(library.connection), Timings(0.0))
        if given is not None:
            stands = [each for each in corrections.listing(library, scope) if each.state == "active"]
            assert given.citations[0].correction_id in {each.id for each in stands}
            assert all(library.passage(id_).text for each in stands for id_ in each.passage_ids)


def _add(library: Library, file: Path, text: str, step: Step) -> None:
    file.write_text(text, encoding="utf-8")
    assert library.add(file, step.collection).status in ("indexed", "replaced", "duplicate")


def _writes(request: Request) -> Generation:
    return Generation(ENGINE, 9, 1, "stop", 1.0, 0.1, 0.0, 0.0, 0.0, 1, "exact")


@pytest.mark.slow
@pytest.mark.timeout(560)
@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_no_history_gets_a_stale_answer(steps: list[Step], word_encoder: WordEncoder) -> None:
    """Documents, copies, collections, teaching, proposals and corrections, through two connections."""
    for history in _histories(word_encoder):
        for step in steps:
            history.run(step)
            history.check()


def test_a_history_with_everything_in_it(word_encoder: WordEncoder) -> None:
    one, two = COLLECTIONS
    told = [
        Step("put", "a.md", "200 bar", one, 0),
        Step("teach", "", "", one, 0),
        Step("propose", "a.md", "", one, 1),
        Step("confirm", "", "", one, 1),
        Step("correct", "a.md", "", one, 0),
        Step("put", "copy of a.md", "200 bar", two, 1),
        Step("teach one", "", "", one, 1),
        Step("put", "a.md", "210 bar", one, 1),
        Step("recheck", "", "", one, 0),
        Step("move", "copy of a.md", "", one, 0),
        Step("teach", "", "", one, 1),
        Step("remove", "a.md", "", one, 0),
        Step("put", "a.md", "200 bar", one, 1),
        Step("teach", "", "", one, 0),
        Step("withdraw", "", "", one, 0),
        Step("reopen", "", "", one, 1),
    ]
    answered = 0
    for history in _histories(word_encoder):
        for step in told:
            history.run(step)
            history.check()
            given = history.surrogates[0].predict(QUESTION, history.libraries[0].search(QUESTION))
            answered += given is not None and given.refused_by is None
    assert answered, "a history in which nothing is answered shows nothing"


def _histories(encoder: WordEncoder) -> Iterator[History]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, ExitStack() as stack:
        yield History(Path(folder), encoder, stack)
