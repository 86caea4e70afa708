"""How often the same neurons are wanted again: what windows of some size would load, and how much of it one read brings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.sparse import Mask

_SLOTS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8)
_SAMPLED_LAYERS, _SAMPLED_TOKENS = 4, 256


def loads(firing: Mask, window: int, starts: NDArray[np.int64]) -> Mask:
    """Which neurons a window of that many passes would have to load, [passes, neurons].

    `firing` [passes, neurons] in the order of the text; at the passes `starts` another text begins, with an empty window.
    """
    found = firing.copy()
    for back in range(1, window + 1):
        if back < len(firing):
            known = firing[:-back].copy()
            for start in starts.tolist():
                known[max(start - back, 0) : start] = False  # what fired in another text is not in the window
            found[back:] &= ~known
    return found


def run_length(wanted: Mask, permutation: NDArray[np.int64]) -> float:
    """Neurons that one read brings on average when every pass reads what it wants in this order."""
    there = wanted[:, permutation]
    begins = there.copy()
    begins[:, 1:] &= ~there[:, :-1]
    return float(there.sum() / max(int(begins.sum()), 1))


def expected_loads(wanted: list[Mask]) -> tuple[tuple[float, float, float], ...]:
    """For windows of some sizes: slots, the pinned share that loads least, and what a token then loads, all as shares of the neurons.

    `wanted` [tokens, neurons in their new order] for each layer; some layers and tokens stand for all.
    """
    sample = [layer[:_SAMPLED_TOKENS] for layer in wanted[:: max(len(wanted) // _SAMPLED_LAYERS, 1)]]
    neurons = sample[0].shape[1]
    found = []
    for slots in _SLOTS:
        ways = []
        for pinned in (0.0, slots / 4, slots / 2):
            ways.append((pinned, float(np.mean([_loaded(layer, int(slots * neurons), int(pinned * neurons)) for layer in sample]))))
        pinned, share = min(ways, key=lambda way: way[1])
        found.append((slots, pinned, share))
    return tuple(found)


def _loaded(wanted: Mask, slots: int, pinned: int) -> float:
    """Share of the neurons that a token loads into a window that forgets what was longest unwanted; the first half warms it up."""
    last = np.full(wanted.shape[1], -1, np.int64)
    held = np.zeros(wanted.shape[1], bool)
    held[:pinned] = True
    total = 0
    for now, needs in enumerate(wanted):
        missing = int((needs & ~held).sum())
        total += missing * (now >= len(wanted) // 2)
        last[needs], last[:pinned] = now, len(wanted)
        held |= needs
        excess = int(held.sum()) - slots
        if excess > 0:
            candidates = np.flatnonzero(held)
            held[candidates[np.argpartition(last[candidates], excess - 1)[:excess]]] = False
    return float(total / max(len(wanted) - len(wanted) // 2, 1) / wanted.shape[1])
