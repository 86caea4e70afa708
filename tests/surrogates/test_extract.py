from types import SimpleNamespace
from typing import Any

from surrogates.extract import extract
from surrogates.wording import Rarity

FILLER = "The machine stands on a concrete floor and is painted in two colours that the customer chooses from a list of the maker's. " * 2
TEXT = (
    f"{FILLER}The oil is changed after 500 hours of operation. It must be of grade 46. "
    f"{FILLER}The belt is checked for cracks each month by the operator of the line."
)
RARITY = Rarity.of([TEXT, FILLER, "A saw has a blade."])


def quoted(question: str, text: str, encoder: Any) -> str | None:
    passage: Any = SimpleNamespace(id=1, text=text, heading=())
    quote = extract(question, passage, RARITY, encoder)
    return None if quote is None else text[quote.start : quote.end]


def test_the_sentence_that_answers_is_taken(word_encoder: Any) -> None:
    assert quoted("After how many hours is the oil changed?", TEXT, word_encoder) == "The oil is changed after 500 hours of operation."


def test_a_sentence_that_leans_back_brings_the_one_before(word_encoder: Any) -> None:
    answer = quoted("What grade must it be of?", TEXT, word_encoder)
    assert answer == "The oil is changed after 500 hours of operation. It must be of grade 46."


def test_a_short_passage_is_its_own_answer(word_encoder: Any) -> None:
    assert (
        quoted("What colour is the pump?", "The pump is blue. It was painted in the works.", word_encoder)
        == "The pump is blue. It was painted in the works."
    )


def test_steps_come_complete(word_encoder: Any) -> None:
    steps = "1. Stop the pump.\n2. Open the drain valve.\n3. Wait until the tank is empty."
    answer = quoted("Which valve is opened to drain?", f"{FILLER}\n{steps}\n{FILLER}", word_encoder)
    assert answer == steps


def test_a_question_with_no_word_of_the_passage_has_no_answer(word_encoder: Any) -> None:
    assert quoted("Who invented television?", TEXT, word_encoder) is None


def test_a_line_that_announces_brings_what_it_announces(word_encoder: Any) -> None:
    text = f"{FILLER}\nThe lamp shows these colours:\n- green for ready\n- red for a fault"
    assert quoted("Which colours are shown by the lamp?", text, word_encoder) == text[text.index("The lamp") :]
