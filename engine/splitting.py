"""The rules of a tokenizer.json by which text is normalised and cut into the pieces that merges never cross."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Literal

import regex

Normalise = Callable[[str], str]
Cut = Callable[[str, bool], list[str]]
"""(text, whether it begins the whole text) -> its pieces, none of them empty."""

_GPT2_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_PUNCTUATION = r"[\p{P}$+<=>^`|~]"
_KNOWN_SYNTAX = regex.compile(
    r"""(?: \\[rntsSdD] | \\[pP]\{\^?\w+\} | \\[^\w\s]                # escapes
          | \(\?(?:i?:|=|!|<=|<!) | \((?!\?) | [)|] | \{\d+(?:,\d*)?\}(?!\+)   # groups and counts
          | \[\^?(?:\\[rntsSdD]|\\[pP]\{\^?\w+\}|\\[^\w\s]|(?!&&)[^\[\]\\])+\]
          | [^\\\[\](){}|^$.] )*""",
    regex.VERBOSE,
)
_FORMS: dict[str, Literal["NFC", "NFD", "NFKC", "NFKD"]] = {"NFC": "NFC", "NFD": "NFD", "NFKC": "NFKC", "NFKD": "NFKD"}


class OtherKind(Exception):
    """A tokenizer that works by rules other than those built here; only the `tokenizers` library runs it."""


def byte_letters() -> list[str]:
    """GPT-2's letter for each byte: itself where it is printable, the letters from U+0100 on for the others in order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


_LETTERS = dict(enumerate(byte_letters()))


def in_byte_letters(text: str) -> str:
    """The UTF-8 bytes of the text, a letter each: " ü" -> "ĠÃ¼"."""
    return text.encode("utf-8").decode("latin-1").translate(_LETTERS)


def normaliser(rule: Mapping[str, Any] | None) -> Normalise:
    """The function that a `normalizer` describes. Raises OtherKind."""
    if rule is None:
        return lambda text: text
    kind = rule["type"]
    if kind == "Sequence":
        steps = [normaliser(step) for step in rule["normalizers"]]
        return lambda text: _in_turn(steps, text)
    if kind in _FORMS:
        form = _FORMS[kind]
        return lambda text: unicodedata.normalize(form, text)
    if kind == "Prepend":
        return lambda text: rule["prepend"] + text if text else text
    if kind == "Replace":
        pattern = compiled(rule["pattern"])
        return lambda text: pattern.sub(lambda _: rule["content"], text)
    raise OtherKind(f"the normaliser {kind}")


def _in_turn(steps: list[Normalise], text: str) -> str:
    for step in steps:
        text = step(text)
    return text


def compiled(pattern: Mapping[str, str]) -> Any:
    """The compiled `pattern` of a rule. OtherKind for syntax that Oniguruma, for which it was written, may read otherwise."""
    if "String" in pattern:
        return regex.compile(regex.escape(pattern["String"]))
    text = pattern["Regex"]
    if not _KNOWN_SYNTAX.fullmatch(text):
        raise OtherKind(f"the regular expression {text}")
    try:
        return regex.compile(text)
    except regex.error as error:
        raise OtherKind(f"the regular expression {text} ({error})") from error


def cuts(rule: Mapping[str, Any] | None) -> list[Cut]:
    """The steps that a `pre_tokenizer` describes, each applied to the pieces of the one before. Raises OtherKind."""
    if rule is None:
        return []
    if rule["type"] == "Sequence":
        steps = [step for part in rule["pretokenizers"] for step in cuts(part)]
        if any(part.get("prepend_scheme") == "first" for part in rule["pretokenizers"][1:]):
            raise OtherKind("a Metaspace behind other rules")
        return steps
    return [_cut(rule)]


def _cut(rule: Mapping[str, Any]) -> Cut:
    kind = rule["type"]
    if kind == "Split":
        return _pieces_by(compiled(rule["pattern"]), rule["behavior"], rule["invert"])
    if kind == "Digits":
        return _pieces_by(regex.compile(r"\p{N}"), "Isolated" if rule["individual_digits"] else "Contiguous")
    if kind == "Punctuation":
        return _pieces_by(regex.compile(_PUNCTUATION), rule.get("behavior", "Isolated"))
    if kind == "ByteLevel":
        return _byte_level(rule["add_prefix_space"], rule.get("use_regex", True))
    if kind == "Metaspace":
        return _metaspace(rule)
    raise OtherKind(f"the pre-tokeniser {kind}")


def _pieces_by(pattern: Any, behaviour: str, invert: bool = False) -> Cut:
    arrange = _ARRANGEMENTS.get(behaviour)
    if arrange is None:
        raise OtherKind(f"the way {behaviour} of splitting")
    return lambda text, _: [piece for piece in arrange(_matches(pattern, text, invert)) if piece]


def _matches(pattern: Any, text: str, invert: bool = False) -> list[tuple[str, bool]]:
    """The whole text in pieces, each with whether it is a match (with `invert`: whether it is not)."""
    found: list[tuple[str, bool]] = []
    end = 0
    for match in pattern.finditer(text):
        start = match.start()
        if start > end:
            found.append((text[end:start], invert))
        end = match.end()
        found.append((text[start:end], not invert))
    if end < len(text):
        found.append((text[end:], invert))
    return found


def _isolated(pieces: list[tuple[str, bool]]) -> list[str]:
    return [piece for piece, _ in pieces]


def _removed(pieces: list[tuple[str, bool]]) -> list[str]:
    return [piece for piece, is_match in pieces if not is_match]


def _contiguous(pieces: list[tuple[str, bool]]) -> list[str]:
    """Neighbouring matches are one piece."""
    found: list[str] = []
    before = False
    for piece, is_match in pieces:
        if found and is_match == before:
            found[-1] += piece
        else:
            found.append(piece)
        before = is_match
    return found


def _merged_with_previous(pieces: list[tuple[str, bool]]) -> list[str]:
    """A match ends the piece before it; a second match in a row stands alone."""
    found: list[str] = []
    before = False
    for piece, is_match in pieces:
        if found and is_match and not before:
            found[-1] += piece
        else:
            found.append(piece)
        before = is_match
    return found


def _merged_with_next(pieces: list[tuple[str, bool]]) -> list[str]:
    """A match begins the piece behind it; of several in a row all but the last stand alone."""
    found: list[str] = []
    before = False
    for piece, is_match in reversed(pieces):
        if found and is_match and not before:
            found[-1] = piece + found[-1]
        else:
            found.append(piece)
        before = is_match
    return found[::-1]


_ARRANGEMENTS: dict[str, Callable[[list[tuple[str, bool]]], list[str]]] = {
    "Isolated": _isolated,
    "Removed": _removed,
    "Contiguous": _contiguous,
    "MergedWithPrevious": _merged_with_previous,
    "MergedWithNext": _merged_with_next,
}


def _byte_level(add_space: bool, use_regex: bool) -> Cut:
    words = regex.compile(_GPT2_WORDS)

    def cut(text: str, _: bool) -> list[str]:
        if add_space and not text.startswith(" "):
            text = " " + text
        pieces = words.findall(text) if use_regex else [text]
        return [in_byte_letters(piece) for piece in pieces]

    return cut


def _metaspace(rule: Mapping[str, Any]) -> Cut:
    mark, scheme = rule["replacement"], rule.get("prepend_scheme", "always")
    apart = _pieces_by(regex.compile(regex.escape(mark)), "MergedWithNext")

    def cut(text: str, begins: bool) -> list[str]:
        text = text.replace(" ", mark)
        if not text.startswith(mark) and (scheme == "always" or (scheme == "first" and begins)):
            text = mark + text
        return apart(text, begins) if rule.get("split", True) else [text]

    return cut
