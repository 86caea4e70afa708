"""Sentences -> vectors: the frozen encoder that set-up put beside the program. Nothing is ever downloaded."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

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


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Let torch compute on `count` threads (None: as many as it likes).

    A single question gains 2 ms from a second core, but waits for it without end when other programs keep that core busy.
    """
    import torch

    usual = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


class Encoder:
    """A sentence-transformers folder, loaded when first needed. Safe to use from several threads."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._model: Any = None
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
        return int(self._loaded().get_embedding_dimension())

    def encode(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        """Vectors of unit length, [len(texts), dimension], in the order of `texts`.

        Batches hold texts of like length. `on_progress` gets the number of texts done so far.
        """
        model = self._loaded()
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)  # [n, d]
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        for first in range(0, len(order), BATCH):
            batch = order[first : first + BATCH]
            with self._lock, _threads(1 if len(texts) == 1 else None):
                vectors[batch] = model.encode(
                    [texts[number] for number in batch], batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False
                )
            if on_progress:
                on_progress(min(first + BATCH, len(order)))
        return vectors

    def _loaded(self) -> Any:
        with self._lock:
            if self._model is None:
                from sentence_transformers import SentenceTransformer
                from transformers.utils import logging

                logging.disable_progress_bar()  # type: ignore[no-untyped-call,unused-ignore]
                self._model = SentenceTransformer(str(self.folder), device="cpu", local_files_only=True)
            return self._model
