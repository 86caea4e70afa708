"""A library with an encoder that needs no model: each stem has a fixed random direction, a text is the sum of its words."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kb import database
from kb.encoder import Encoder, Tokens
from kb.library import Library
from surrogates import reader_weights, schema
from surrogates.verifier import Verifier
from surrogates.wording import WORD, stem, words


class WordEncoder(Encoder):
    """Texts that share words are near each other; the vectors are the same on every machine."""

    name = "words-1"
    dimension = 64

    def encode(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), self.dimension), np.float32)  # [n, d]
        for row, text in enumerate(texts):
            vectors[row] = sum((_direction(stem(word), self.dimension) for word in words(text)), np.full(self.dimension, 1e-3))
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def tokens(self, texts: Sequence[str]) -> list[Tokens]:
        """One token a word."""
        found = []
        for text, vector in zip(texts, self.encode(texts), strict=True):
            places = [match.span() for match in WORD.finditer(text)]
            vectors = self.encode([text[start:end] for start, end in places])
            found.append(Tokens(vector, vectors, np.asarray(places, np.int32).reshape(-1, 2)))
        return found


def _direction(word: str, dimension: int) -> NDArray[np.float64]:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
    return np.random.default_rng(seed).standard_normal(dimension)


@pytest.fixture(scope="session")
def word_encoder() -> WordEncoder:
    """The encoder that needs no model."""
    return WordEncoder()


@pytest.fixture
def word_library(home: Path, word_encoder: WordEncoder) -> Iterator[Library]:
    """An empty library of both rooms' tables over `WordEncoder`."""
    with Library(home, word_encoder) as library:
        database.migrate(library.connection, "surrogates", schema.MIGRATIONS)
        yield library


@pytest.fixture
def fit_for_words(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[float]], None]:
    """Makes the reader's shipped weights those of `WordEncoder`, as far as they fit it, but for how passages are ranked."""

    def fit(rerank: Sequence[float]) -> None:
        shipped = reader_weights.fitted()
        tensors = shipped.verifier.tensors | {"axes": shipped.verifier.tensors["axes"][: WordEncoder.dimension]}
        own = replace(shipped, rerank=np.asarray(rerank), verifier=Verifier(tensors, WordEncoder.name))
        monkeypatch.setattr(reader_weights, "fitted", lambda: own)

    return fit


@pytest.fixture
def add(word_library: Library, tmp_path: Path) -> Callable[[str, str], int]:
    """Adds a Markdown document by name and text and returns its id; the same name again is a new revision."""

    def add_document(name: str, text: str) -> int:
        file = tmp_path / name
        file.write_text(text, encoding="utf-8")
        added = word_library.add(file)
        assert added.document_id is not None, added.reason
        return added.document_id

    return add_document
