"""Full text, codes and fusion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kb.lexical import terms
from kb.library import Library
from kb.search import Fusion

Write = Callable[[str, str], Path]


def test_stop_words_go_unless_there_is_nothing_else() -> None:
    assert terms("How do I change the oil?").words == ("change", "oil")
    assert terms("what is it").words == ("what", "is", "it")


@pytest.mark.parametrize(
    ("question", "codes"),
    [
        ("what does E-17 mean", ("E-17",)),
        ("alarm 9", ("alarm 9",)),
        ("Error code 22 on the mill", ("Error 22",)),
        ("use M0420 then G28.1", ("M0420", "G28.1")),
        ("replace part 4711-0815-A", ("4711-0815-A",)),
        ("how do I change the oil", ()),
    ],
)
def test_codes_are_kept_whole(question: str, codes: tuple[str, ...]) -> None:
    assert set(codes) <= set(terms(question).codes) and bool(terms(question).codes) == bool(codes)


def test_an_exact_code_comes_first_among_its_like(library: Library, write: Write) -> None:
    rows = "".join(
        f"\n## Fault {number}\n\nFault E-{number} means that sensor {number % 7} reports a fault of the drive.\n"
        for number in range(10, 60)
    )
    library.add(write("faults.md", f"# Faults\n{rows}"))
    for number in (17, 33, 58):
        assert f"E-{number} " in library.search(f"what does fault E-{number} mean")[0].passage.text


def test_a_word_is_found_in_its_other_forms(library: Library, write: Write) -> None:
    library.add(write("a.md", "# A\n\n## One\n\nGreasing the bearings.\n\n## Two\n\nPaint the frame.\n"))
    assert library.search("bearing grease", fusion=Fusion(dense=0.0))[0].passage.text == "Greasing the bearings."


def test_accents_do_not_matter(library: Library, write: Write) -> None:
    library.add(write("a.md", "# A\n\n## One\n\nDer Öldrück fällt.\n\n## Two\n\nSonst nichts.\n"))
    assert library.search("oldruck", fusion=Fusion(dense=0.0))[0].passage.text == "Der Öldrück fällt."


def test_a_hit_says_which_side_found_it(library: Library, pump: Path) -> None:
    library.add(pump)
    hit = library.search("oil grade")[0]
    assert hit.bm25 is not None and hit.dense is not None and 0 < hit.score <= 1


def test_scores_fall_and_ranks_count_from_one(library: Library, pump: Path, pdf: Path) -> None:
    library.add(pump)
    library.add(pdf)
    hits = library.search("alarm oil guard")
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_a_fusion_without_candidates_is_refused() -> None:
    with pytest.raises(ValueError, match="candidates is 0"):
        Fusion(candidates=0)
