"""Added tokens: texts such as "<|im_end|>" that are one token wherever they stand, whatever the merges say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import regex

from engine.splitting import Normalise, OtherKind


class AddedTokens:
    """Finds added tokens in a text, the longest first; `texts` are what is looked for, in the order of `tokens`."""

    def __init__(self, tokens: Sequence[Mapping[str, Any]], normalise: Normalise | None = None) -> None:
        """`tokens` as in a tokenizer.json; `normalise` for those that are looked for in normalised text. Raises OtherKind."""
        if any(token["single_word"] for token in tokens):
            raise OtherKind("an added token that counts as a word of its own only")
        texts = [normalise(token["content"]) if normalise else token["content"] for token in tokens]
        self._tokens = dict(zip(texts, tokens, strict=True))
        self._tokens.pop("", None)
        alternatives = sorted(self._tokens, key=len, reverse=True)
        self._pattern = regex.compile("|".join(regex.escape(text, special_only=False) for text in alternatives)) if alternatives else None

    def cut(self, text: str) -> Iterator[tuple[str, int | None]]:
        """The pieces of the text in order: (added token's text, its id) or (text between them, None)."""
        end = 0
        for match in self._pattern.finditer(text) if self._pattern else ():
            token = self._tokens[match[0]]
            start = match.start()
            if token["lstrip"]:
                start = max(len(text[:start].rstrip(_WHITE_SPACE)), end)
            if start > end:
                yield text[end:start], None
            yield match[0], token["id"]
            end = match.end()
            if token["rstrip"]:
                end = len(text) - len(text[end:].lstrip(_WHITE_SPACE))
        if end < len(text):
            yield text[end:], None


_WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
"""Unicode's property White_Space; Python's str.strip would take control characters too."""
