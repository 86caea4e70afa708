from collections.abc import Callable

import pytest

from engine.request import Generation, Request
from kb.library import Library
from surrogates import model, teaching
from surrogates.confidence import BUILT_IN, Features, Head
from surrogates.threshold import FLOORS, accept_at
from surrogates.training import Asked, TrainSettings, _answers_more, train

Add = Callable[[str, str], int]
PARTS = ("pump", "valve", "press", "saw", "motor", "gearbox", "fan", "filter", "tank", "belt", "chain", "clutch", "brake", "sensor")
SMALL = TrainSettings(questions=30, least=20)


def writes(request: Request) -> Generation:
    """A teacher that asks for the section by its name, twice."""
    title = request.segments[-1].text.splitlines()[0].split(" > ")[-1].lower()
    text = f" How do I go about {title}?\n2. Which steps does {title} have?"
    return Generation(text, 9, 1, "stop", 1.0, 0.1, 0.0, 0.0, 0.0, 1, "exact")


@pytest.fixture
def taught(word_library: Library, add: Add) -> Library:
    sections = "".join(
        f"## Cleaning the {part}\n\nClean the {part} with a dry cloth every {number + 2} days and look for cracks in the {part}.\n\n"
        f"## Replacing the {part}\n\n1. Stop the machine.\n2. Take the old {part} out.\n3. Fit {number + 3} new screws at the {part}.\n\n"
        for number, part in enumerate(PARTS)
    )
    add("machine.md", f"# Machine\n\n{sections}")
    teaching.teach(word_library, writes, teacher="tiny")
    return word_library


def test_training_leaves_a_model_that_the_thresholds_are_read_from(taught: Library) -> None:
    facts = train(taught, settings=SMALL)
    read = model.current(taught.home, taught.encoder.name)
    assert read.facts == facts
    assert facts["calibration_questions"] > 0
    assert [accept_at(taught, level) for level in range(1, 6)] == [certificate.accept_at for certificate in read.certificates]
    assert all(certificate.accept_at >= floor for certificate, floor in zip(read.certificates, FLOORS, strict=True))
    assert not any(certificate.kind == "certified" for certificate in read.certificates)


def test_training_twice_gives_the_same_model(taught: Library) -> None:
    train(taught, settings=SMALL)
    first = model.current(taught.home, taught.encoder.name)
    train(taught, settings=SMALL)
    second = model.current(taught.home, taught.encoder.name)
    assert (first.head, first.certificates) == (second.head, second.certificates)


def test_an_empty_bank_keeps_the_built_in_head(word_library: Library) -> None:
    facts = train(word_library, settings=SMALL)
    assert facts["head"] is False
    assert model.current(word_library.home, word_library.encoder.name).head == BUILT_IN


def test_a_stopped_training_leaves_the_model_that_was_there(taught: Library) -> None:
    assert train(taught, settings=SMALL, should_stop=lambda: True) == {"stopped": True}
    assert not (taught.home / model.FOLDER / model.MODEL).exists()


def test_levels_outside_one_to_five_are_refused(word_library: Library) -> None:
    with pytest.raises(ValueError, match="level is 6"):
        accept_at(word_library, 6)


def test_a_fitted_head_is_used_only_if_it_answers_more_and_no_worse() -> None:
    good = Features(0.95, 0.93, 0.3, 0.9, 0.9, 1.0, 0.9, 1.0, 0.7, 0.2, 0.0)
    poor = Features(0.4, 0.4, 0.01, 0.2, 0.2, 0.4, 0.2, 0.0, 0.2, -0.2, 0.6)
    asked = [Asked(good, True, False), Asked(poor, False, False), Asked(poor, True, True)]
    shy, bold = Head(BUILT_IN.weights, -30.0), Head(BUILT_IN.weights, 30.0)
    assert _answers_more(BUILT_IN, shy, asked)
    assert not _answers_more(shy, BUILT_IN, asked)
    assert not _answers_more(bold, BUILT_IN, asked)
