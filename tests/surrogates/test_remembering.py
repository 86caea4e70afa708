from typing import Any

import numpy as np

from kb.library import Library
from surrogates.remembering import REMEMBERED, Remembering, remember


def test_a_text_is_encoded_once_and_the_order_is_kept(word_encoder: Any) -> None:
    encoder = Remembering(word_encoder)
    encoded: list[int] = []
    first = encoder.encode(["one pump", "two valves"], encoded.append)
    again = encoder.encode(["two valves", "one pump", "two valves"], encoded.append)
    assert np.array_equal(again, first[[1, 0, 1]])
    assert np.array_equal(first, word_encoder.encode(["one pump", "two valves"]))
    assert encoder.encode([]).shape == (0, encoder.dimension)


def test_it_forgets_the_oldest(word_encoder: Any) -> None:
    encoder = Remembering(word_encoder)
    encoder.encode([f"text {number}" for number in range(REMEMBERED + 5)])
    assert len(encoder._kept) == REMEMBERED


def test_a_library_is_given_it_once(word_library: Library) -> None:
    remember(word_library)
    encoder = word_library.encoder
    remember(word_library)
    assert word_library.encoder is encoder
    assert encoder.name == "words-1"


def test_only_what_stands_beside_the_latest_question_is_encoded(word_encoder: Any, monkeypatch: Any) -> None:
    encoder, made = Remembering(word_encoder), []
    inner = word_encoder.tokens
    monkeypatch.setattr(word_encoder, "tokens", lambda texts: made.extend(texts) or inner(texts))
    encoder.encode(["one pump"])
    found = encoder.tokens(["one pump", "two pumps", "one pump"])
    assert made == ["one pump", "two pumps"]
    assert all(
        np.array_equal(one.vectors, other.vectors) for one, other in zip(found, inner(["one pump", "two pumps", "one pump"]), strict=True)
    )
