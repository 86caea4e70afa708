"""Cutting blocks into passages."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kb.blocks import Block
from kb.passages import Cutting, cut, plain_text, sentences, size

SENTENCE = "The valve opens when the pressure in the line exceeds the set value of the spring. "


def test_a_passage_never_crosses_a_heading() -> None:
    blocks = [Block("heading", "A", 1), Block("paragraph", "one"), Block("heading", "B", 1), Block("paragraph", "two")]
    assert [(draft.heading, draft.text) for draft in cut(blocks)] == [(("A",), "one"), (("B",), "two")]


def test_the_heading_path_is_the_full_path() -> None:
    blocks = [Block("heading", "A", 1), Block("heading", "B", 3), Block("heading", "C", 2), Block("paragraph", "text")]
    assert [draft.heading for draft in cut(blocks)] == [("A", "B"), ("A", "C")]


def test_a_heading_with_nothing_under_it_is_found_by_its_own_words() -> None:
    assert [draft.text for draft in cut([Block("heading", "Only a title", 1)])] == ["Only a title"]


def test_small_neighbours_under_one_heading_are_one_passage() -> None:
    assert len(cut([Block("paragraph", f"Remark {number}.") for number in range(10)])) == 1


def test_a_long_paragraph_is_cut_evenly_at_sentences() -> None:
    drafts = cut([Block("paragraph", SENTENCE * 20)])
    sizes = [size(draft.text) for draft in drafts]
    assert len(drafts) == 2 and max(sizes) <= 180 and min(sizes) > 100
    assert all(draft.text.endswith(".") for draft in drafts)


def test_a_table_stands_apart_with_its_caption_repeated() -> None:
    rows = [Block("table_row", f"Code: E-{number}; Meaning: {SENTENCE}", group=1, caption="Table 4: Alarms") for number in range(30)]
    drafts = cut([Block("paragraph", "Before."), *rows, Block("paragraph", "After.")])
    assert [draft.kind for draft in drafts] == ["prose", *["table"] * (len(drafts) - 2), "prose"]
    assert all(draft.text.startswith("Table 4: Alarms\n") for draft in drafts[1:-1])
    assert sum(draft.text.count("Code: E-") for draft in drafts) == 30


def test_a_list_cut_in_two_keeps_its_lead_in() -> None:
    items = [Block("list_item", f"- {SENTENCE}", group=1) for _ in range(20)]
    drafts = cut([Block("paragraph", "Do this before you start:"), *items])
    assert len(drafts) > 1 and all(draft.text.startswith("Do this before you start:\n- ") for draft in drafts)


def test_a_code_block_stays_whole() -> None:
    code = "\n".join(f"set_value({number})" for number in range(60))
    drafts = cut([Block("paragraph", SENTENCE * 10), Block("code", code)])
    assert any(code in draft.text for draft in drafts)


def test_ten_thousand_like_rows_become_passages_of_bounded_size() -> None:
    drafts = cut([Block("table_row", f"Part: {number}; Torque: 42 Nm", group=1) for number in range(10_000)])
    assert max(size(draft.text) for draft in drafts) <= 180
    assert sum(draft.text.count("Torque") for draft in drafts) == 10_000


def test_abbreviations_do_not_end_a_sentence() -> None:
    assert sentences("See Fig. 3 for the valve. Open it, e.g. By hand. Done.") == [
        "See Fig. 3 for the valve.",
        "Open it, e.g. By hand.",
        "Done.",
    ]


def test_a_cutting_that_cannot_be_met_is_refused() -> None:
    with pytest.raises(ValueError, match="target is 5"):
        Cutting(target=5)


words = st.text(alphabet="abc .:\nÄß9", min_size=1, max_size=400)
kinds = st.sampled_from(["heading", "paragraph", "list_item", "table_row", "code"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(kinds, words, st.integers(1, 3)), max_size=25))
def test_a_passage_is_the_plain_text_at_its_offsets_after_what_it_repeats(pieces: list[tuple[str, str, int]]) -> None:
    blocks = [Block(kind, text, level=level, group=0 if kind in ("heading", "paragraph") else level) for kind, text, level in pieces]  # type: ignore[arg-type]
    text = plain_text(blocks)
    for draft in cut(blocks):
        assert "".join(draft.text.split()).endswith("".join(text[draft.quote_start : draft.quote_end].split()))


@settings(max_examples=60, deadline=None)
@given(st.lists(words, min_size=1, max_size=30))
def test_every_word_of_every_paragraph_is_in_a_passage(texts: list[str]) -> None:
    drafts = cut([Block("paragraph", text) for text in texts])
    assert "".join("".join(draft.text.split()) for draft in drafts) == "".join("".join(text.split()) for text in texts)
