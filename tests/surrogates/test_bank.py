from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kb.library import Library
from surrogates import bank
from surrogates.pairs import Pair, Quote

Add = Callable[[str, str], int]


def keep(library: Library, question: str, answer: str | None = None) -> int:
    """Bank the first passage as the answer to a question; returns how many questions were new."""
    passage = next(library.passages())
    pair = Pair(question, answer or passage.text, (Quote(passage.id, 0, len(passage.text)),), "structure")
    vectors = library.encoder.encode([question])
    return bank.store(library.connection, [pair], vectors, teacher="", prompt_version="1", checked_seq=library.newest_seq())


def serving(library: Library) -> list[int]:
    return [row[0] for row in library.connection.execute(bank.SERVING)]


def test_an_answer_serves_until_its_collection_grows(word_library: Library, add: Add) -> None:
    add("one.md", "# Pump\n\nThe pump delivers 40 litres.")
    keep(word_library, "How much does the pump deliver?")
    assert serving(word_library) == [1]
    add("two.md", "# Press\n\nThe press is green.")
    assert serving(word_library) == []


def test_removing_a_document_takes_its_answers_along(word_library: Library, add: Add) -> None:
    document = add("one.md", "# Pump\n\nThe pump delivers 40 litres.")
    keep(word_library, "How much does the pump deliver?")
    word_library.remove(document)
    assert bank.counts(word_library.connection)["tombstoned"] == 1
    assert not bank.is_current(word_library.connection, 1)


def test_questions_of_one_answer_share_its_row(word_library: Library, add: Add) -> None:
    add("one.md", "# Pump\n\nThe pump delivers 40 litres.")
    assert keep(word_library, "How much does the pump deliver?") == 1
    assert keep(word_library, "What is the delivery of the pump?") == 1
    assert keep(word_library, "What is the delivery of the pump?") == 0
    assert bank.counts(word_library.connection) == {"active": 1, "questions": 2}


def test_a_pair_whose_passage_went_meanwhile_is_not_kept(word_library: Library, add: Add) -> None:
    document = add("one.md", "# Pump\n\nThe pump delivers 40 litres.")
    passage = next(word_library.passages())
    word_library.remove(document)
    pair = Pair("How much does the pump deliver?", passage.text, (Quote(passage.id, 0, 9),), "structure")
    assert bank.store(word_library.connection, [pair], np.zeros((1, 64)), teacher="", prompt_version="1", checked_seq=9) == 0


def test_the_view_reads_only_what_is_new(word_library: Library, add: Add) -> None:
    add("one.md", "# Pump\n\nThe pump delivers 40 litres.")
    keep(word_library, "How much does the pump deliver?")
    view = bank.View()
    assert view.refresh(word_library.connection)
    assert not view.refresh(word_library.connection)
    keep(word_library, "What is the delivery of the pump?")
    assert view.refresh(word_library.connection)
    assert view.texts == ["How much does the pump deliver?", "What is the delivery of the pump?"]
    assert view.vectors.shape == (2, 64)
    assert view.serving.all()


def test_vectors_of_another_encoder_are_made_again(word_library: Library, add: Add, tmp_path: Path) -> None:
    add("one.md", "# Pump\n\nThe pump delivers 40 litres.")
    bank.use_encoder(word_library)
    keep(word_library, "How much does the pump deliver?")
    assert bank.use_encoder(word_library) == 0
    word_library.connection.execute("UPDATE bank_questions SET vector = zeroblob(256)")
    word_library.connection.execute("UPDATE settings SET value = '\"other\"' WHERE key = ?", (bank.ENCODER_KEY,))
    assert bank.use_encoder(word_library) == 1
    view = bank.View()
    view.refresh(word_library.connection)
    assert np.linalg.norm(view.vectors[0]) == pytest.approx(1.0)


def test_a_quote_holds_text_and_a_pair_rests_on_a_passage() -> None:
    with pytest.raises(ValueError, match="from 5 to 5"):
        Quote(1, 5, 5)
    with pytest.raises(ValueError, match="no passage"):
        Pair("What?", "That.", (), "structure")
