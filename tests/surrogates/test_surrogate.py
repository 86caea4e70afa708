from collections.abc import Callable

import pytest

from engine.request import Generation, Request
from kb.library import Library
from surrogates import teaching
from surrogates.prediction import Prediction
from surrogates.surrogate import Surrogate

Add = Callable[[str, str], int]
MANUAL = """# Press 40

## Replacing the filter element

1. Close the shut-off valve.
2. Unscrew the housing.
3. Fit the new element.

## Alarms

| Alarm code | Meaning | Remedy |
|---|---|---|
| E-17 | Oil level low | Refill the tank with oil |
| E-18 | Oil too hot | Clean the cooler of the press |

## Technical data

| Parameter | Value |
|---|---|
| Maximum pressure | 200 bar |
| Minimum pressure | 20 bar |
"""


def silent(request: Request) -> Generation:
    """A teacher that writes nothing."""
    return Generation("", 0, 1, "stop", 1.0, 0.1, 0.0, 0.0, 0.0, 1, "exact")


@pytest.fixture
def taught(word_library: Library, add: Add) -> Surrogate:
    add("press.md", MANUAL)
    teaching.teach(word_library, silent)
    return Surrogate(word_library)


def ask(surrogate: Surrogate, question: str, collection: str | None = None) -> Prediction | None:
    return surrogate.predict(question, surrogate.library.search(question, collection), collection)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("how can I replace the filter element", "Unscrew the housing"),
        ("What's the meaning of alarm E17?", "Oil level low"),
        ("What is the remedy for alarm E 18?", "Clean the cooler"),
        ("what is the maximum pressure", "200 bar"),
        ("what is the minimum pressure", "20 bar"),
    ],
)
def test_a_paraphrase_gets_the_right_answer(taught: Surrogate, question: str, words: str) -> None:
    prediction = ask(taught, question)
    assert prediction is not None
    assert prediction.refused_by is None
    assert words in prediction.text
    assert all(source.quote in source.passage.text for source in prediction.sources)


@pytest.mark.parametrize(
    "question",
    [
        "What is the remedy for alarm E-19?",
        "What is the maximum pressure at 60 °C?",
        "Why must I not replace the filter element?",
        "How do I replace it?",
    ],
)
def test_a_look_alike_is_refused(taught: Surrogate, question: str) -> None:
    prediction = ask(taught, question)
    assert prediction is not None
    assert prediction.refused_by is not None


def test_an_empty_bank_predicts_nothing(word_library: Library, add: Add) -> None:
    surrogate = Surrogate(word_library)
    assert ask(surrogate, "What is the maximum pressure?") is None
    add("press.md", MANUAL)
    assert ask(surrogate, "What is the maximum pressure?") is None


def test_a_removed_document_is_not_answered_from_in_the_next_breath(taught: Surrogate) -> None:
    hits = taught.library.search("what is the maximum pressure")
    assert taught.predict("what is the maximum pressure", hits) is not None
    taught.library.remove(1)
    assert taught.predict("what is the maximum pressure", hits) is None


def test_a_replaced_document_answers_with_its_new_value_once_it_is_taught(taught: Surrogate, add: Add) -> None:
    add("press.md", MANUAL.replace("200 bar", "230 bar"))
    assert ask(taught, "what is the maximum pressure") is None
    teaching.teach(taught.library, silent)
    prediction = ask(taught, "what is the maximum pressure")
    assert prediction is not None
    assert "230 bar" in prediction.text


def test_a_collection_is_not_answered_from_another(taught: Surrogate, tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "other.md"
    file.write_text("# Saw\n\nThe saw has a blade.", encoding="utf-8")
    taught.library.add(file, collection="Saw line")
    assert ask(taught, "what is the maximum pressure", "Saw line") is None
    assert ask(taught, "what is the maximum pressure", "General") is not None


def test_documents_that_disagree_are_not_answered_instantly(word_library: Library, add: Add) -> None:
    add("press.md", MANUAL)
    add("press two.md", MANUAL.replace("200 bar", "250 bar"))
    teaching.teach(word_library, silent)
    prediction = ask(Surrogate(word_library), "what is the maximum pressure")
    assert prediction is not None
    assert prediction.refused_by == "ambiguous"


def test_an_answer_whose_passage_is_not_among_the_live_hits_is_refused(taught: Surrogate) -> None:
    hits = [hit for hit in taught.library.search("what is the maximum pressure") if "200 bar" not in hit.passage.text]
    prediction = taught.predict_from_bank("what is the maximum pressure", hits)
    assert prediction is not None
    assert prediction.refused_by == "evidence"


def test_a_taught_question_has_the_banks_confidence_where_that_is_higher_and_no_other_question(taught: Surrogate) -> None:
    question, other = "What is the maximum pressure?", "What is the maximum pressure of the tank?"
    search = taught.library.search
    for asked in (question, other):
        reading, given = taught.reading(asked, search(asked)), ask(taught, asked)
        bank = taught.predict_from_bank(question, search(question))
        assert reading is not None and given is not None and bank is not None
        assert bank.confidence > reading.confidence()
        assert given.confidence == (bank.confidence if asked == question else reading.confidence())
