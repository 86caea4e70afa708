from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Regex, pre_tokenizers

from engine.splitting import OtherKind, cuts, in_byte_letters, normaliser

TEXTS = ["a, b,, c", ",a", "a,", ",,", "no commas", "x1,22 y"]


def pieces(rule: dict[str, Any], text: str) -> list[str]:
    found = [text]
    for cut in cuts(rule):
        found = [part for number, piece in enumerate(found) for part in cut(piece, number == 0)]
    return found


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("behaviour", ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"])
def test_each_way_of_splitting_is_the_librarys(behaviour: str, invert: bool) -> None:
    theirs = pre_tokenizers.Split(Regex(r",|\d"), behaviour, invert=invert)
    name = "".join(word.capitalize() for word in behaviour.split("_"))
    rule = {"type": "Split", "pattern": {"Regex": r",|\d"}, "behavior": name, "invert": invert}
    for text in TEXTS:
        assert pieces(rule, text) == [piece for piece, _ in theirs.pre_tokenize_str(text)], text


def test_classes_of_characters_are_those_of_the_library() -> None:
    """For every character that this Python's Unicode knows; the regular expressions know newer ones too."""
    import unicodedata

    known = [chr(code) for code in range(1, 0x110000) if unicodedata.category(chr(code)) not in ("Cn", "Cs")]
    for pattern in (r"\p{L}", r"\p{N}", r"\s", r"\p{M}", r"\p{Lu}", r"\p{P}"):
        rule = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Removed", "invert": True}
        theirs = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
        for start in range(0, len(known), 8192):
            text = "".join(known[start : start + 8192])
            assert pieces(rule, text) == [piece for piece, _ in theirs.pre_tokenize_str(text)]


def test_bytes_have_the_letters_of_gpt2() -> None:
    theirs = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for text in (" ü\n", "".join(map(chr, range(1, 512)))):
        assert in_byte_letters(text) == theirs.pre_tokenize_str(text)[0][0]


@pytest.mark.parametrize("pattern", [r"^a", r"a$", r"\w+", r"[[:alpha:]]", r"[a&&b]", r"\p{L}{2}+", r"(?<x>a)", r"\h", r"(?x) a", "(", "."])
def test_syntax_that_oniguruma_reads_otherwise_is_left_to_the_library(pattern: str) -> None:
    with pytest.raises(OtherKind):
        cuts({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False})


def test_an_unknown_normaliser_is_left_to_the_library() -> None:
    with pytest.raises(OtherKind, match="Lowercase"):
        normaliser({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]})
