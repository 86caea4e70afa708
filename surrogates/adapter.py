"""The trained part of the encoder: a residual 384 x 384 map over frozen sentence vectors, and its training.

Questions with one answer are pulled together, look-alikes that need another answer are pushed away (InfoNCE with hard negatives).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class AdapterSettings:
    """`temperature` divides cosines; `pull` weighs the distance from the frozen vectors; one seed gives one adapter."""

    epochs: int = 6
    batch: int = 256
    learning_rate: float = 1e-3
    temperature: float = 0.05
    pull: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch < 2:
            raise ValueError(f"batch is {self.batch}, expected at least 2: the others of a batch are the negatives")
        if self.temperature <= 0:
            raise ValueError(f"temperature is {self.temperature}, expected more than 0")


@dataclass(frozen=True)
class Adapter:
    """v -> (v + v W) / |v + v W|; W zero leaves vectors as they are."""

    weight: Vectors  # [d, d]

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or self.weight.shape[0] != self.weight.shape[1]:
            raise ValueError(f"the adapter has shape {self.weight.shape}, expected a square matrix")
        if not np.isfinite(self.weight).all():
            raise ValueError("the adapter holds numbers that are not finite")

    @classmethod
    def identity(cls, dimension: int) -> Adapter:
        """The adapter before any training."""
        return cls(np.zeros((dimension, dimension), np.float32))

    def apply(self, vectors: Vectors) -> Vectors:
        """Adapt vectors [n, d] of unit length."""
        moved = vectors + vectors @ self.weight  # [n, d]
        return np.asarray(moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9), np.float32)


def fit(
    vectors: Vectors,  # [n, d], frozen question vectors
    labels: Sequence[int],  # [n], the answer of each question
    negatives: Vectors,  # [m, d], look-alikes
    negative_of: Sequence[int],  # [m], index of the question that each looks like
    settings: AdapterSettings | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Adapter:
    """Train on all questions whose answer has at least two; the identity when there are none, or when it is stopped."""
    import torch

    chosen = settings or AdapterSettings()
    pairs = _positive_pairs(labels, chosen.seed)
    identity = Adapter.identity(vectors.shape[1])
    if len(pairs) < 2:
        return identity
    look_alikes = _first_negative(len(vectors), negative_of)
    generator = torch.Generator().manual_seed(chosen.seed)
    frozen, lures = torch.from_numpy(vectors), torch.from_numpy(np.ascontiguousarray(negatives, np.float32))
    answers = torch.tensor(list(labels))
    weight = torch.zeros(vectors.shape[1], vectors.shape[1], requires_grad=True)  # [d, d]
    optimiser = torch.optim.AdamW([weight], lr=chosen.learning_rate, weight_decay=0.01)
    for _ in range(chosen.epochs):
        order = torch.randperm(len(pairs), generator=generator)
        for start in range(0, len(pairs), chosen.batch):
            if should_stop is not None and should_stop():
                return identity
            batch = pairs[order[start : start + chosen.batch].numpy()]  # [b, 2]
            optimiser.zero_grad()
            _loss(weight, frozen, lures, answers, batch, look_alikes, chosen).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return Adapter(weight.detach().numpy().astype(np.float32))


def _loss(
    weight: Tensor,
    frozen: Tensor,
    lures: Tensor,
    answers: Tensor,
    batch: NDArray[np.int64],
    look_alikes: NDArray[np.int64],
    settings: AdapterSettings,
) -> Tensor:
    import torch
    from torch.nn.functional import cross_entropy, normalize

    def adapt(rows: Tensor) -> Tensor:
        return normalize(rows + rows @ weight, dim=1)

    anchors, positives = adapt(frozen[batch[:, 0]]), adapt(frozen[batch[:, 1]])  # [b, d] each
    scores = anchors @ positives.T  # [b, b]
    same = answers[batch[:, 0]][:, None] == answers[batch[:, 1]][None, :]
    scores = scores.masked_fill(same & ~torch.eye(len(batch), dtype=torch.bool), -1.0)
    chosen = look_alikes[batch[:, 0]]  # [b], -1 where there is none
    if (chosen >= 0).any():
        hard = (anchors * adapt(lures[np.maximum(chosen, 0)])).sum(1)
        scores = torch.cat([scores, hard.masked_fill(torch.from_numpy(chosen < 0), -1.0)[:, None]], 1)  # [b, b + 1]
    drift = 1.0 - (anchors * frozen[batch[:, 0]]).sum(1).mean()
    return cross_entropy(scores / settings.temperature, torch.arange(len(batch))) + settings.pull * drift


def _positive_pairs(labels: Sequence[int], seed: int) -> NDArray[np.int64]:
    """Each question with another of its answer, [p, 2]."""
    by_answer: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        by_answer.setdefault(label, []).append(index)
    generator = np.random.default_rng(seed)
    pairs = []
    for members in by_answer.values():
        turned = generator.permutation(members)
        pairs += list(zip(turned, np.roll(turned, 1), strict=True)) if len(members) > 1 else []
    return np.asarray(pairs, np.int64).reshape(-1, 2)


def _first_negative(questions: int, negative_of: Sequence[int]) -> NDArray[np.int64]:
    chosen = np.full(questions, -1, np.int64)
    for lure, question in enumerate(negative_of):
        if chosen[question] < 0:
            chosen[question] = lure
    return chosen
