"""Sentences -> vectors: the frozen encoder that set-up put beside the program. Nothing is ever downloaded."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kb import bert

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kb.bert import Bert

BATCH = 32
FEW = 8
PROJECT = Path(__file__).resolve().parents[1]
IDENTITY_FILES = ("model.safetensors", "tokenizer.json", "config.json", "modules.json", "1_Pooling/config.json")


class EncoderMissing(Exception):
    """The encoder was not set up; the message says what to run."""


def installed_encoder() -> Path:
    """The folder that set-up puts the default encoder into.

    Raises:
        EncoderMissing: there is none.
    """
    for environment in (Path(sys.prefix), PROJECT / ".venv"):
        folder = environment / "share" / "flashkb" / "encoder"
        if (folder / "modules.json").is_file():
            return folder
    raise EncoderMissing("the sentence encoder is not installed; run: python launch.py setup")


@lru_cache(maxsize=2)
def shared_encoder(folder: Path | None = None) -> Encoder:
    """The process's one encoder over `folder` (None: the installed one), so that several libraries do not load it twice."""
    return Encoder(folder)


@dataclass(frozen=True)
class Tokens:
    """A text in its encoder's eyes: `vector` [d] of the whole, `vectors` [n, d] of its tokens, all of unit length.

    Token i is the text's characters `places[i, 0]` to `places[i, 1]`; tokens that stand for no characters are left out.
    """

    vector: NDArray[np.float32]
    vectors: NDArray[np.float32]
    places: NDArray[np.int32]


class Encoder:
    """A sentence-transformers folder, loaded when first needed. Safe to use from several threads.

    Texts go through `kb.bert` where the model is of that kind: a few, as a question with what is asked about it, in the calling thread,
    many in one thread a core. A model of another kind goes through torch.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._model: Any = None
        self._plain: Bert | None = None
        self._looked = False
        self._name = ""

    @property
    def folder(self) -> Path:
        """Where the model lies.

        Raises:
            EncoderMissing: it was not set up.
        """
        return self._folder or installed_encoder()

    @property
    def name(self) -> str:
        """The model's identity: a hash over its files, the same on every machine. Known without loading the model."""
        if not self._name:
            digest = hashlib.sha256()
            for name in IDENTITY_FILES:
                file = self.folder / name
                if file.is_file():
                    with file.open("rb") as content:
                        digest.update(hashlib.file_digest(content, "sha256").digest())
            self._name = f"sentence-encoder-{digest.hexdigest()[:16]}"
        return self._name

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        plain = self._loaded_plain()
        return int(plain.words.shape[1]) if plain else int(self._loaded().get_embedding_dimension())

    def encode(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        """Vectors of unit length, [len(texts), dimension], in the order of `texts`.

        Batches hold texts of like length. `on_progress` gets the number of texts done so far.
        """
        plain = self._loaded_plain()
        if plain is None or len(texts) > FEW:
            return self._encoded_in_batches(texts, on_progress)
        vectors = plain.encode(texts)
        if on_progress and texts:
            on_progress(len(texts))
        return vectors

    def tokens(self, texts: Sequence[str]) -> list[Tokens]:
        """What `encode` makes vectors of, token by token, cut at the model's longest text.

        An encoder whose tokenizer does not tell where its tokens stand gives one token for the whole text.
        """
        plain = self._loaded_plain()
        if plain is not None:
            return [_tokens(*made) for made in plain.encode_tokens(texts)]
        vectors, model = self.encode(texts), self._loaded()
        if not getattr(model.tokenizer, "is_fast", False):
            return [
                Tokens(vector, vector[None], np.asarray([[0, len(text)]], np.int32)) for vector, text in zip(vectors, texts, strict=True)
            ]
        with self._lock:
            found = model.encode(
                list(texts), batch_size=BATCH, output_value="token_embeddings", convert_to_numpy=False, show_progress_bar=False
            )
            cut = model.tokenizer(list(texts), truncation=True, max_length=model.max_seq_length, return_offsets_mapping=True)
        return [_tokens(*made) for made in zip(vectors, (each.float().numpy() for each in found), cut["offset_mapping"], strict=True)]

    def _encoded_in_batches(self, texts: Sequence[str], on_progress: Callable[[int], None] | None) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)  # [n, d]
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for first in range(0, len(order), BATCH):
                batch = order[first : first + BATCH]
                vectors[batch] = self._batch([texts[number] for number in batch], pool)
                if on_progress:
                    on_progress(min(first + BATCH, len(order)))
        return vectors

    def _batch(self, texts: Sequence[str], pool: Executor) -> NDArray[np.float32]:
        plain = self._loaded_plain()
        if plain is not None:
            return plain.encode(texts, pool)
        model = self._loaded()
        with self._lock:
            vectors: NDArray[np.float32] = model.encode(texts, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False)
        return vectors

    def _loaded_plain(self) -> Bert | None:
        with self._lock:
            if not self._looked:
                self._plain, self._looked = bert.load(self.folder), True
            return self._plain

    def _loaded(self) -> Any:
        with self._lock:
            if self._model is None:
                from sentence_transformers import SentenceTransformer
                from transformers.utils import logging

                logging.disable_progress_bar()  # type: ignore[no-untyped-call,unused-ignore]
                self._model = SentenceTransformer(str(self.folder), device="cpu", local_files_only=True)
            return self._model


def _tokens(vector: NDArray[np.float32], hidden: NDArray[np.float32], offsets: Sequence[tuple[int, int]]) -> Tokens:
    places = np.asarray(offsets, np.int32).reshape(-1, 2)  # [n, 2]
    stands = places[:, 1] > places[:, 0]
    vectors = hidden[: len(places)][stands]
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return Tokens(vector, np.asarray(vectors / lengths, np.float32), places[stands])
