from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.draft import LONGEST, DraftLength, Lookup
from engine.request import Request, Segment
from engine.session import Session

TOKENS = st.lists(st.integers(0, 5), max_size=40)


def test_what_followed_the_last_tokens_before_is_proposed() -> None:
    lookup = Lookup([[9, 1, 2, 3, 4, 5]])
    lookup.extend([7, 1, 2, 3])
    assert lookup.propose(7) == [4, 5, 7, 1, 2, 3]
    assert lookup.propose(2) == [4, 5]


def test_three_tokens_that_agree_are_believed_before_two_and_the_latest_place_wins() -> None:
    lookup = Lookup([[1, 2, 3, 4, 8, 2, 3, 5]])
    lookup.extend([1, 2, 3])
    assert lookup.propose(1) == [4]
    lookup.extend([6, 2, 3])
    assert lookup.propose(1) == [6]


def test_nothing_is_proposed_across_the_border_of_two_texts_or_for_unknown_tokens() -> None:
    lookup = Lookup([[1, 2], [3, 4]])
    lookup.extend([1, 2])
    assert lookup.propose(5) == []
    assert Lookup([]).propose(5) == [] and Lookup([[1, 2, 3]]).propose(0) == []


@given(TOKENS, TOKENS, st.integers(0, 9))
def test_a_proposal_stood_in_the_text_behind_the_same_tokens(text: list[int], written: list[int], most: int) -> None:
    lookup = Lookup([text])
    lookup.extend(written)
    found, whole = lookup.propose(most), [*text, *written]
    assert len(found) <= most
    if found:
        tail = whole[-2:]
        assert any(whole[place : place + 2 + len(found)] == tail + found for place in range(len(whole) - 2))


def test_drafts_that_do_not_pay_are_given_up_and_tried_again_later() -> None:
    length = DraftLength(worth_trying=True)
    length.note(0, 0, 1.0)
    for _ in range(4):
        assert length.tokens == LONGEST
        length.note(LONGEST, 0, 2.0)
    assert length.tokens == 0
    for _ in range(64):
        length.note(0, 0, 1.0)
    assert length.tokens == LONGEST
    for _ in range(8):
        length.note(LONGEST, 3, 1.1)
    assert length.tokens == LONGEST


@pytest.mark.parametrize("temperature", [0.0, 2.0])
@pytest.mark.parametrize("kind", ["llama", "opt"])
def test_an_answer_is_the_same_with_drafts_and_without(kind: str, temperature: float, packed: Callable[..., Path]) -> None:
    pack = packed(kind)
    session = Session(pack, 1 << 40, "exact", pin=False)
    prompt = "the pump draws oil and the pump draws oil and the pump draws oil and the pump"
    texts = {}
    for drafting in (True, False):
        request = Request((Segment(prompt),), drafts=(prompt,), max_tokens=40, temperature=temperature, seed=4, drafting=drafting)
        result = session.generate(request, lambda _: None, lambda: False)
        texts[drafting] = result.text, result.tokens, result.finish
        assert drafting or result.accepted_drafts == 0
    session.close()
    assert texts[True] == texts[False]


def test_a_model_in_memory_drafts_nothing(packed: Callable[..., Path]) -> None:
    session = Session(packed("llama"), 1 << 40, "exact")
    result = session.generate(Request((Segment("oil oil oil oil oil oil"),), max_tokens=20), lambda _: None, lambda: False)
    session.close()
    assert result.accepted_drafts == 0
