"""Sentences -> vectors: the frozen encoder that set-up put beside the program. Nothing is ever downloaded."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kb import bert

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kb.bert import Bert

BATCH = 32
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


class Encoder:
    """A sentence-transformers folder, loaded when first needed. Safe to use from several threads.

    One text goes through `kb.bert`, where the model is of that kind, on one thread: a second one gains 2 ms, and waits without end
    for a core that other programs keep busy. Many texts go through torch, which is loaded for the first of them.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._model: Any = None
        self._single: Bert | None = None
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
        single = self._loaded_single()
        return int(single.words.shape[1]) if single else int(self._loaded().get_embedding_dimension())

    def encode(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        """Vectors of unit length, [len(texts), dimension], in the order of `texts`.

        Batches hold texts of like length. `on_progress` gets the number of texts done so far.
        """
        single = self._loaded_single()
        if single is None or len(texts) > 1:
            return self._encoded_in_batches(texts, on_progress)
        with self._lock:
            vectors = [single.encode(text) for text in texts]
        if on_progress and texts:
            on_progress(len(texts))
        return np.stack(vectors) if vectors else np.zeros((0, self.dimension), np.float32)

    def _encoded_in_batches(self, texts: Sequence[str], on_progress: Callable[[int], None] | None) -> NDArray[np.float32]:
        model = self._loaded()
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)  # [n, d]
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        for first in range(0, len(order), BATCH):
            batch = order[first : first + BATCH]
            with self._lock:
                vectors[batch] = model.encode(
                    [texts[number] for number in batch], batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False
                )
            if on_progress:
                on_progress(min(first + BATCH, len(order)))
        return vectors

    def _loaded_single(self) -> Bert | None:
        with self._lock:
            if not self._looked:
                self._single, self._looked = bert.load(self.folder), True
            return self._single

    def _loaded(self) -> Any:
        with self._lock:
            if self._model is None:
                from sentence_transformers import SentenceTransformer
                from transformers.utils import logging

                logging.disable_progress_bar()  # type: ignore[no-untyped-call,unused-ignore]
                self._model = SentenceTransformer(str(self.folder), device="cpu", local_files_only=True)
            return self._model
