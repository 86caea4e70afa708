"""Choosing the next token from logits."""

from __future__ import annotations

from random import Random

import numpy as np

from engine.formats import Floats


class Sampler:
    """Greedy at temperature 0, otherwise drawn from the smallest set of tokens whose probability reaches `top_p`; `seed` repeats a draw."""

    def __init__(self, temperature: float, top_p: float, seed: int) -> None:
        self._temperature = temperature
        self._top_p = top_p
        self._random = Random(seed & 0xFFFFFFFFFFFFFFFF)  # numpy.random would bring OpenSSL along

    def __call__(self, logits: Floats) -> int:
        """logits [vocabulary] -> a token id."""
        if self._temperature <= 0:
            return int(logits.argmax())
        scaled = logits.astype(np.float64) / self._temperature
        weights = np.exp(scaled - scaled.max())
        if self._top_p >= 1.0:
            return self._draw(np.arange(weights.size), weights)
        order = np.argsort(-weights, kind="stable")
        shares = np.cumsum(weights[order]) / weights.sum()
        kept = order[: int(np.searchsorted(shares, self._top_p)) + 1]
        return self._draw(kept, weights[kept])

    def _draw(
        self, tokens: np.ndarray[tuple[int, ...], np.dtype[np.intp]], weights: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    ) -> int:
        place = int(np.searchsorted(np.cumsum(weights), self._random.random() * weights.sum(), side="right"))
        return int(tokens[min(place, tokens.size - 1)])
