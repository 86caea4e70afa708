"""An encoder that remembers its latest texts: search and surrogate encode one question once, teaching encodes many ahead in batches."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kb.encoder import Encoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kb.encoder import Tokens
    from kb.library import Library

REMEMBERED = 4_096
"""Texts kept, 6 MB of vectors."""


class Remembering(Encoder):
    """The same vectors as `inner`, without encoding a text again that was encoded a moment ago. For the one thread of its library."""

    def __init__(self, inner: Encoder) -> None:
        super().__init__()
        self._inner = inner
        self._kept: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._latest: tuple[str, Tokens] | None = None

    @property
    def folder(self) -> Path:
        """Where the model lies."""
        return self._inner.folder

    @property
    def name(self) -> str:
        """The model's identity."""
        return self._inner.name

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self._inner.dimension

    def encode(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        """Vectors of unit length, [len(texts), dimension]; `on_progress` counts the texts that had to be encoded."""
        found = {text: self._kept[text] for text in texts if text in self._kept}
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        if missing:
            made = self._take(missing[0]) if len(texts) == 1 else self._inner.encode(missing, on_progress)
            found.update(zip(missing, made, strict=True))
        self._keep(found)
        return np.stack([found[text] for text in texts]) if texts else np.zeros((0, self.dimension), np.float32)

    def tokens(self, texts: Sequence[str]) -> list[Tokens]:
        """What `Encoder.tokens` gives; a question that was encoded a moment ago is not encoded again."""
        if len(texts) == 1 and not self._is_latest(texts[0]):
            self._take(texts[0])
        known = dict([self._latest] if self._latest else [])
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        known |= dict(zip(missing, self._inner.tokens(missing) if missing else [], strict=True))
        return [known[text] for text in texts]

    def _is_latest(self, text: str) -> bool:
        return self._latest is not None and self._latest[0] == text

    def _take(self, text: str) -> NDArray[np.float32]:
        """Encode one text token by token and keep that until the next one; its vector [1, d]."""
        tokens = self._inner.tokens([text])[0]
        self._latest = (text, tokens)
        self._keep({text: tokens.vector})
        return tokens.vector[None]

    def _keep(self, found: dict[str, NDArray[np.float32]]) -> None:
        for text, vector in found.items():
            self._kept[text] = vector
            self._kept.move_to_end(text)
        while len(self._kept) > REMEMBERED:
            self._kept.popitem(last=False)


def remember(library: Library) -> None:
    """Let this library's encoder remember; does nothing the second time."""
    if not isinstance(library.encoder, Remembering):
        library.encoder = Remembering(library.encoder)
