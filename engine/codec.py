"""Text to ids and back by a pack's vocabulary: compact where the engine knows its kind, with the `tokenizers` library for the others."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from engine import tensors
from engine.added import AddedTokens
from engine.bpe import BytePairs
from engine.errors import CorruptPack, UnusableSource
from engine.joining import joiner
from engine.manifest import TOKENIZER, VOCABULARY, Manifest
from engine.splitting import OtherKind, cuts, normaliser
from engine.vocabulary_file import DTYPES, Arrays, compile_vocabulary


class Codec(Protocol):
    """What both ways of running a tokenizer.json can do; `specials` are the texts of its control tokens."""

    specials: list[str]

    def encode(self, text: str, with_around: bool) -> list[int]:
        """Ids of a text; `with_around` adds the tokens that the model expects in front of a raw text and behind it."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; control tokens and unknown ids give none, bytes that are no whole character give U+FFFD."""
        ...


class CompactCodec:
    """Over the arrays that `engine.vocabulary_file` compiled; some megabytes."""

    def __init__(self, arrays: Mapping[str, memoryview]) -> None:
        """Raises OtherKind when the rules have parts that are not built here."""
        rules = json.loads(bytes(arrays["rules"]))
        added: list[dict[str, Any]] = rules["added_tokens"]
        self._normalise = normaliser(rules["normalizer"])
        self._raw = AddedTokens([token for token in added if not token["normalized"]])
        self._normalised = AddedTokens([token for token in added if token["normalized"]], self._normalise)
        self._cuts = cuts(rules["pre_tokenizer"])
        self._join = joiner(rules["decoder"])
        self._front, self._behind = rules["around"]
        self._pairs = BytePairs(arrays, rules["model"])
        self.specials = [token["content"] for token in added if token["special"]]
        self._hidden = {token["id"] for token in added if token["special"]}

    def encode(self, text: str, with_around: bool) -> list[int]:
        """See Codec."""
        found = list(self._front) if with_around else []
        for piece, number in self._pieces(text):
            if number is None:
                found += self._pairs.encode(piece)
            else:
                found.append(number)
        return found + self._behind if with_around else found

    def __len__(self) -> int:
        """One more than the highest id."""
        return len(self._pairs)

    def decode(self, ids: Sequence[int]) -> str:
        """See Codec."""
        shown = (number for number in ids if 0 <= number < len(self._pairs) and number not in self._hidden)
        return "".join(self._join([token for number in shown if (token := self._pairs.token(number))]))

    def _pieces(self, text: str) -> Iterator[tuple[str, int | None]]:
        """Added tokens with their ids, and between them the pieces that merges do not cross."""
        begins = True
        for outer, number in self._raw.cut(text):
            if number is not None:
                yield outer, number
                begins = False
                continue
            for inner, number in self._normalised.cut(self._normalise(outer)):
                if number is not None:
                    yield inner, number
                else:
                    yield from ((piece, None) for piece in self._cut(inner, begins))
                begins = False

    def _cut(self, text: str, begins: bool) -> list[str]:
        pieces = [text]
        for cut in self._cuts:
            pieces = [part for number, piece in enumerate(pieces) for part in cut(piece, begins and number == 0)]
        return pieces


class LibraryCodec:
    """The `tokenizers` library: every kind, a hundred megabytes for a large vocabulary."""

    def __init__(self, tokenizer_json: str) -> None:
        """Raises UnusableSource when the library cannot load it."""
        from tokenizers import Tokenizer as Library

        try:
            self._library = Library.from_str(tokenizer_json)
        except Exception as error:  # the library raises plain Exception
            raise UnusableSource(f"the model's tokenizer.json cannot be loaded ({error}); fetch the checkpoint again") from error
        self._library.no_truncation()
        self._library.no_padding()
        self.specials = [token.content for token in self._library.get_added_tokens_decoder().values() if token.special]

    def encode(self, text: str, with_around: bool) -> list[int]:
        """See Codec."""
        return list(self._library.encode(text, add_special_tokens=with_around).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """See Codec."""
        return str(self._library.decode(list(ids), skip_special_tokens=True))


def open_codec(pack: Path, manifest: Manifest) -> Codec:
    """The vocabulary of a pack. Raises CorruptPack when it was altered."""
    compiled = pack / VOCABULARY
    if VOCABULARY not in manifest.file_bytes:
        return LibraryCodec(_checked(pack / TOKENIZER, manifest.tokenizer_crc32).decode("utf-8"))
    view = memoryview(_checked(compiled, manifest.vocabulary_crc32))
    entries = tensors.read_header(compiled)
    return CompactCodec({name: view[at.offset : at.offset + at.size].cast(_CASTS[at.dtype]) for name, at in entries.items()})


def _checked(path: Path, crc32: int) -> bytes:
    data = path.read_bytes()
    if zlib.crc32(data) != crc32:
        raise CorruptPack(f"{path.name} of the pack {path.parent.name} was altered; pack the model again")
    return data


_CASTS: dict[str, Literal["B", "I"]] = {"U8": "B", "U32": "I"}


def in_memory(arrays: Arrays) -> CompactCodec:
    """From arrays just compiled. Raises OtherKind."""
    return CompactCodec({name: memoryview(values.tobytes()).cast(_CASTS[DTYPES[values.dtype]]) for name, values in arrays.items()})


def compact_arrays(tokenizer_json: str) -> Arrays | None:
    """What vocabulary.safetensors holds for a tokenizer.json; None for a kind that only the library runs.

    The compact codec must give what the library gives for a sample of the vocabulary, or it is not taken. Raises UnusableSource when the
    library cannot load the file.
    """
    library = LibraryCodec(tokenizer_json)
    try:
        arrays = compile_vocabulary(json.loads(tokenizer_json))
        compact = in_memory(arrays)
    except OtherKind:
        return None
    return arrays if all(_agree(compact, library, text) for text in _sample(compact, library)) else None


def _sample(compact: CompactCodec, library: LibraryCodec) -> Iterator[str]:
    """Tokens from all over the vocabulary in a row, and every control token between words."""
    for start in range(_SAMPLE_STEP):
        yield library.decode(range(start, len(compact), _SAMPLE_STEP))
    yield " a  b\n ".join(["", *compact.specials, ""])


_SAMPLE_STEP = 29


def _agree(compact: CompactCodec, library: LibraryCodec, text: str) -> bool:
    ids = library.encode(text, True)
    return compact.encode(text, True) == ids and compact.decode(ids) == library.decode(ids)
