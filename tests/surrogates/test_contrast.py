"""Contraries of a question, and what a place says of the sides that the question names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from surrogates.contrast import Contraries, affirmed, contraries, denied
from surrogates.opposites import sides
from surrogates.unit_features import CONTRAST, NAMES, Found, Question, contrast, page_of
from surrogates.units import spans
from surrogates.wording import Rarity


@pytest.mark.parametrize(
    ("question", "without"),
    [
        ("why cant I reach it", "why can I reach it"),
        ("the motor won't stop", "the motor will stop"),
        ("it isn’t listed", "it is listed"),  # noqa: RUF001
        ("run without a cover", "run with a cover"),
        ("no oil left", "oil left"),
        ("nothing changes", "something changes"),
        ("start the pump", None),
        ("the annotation is wrong", None),
    ],
)
def test_a_denial_is_taken_out(question: str, without: str | None) -> None:
    assert affirmed(question) == without


@pytest.mark.parametrize(
    ("question", "with_denial"),
    [
        ("Where do I put the mark?", "Where do I not put the mark?"),
        ("start it with the cover", "start it without the cover"),
        ("is the valve open", "is the valve not open"),
        ("why does it not start", None),
        ("torque of the bolt", None),
    ],
)
def test_a_denial_is_put_in(question: str, with_denial: str | None) -> None:
    assert denied(question) == with_denial


def test_a_question_has_a_contrary_for_its_side_and_for_its_denial() -> None:
    assert contraries("why does the upper valve not move") == Contraries(
        "why does the lower valve not move", "why does the upper valve move"
    )
    assert contraries("bolt torque") == Contraries(None, None)


def test_sides_are_told_apart() -> None:
    assert sides("maximum pressure", "The minimum is 3 bar.", "The minimum is 3 bar.").contrary
    assert sides("maximum pressure", "The maximum is 3 bar.", "").said
    silent = sides("maximum pressure", "It bears 3 bar.", "It bears 3 bar.")
    assert (silent.silent, silent.unsaid_bound, silent.contrary) == (True, True, False)
    assert sides("switch the pump off", "Turn the key.", "Turn the key.").unsaid_undoing
    assert not any(vars(sides("maximum or minimum pressure", "The minimum is 3 bar.", "")).values())
    assert not sides("test a single stepper", "Test each stepper.", "Test each stepper.").contrary
    assert not sides("how long may the name be", "It is a short text of up to 80 letters.", "").contrary
    assert sides("a long name", "It is a short text of up to 80 letters.", "").contrary
    assert not sides("sensible fade_end", "fade_start: 1", "fade_start: 1").contrary


class _Tokens:
    """Words as one-hot vectors over a vocabulary, as the encoder's tokens are cut."""

    def __init__(self, text: str, vocabulary: list[str]) -> None:
        words = text.lower().replace(".", " ").replace("?", " ").split()
        self.vectors = np.asarray([[float(word == known) for known in vocabulary] for word in words], np.float32)
        starts = [text.lower().index(word) for word in words]
        self.starts, self.ends = np.asarray(starts), np.asarray([start + len(word) for start, word in zip(starts, words, strict=True)])
        self.places = np.stack([self.starts, self.ends], axis=1)
        self.full, self.title = self.vectors, np.zeros(len(words), bool)

    def within(self, start: int, end: int) -> Any:
        return (self.starts >= start) & (self.ends <= end)


def test_a_place_that_says_the_side_leads_over_the_contrary() -> None:
    text, rarity = "The maximum is 3 bar.", Rarity.of(["The maximum is 3 bar.", "The minimum is 1 bar."])
    vocabulary = ["the", "maximum", "minimum", "is", "3", "bar"]
    passage = SimpleNamespace(id=1, text=text, heading=("Pump",))
    hit: Any = SimpleNamespace(passage=passage, dense=0.5, score=0.5, bm25=1.0)
    tokens: Any = _Tokens(text, vocabulary)
    asked: list[Any] = [Question.of(q, _Tokens(q, vocabulary), rarity) for q in ("the maximum", "the minimum")]  # type: ignore[arg-type]
    ranker = np.zeros(len(NAMES))
    ranker[NAMES.index("match")] = 1.0
    span = spans(text)[0]
    for mine, other, sign in ((0, 1, 1.0), (1, 0, -1.0)):
        page = page_of(asked[mine], Found(hit, 1.0, 1.0, tokens, ()), rarity)
        found = dict(zip(CONTRAST, contrast(asked[mine], (asked[other], None), page, span, text, ranker, rarity), strict=True))
        assert found["has_other_side"] == 1.0
        assert np.sign(found["other_side_lead"]) == sign
        assert found["has_denial"] == found["denial_lead"] == 0.0
