"""A loaded model answering requests one after the other: prompt, prefill, the token loop."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine import kernels as kernel_library
from engine import manifest as manifests
from engine import predictor as predictors
from engine.answer import Answer, OnText, ShouldStop
from engine.codec import open_codec
from engine.curves import gap_bytes_here
from engine.decoder import Decoder
from engine.errors import ContextTooLong
from engine.ffn import FeedForward, StreamedFeedForward
from engine.flash import BundleFile
from engine.formats import Floats
from engine.kv import KVCache, PrefixStore
from engine.memory import resident_bytes
from engine.native.library import Native
from engine.native.stream import PIECE_BYTES, READERS
from engine.pace import Manner, Pace
from engine.plan import RUN_BYTES, STREAM_DEPTH, Plan, model_of, plan_model
from engine.reads import ReadCounts
from engine.request import Generation, Mode, Request
from engine.sparse import PredictedFeedForward, WindowedFeedForward
from engine.tokenizer import Tokenizer
from engine.weights import ResidentWeights
from engine.window import WindowShape

_SCORED_ROWS = 16
"""Rows of logits that are computed at once when a text is scored."""


class Session:
    """One model within its memory budget."""

    def __init__(self, pack: Path, memory_bytes: int, mode: Mode, pin: bool = True) -> None:
        """Load the pack; without `pin` every FFN weight is read for every token, the baseline of the paper's ladder.

        Raises BudgetTooSmall or CorruptPack.
        """
        self._manifest = manifests.load(pack)
        self._kernels = kernels = kernel_library.load()
        self.kernels_name = kernels.name
        self.tokenizer = Tokenizer(open_codec(pack, self._manifest), self._manifest.tokenizer)
        self.plan: Plan = plan_model(model_of(self._manifest), memory_bytes, mode, pin, resident_bytes() + _LOADING_BYTES)
        self._weights = weights = ResidentWeights(pack, self._manifest, kernels, self.plan.on_flash(self._manifest.config))
        checksums = [weights.checksums(number) for number in range(self._manifest.config.layers)]
        form = self._manifest.balanced if self.plan.form == "balanced" else None
        file = BundleFile(pack, self._manifest, checksums, kernels, form)
        self._feed_forward = self._make_feed_forward(pack, file, weights, kernels)
        self._decoder = Decoder(self._manifest.config, weights, self._feed_forward, kernels)
        self._cache = KVCache(self._manifest.config, self.plan.context_tokens)
        self._prefixes = PrefixStore(self.plan.saved_tokens)
        self._counts = ReadCounts()
        threads = kernels.threads if isinstance(kernels, Native) else 1
        self.pace = Pace(Manner(READERS, PIECE_BYTES, threads), self._apply)

    def _make_feed_forward(self, pack: Path, file: BundleFile, weights: ResidentWeights, kernels: kernel_library.Kernels) -> FeedForward:
        plan, stride = self.plan, file.layers[0].stride
        if plan.strategy == "window":
            gap_bytes = gap_bytes_here(pack / manifests.FFN, kernels, stride)
            return WindowedFeedForward(file, weights, kernels, plan.window_neurons, RUN_BYTES, gap_bytes)
        if plan.strategy == "predicted":
            gap = gap_bytes_here(pack / manifests.FFN, kernels, stride) // stride
            shape = WindowShape(plan.window_neurons, plan.pinned_neurons, gap)
            foresight = predictors.load(pack, self._manifest, kernels)
            return PredictedFeedForward(file, weights, kernels, foresight, [shape] * len(file.layers), RUN_BYTES)
        return StreamedFeedForward(file, weights, kernels, self.plan.pinned_tiles, RUN_BYTES, STREAM_DEPTH)

    @property
    def model_name(self) -> str:
        """As the checkpoint calls itself."""
        return self._manifest.name

    def close(self) -> None:
        """Stop reading ahead and close the files."""
        self._feed_forward.close()
        self._weights.close()

    def _apply(self, manner: Manner) -> None:
        if isinstance(self._kernels, Native):
            self._kernels.set_threads(manner.threads)
        if isinstance(self._feed_forward, StreamedFeedForward):
            self._feed_forward.set_reading(manner.readers, manner.piece_bytes)

    def keep_pace(self, seconds: float, drafted: int) -> None:
        """One more pass took so long: where the machine has changed, reading and computing are planned again.

        A pass with drafts computes for longer, so it tells something only where it waited for the disk.
        """
        counts = self._read_since()
        self._counts += counts
        if isinstance(self._kernels, Native) and (not drafted or counts.stall_s > seconds / 2):
            self.pace.note(seconds, counts.bytes, counts.stall_s)

    def _read_since(self) -> ReadCounts:
        return self._feed_forward.take_counts() + self._weights.take_counts()

    def draft_texts(self, request: Request, prompt: list[int]) -> list[list[int]]:
        """Where drafts are looked up: the request's own, then the prompt."""
        return [*(self.tokenizer.encode(text, with_bos=False) for text in request.drafts), prompt]

    def generate(self, request: Request, on_text: OnText, should_stop: ShouldStop) -> Generation:
        """Answer a request; `on_text` gets each piece of text once it cannot change any more.

        Raises ContextTooLong when prompt and one token of answer do not fit.
        """
        began = time.perf_counter()
        tokens = self.tokenizer.prompt_ids(request.segments)
        if len(tokens) + 1 > self.plan.context_tokens:
            raise ContextTooLong(len(tokens), self.plan.context_tokens)
        answer = Answer(self, request, tokens, on_text)
        self.take_counts()
        hidden = self._prefill(tokens, should_stop)
        if hidden is None:
            return answer.generation("cancelled", began)
        for key in {segment.cache_key for segment in request.segments if segment.cache_key is not None}:
            self._prefixes.learn(key, self._cache, tokens)
        return answer.generation(answer.run(hidden, should_stop), began)

    def _prefill(self, tokens: list[int], should_stop: ShouldStop) -> Floats | None:
        """Bring the prompt into the cache; the last position's hidden state [1, hidden], or None when stopped before the end."""
        done = self._prefixes.restore(self._cache, tokens[:-1])
        hidden = None
        while done < len(tokens):
            if should_stop():
                return None
            piece = tokens[done : done + self.plan.prefill_tokens]
            hidden = self.forward(piece)
            done += len(piece)
        assert hidden is not None
        return hidden[-1:]

    def forward(self, tokens: list[int]) -> Floats:
        """Hidden states [n, hidden] of tokens put behind the cache's."""
        return self._decoder.forward(tokens, self._cache)

    def forget(self, count: int) -> None:
        """Take back the last `count` positions."""
        del self._cache.tokens[len(self._cache.tokens) - count :]

    def logits(self, hidden: Floats) -> Floats:
        """[n, hidden] -> [n, vocabulary]."""
        return self._decoder.logits(hidden)

    @property
    def room(self) -> int:
        """Positions that are free in the cache."""
        return self._cache.capacity - len(self._cache.tokens)

    def take_counts(self) -> tuple[int, int, float]:
        """Bytes and reads since the last call, and seconds waited for them."""
        counts, self._counts = self._counts + self._read_since(), ReadCounts()
        return counts.bytes, counts.reads, counts.stall_s

    def log_likelihoods(self, tokens: Sequence[int], first: int) -> Floats:
        """Natural log probability of each of tokens[first:] given all before it, float32 [len(tokens) - first]; `first` >= 1.

        Raises ContextTooLong when the tokens do not fit.
        """
        if len(tokens) > self.plan.context_tokens:
            raise ContextTooLong(len(tokens), self.plan.context_tokens)
        self._cache.tokens.clear()
        found: list[Floats] = []
        for start in range(0, len(tokens) - 1, self.plan.prefill_tokens):
            piece = list(tokens[start : min(start + self.plan.prefill_tokens, len(tokens) - 1)])
            hidden = self.forward(piece)
            wanted = np.array(tokens[start + 1 : start + 1 + len(piece)])
            skip = max(first - 1 - start, 0)
            for row in range(skip, len(piece), _SCORED_ROWS):
                logits = self.logits(hidden[row : row + _SCORED_ROWS])
                found.append(_log_shares(logits, wanted[row : row + _SCORED_ROWS]))
        return np.concatenate(found)


_LOADING_BYTES = 8_000_000
"""The interpreter grows by this much between the moment it is measured and the first token of a long prompt."""


def _log_shares(logits: Floats, tokens: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Floats:
    """Log softmax of each row at its token."""
    highest = logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(logits - highest).sum(axis=1)) + highest[:, 0]
    return np.asarray(logits[np.arange(len(tokens)), tokens] - total, np.float32)
