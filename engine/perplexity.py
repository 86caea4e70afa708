"""Perplexity of a text under a pack, windowed as llama.cpp does it, so that figures can be laid side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.generate import Engine

WINDOW_TOKENS = 512


@dataclass(frozen=True)
class Perplexity:
    """exp of the mean negative log likelihood; `tokens` were judged."""

    perplexity: float
    tokens: int


def perplexity(engine: Engine, text: str, most_windows: int | None = None) -> Perplexity:
    """Cut the text into windows of 512 tokens and judge the second half of each, given the first.

    A text shorter than a window is judged from its second token on. `most_windows` bounds the work, from the text's beginning on.
    ValueError when there is nothing to judge.
    """
    tokens = engine.encode(text)
    if len(tokens) < 2:
        raise ValueError(f"the text has {len(tokens)} tokens, expected at least 2")
    lead = engine.encode("")
    total, judged = 0.0, 0
    for window in _windows(tokens)[:most_windows]:
        first = len(window) // 2 + 1 if len(window) == WINDOW_TOKENS else 1
        values = engine.log_likelihoods([*lead[:1], *window[1:]] if lead else window, first)
        total -= sum(values)
        judged += len(values)
    return Perplexity(math.exp(total / judged), judged)


def _windows(tokens: list[int]) -> list[list[int]]:
    if len(tokens) < WINDOW_TOKENS:
        return [tokens]
    return [tokens[start : start + WINDOW_TOKENS] for start in range(0, len(tokens) - WINDOW_TOKENS + 1, WINDOW_TOKENS)]
