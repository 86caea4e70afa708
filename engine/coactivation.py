"""In which order a ReLU layer's neurons lie best: the hot ones first, then the others beside those that they are loaded with.

Bundling a neuron with its closest friend failed in the paper, since the friends are the always hot ones. An order without copies, after the
hot neurons were pinned, lets one read bring several wanted neurons.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.sparse import Mask

NEIGHBOURS = 12
_BLOCK = 1024
_MOST_ROWS = 3072
"""Passes that are compared: enough for counts, few enough for memory (float32 for every neuron)."""


def order(firing: Mask, loaded: Mask, hot: int) -> NDArray[np.int64]:
    """Place -> neuron: the `hot` that fire most, by how often, then the others in chains of those that are loaded together."""
    counts = firing.sum(axis=0)
    by_count = np.argsort(-counts, kind="stable")
    cold = np.sort(by_count[hot:])
    chained = cold[chain(loaded[-_MOST_ROWS:, cold])]
    return np.concatenate([by_count[:hot], chained]).astype(np.int64)


def chain(loaded: Mask) -> NDArray[np.int64]:
    """An order of the columns in which neighbours are loaded in the same passes: greedily, the strongest pairs first."""
    neurons = loaded.shape[1]
    if neurons < 3:
        return np.arange(neurons)
    left, right, weight = _strongest_pairs(loaded)
    ends: list[list[int]] = [[] for _ in range(neurons)]
    group = list(range(neurons))
    for pair in np.argsort(-weight, kind="stable").tolist():
        a, b = int(left[pair]), int(right[pair])
        if len(ends[a]) == 2 or len(ends[b]) == 2 or _root(group, a) == _root(group, b):
            continue
        group[_root(group, a)] = _root(group, b)
        ends[a].append(b)
        ends[b].append(a)
    return _walk(ends, loaded.sum(axis=0))


def _strongest_pairs(loaded: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """For each column its nearest others by the cosine of their passes."""
    values = loaded.astype(np.float32)
    values /= np.maximum(np.sqrt(np.square(values).sum(axis=0)), 1e-6)
    near = min(NEIGHBOURS, values.shape[1] - 1)
    lefts, rights, weights = [], [], []
    for first in range(0, values.shape[1], _BLOCK):
        alike = values[:, first : first + _BLOCK].T @ values  # [block, neurons]
        rows = np.arange(len(alike))
        alike[rows, rows + first] = -1.0
        best = np.argpartition(-alike, near - 1, axis=1)[:, :near]
        lefts.append(np.repeat(rows + first, near))
        rights.append(best.reshape(-1))
        weights.append(np.take_along_axis(alike, best, axis=1).reshape(-1))
    weight = np.concatenate(weights)
    kept = weight > 0
    return np.concatenate(lefts)[kept], np.concatenate(rights)[kept], weight[kept]


def _root(group: list[int], member: int) -> int:
    while group[member] != member:
        group[member] = group[group[member]]
        member = group[member]
    return member


def _walk(ends: list[list[int]], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Chain after chain, the busiest first, each from one end to the other."""
    seen = np.zeros(len(ends), bool)
    chains: list[list[int]] = []
    for start in range(len(ends)):
        if seen[start] or len(ends[start]) == 2:
            continue
        members, here = [], start
        while here >= 0:
            seen[here] = True
            members.append(here)
            here = next((other for other in ends[here] if not seen[other]), -1)
        chains.append(members)
    chains.sort(key=lambda members: -float(counts[members].mean()))
    return np.array([member for members in chains for member in members], np.int64)
