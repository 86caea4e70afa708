"""Fits the reader's verifier (`surrogates.verifier`): the same network in torch, trained question by question over the units that it read.

The units whose shown text is right share the softmax with all others and with "none of them"; a unit that is right only with what stands
around it counts half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from surrogates.verifier import MARKS, MATCHES

AXES, KINDS, HIDDEN, JOINED = 64, 16, 32, 64
"""Axes that a token's meaning is kept on, what becomes of it beside the matches, and the widths of the layers."""
EPOCHS, TOGETHER, RATE, DECAY, DROPPED = 10, 16, 2e-3, 0.05, 0.2
AROUND = 0.5
"""What a unit counts that is right only with what is shown around it."""

Table = NDArray[np.float32]


@dataclass(frozen=True)
class Example:
    """One question with its units: `meanings` [q, AXES], `marks` [q, m], `matches` [u, q, n], `features` [u, k], worth of each [u]."""

    meanings: Table
    marks: Table
    matches: NDArray[np.float16]
    features: NDArray[np.float16]
    worth: Table


class Network(nn.Module):
    """What `surrogates.verifier.Verifier` computes, for many units at once."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.kind = nn.Linear(AXES, KINDS)
        self.first = nn.Linear(len(MATCHES) + len(MARKS) + KINDS, HIDDEN)
        self.second = nn.Linear(HIDDEN, HIDDEN)
        self.attention = nn.Linear(HIDDEN, 1)
        self.joined = nn.Linear(features + 2 * HIDDEN, JOINED)
        self.last = nn.Linear(JOINED, 1)
        self.straight = nn.Linear(features, 1)
        self.drop = nn.Dropout(DROPPED)

    def forward(self, batch: Batch) -> Tensor:
        """Scores of all units of the batch, [u]."""
        kind = self.drop(self.kind(batch.meanings))[batch.question_of]  # [u, q, KINDS]
        tokens = torch.cat([batch.matches, batch.marks[batch.question_of], kind], dim=-1)
        hidden = _gelu(self.second(self.drop(_gelu(self.first(tokens)))))  # [u, q, h]
        there = batch.there[batch.question_of]  # [u, q]
        share = self.attention(hidden)[..., 0].masked_fill(~there, -1e9).softmax(dim=-1)
        pooled = (hidden * share[..., None]).sum(dim=1)
        largest = hidden.masked_fill(~there[..., None], -1e9).amax(dim=1)
        joined = self.drop(torch.cat([batch.features, pooled, largest], dim=1))
        deep = self.last(self.drop(_gelu(self.joined(joined))))
        return torch.as_tensor(deep[:, 0] + self.straight(batch.features)[:, 0])


@dataclass(frozen=True)
class Batch:
    """Questions side by side, padded to the longest; `there` [n, q] tells tokens from padding, `question_of` [u] whose a unit is."""

    meanings: Tensor
    marks: Tensor
    there: Tensor
    matches: Tensor
    features: Tensor
    question_of: Tensor


@dataclass(frozen=True)
class Fitted:
    """A trained network with the scale of its features."""

    network: Network
    middle: Table
    scale: Table

    def scores(self, examples: Sequence[Example]) -> list[Table]:
        """Scores of the units of each question."""
        found: list[Table] = []
        with torch.no_grad():
            for example in examples:
                found.append(self.network(_batch([example], self)).numpy())
        return found

    def tensors(self, axes: Table) -> dict[str, Table]:
        """As `Verifier` takes them."""
        layers = {name: module for name, module in self.network.named_children() if isinstance(module, nn.Linear)}
        weights = {name: layer.weight.detach().numpy().T.copy() for name, layer in layers.items()}
        biases = {f"{name}.bias": layer.bias.detach().numpy() for name, layer in layers.items()}
        return {**weights, **biases, "axes": axes, "middle": self.middle, "scale": self.scale}


def fit(examples: Sequence[Example], seed: int = 0) -> Fitted:
    """Train a network; about a minute for 3,000 questions on one core."""
    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    features = np.concatenate([example.features for example in examples]).astype(np.float32)
    fitted = Fitted(Network(features.shape[1]), features.mean(axis=0), features.std(axis=0) + 1e-3)
    count = -(-len(examples) // TOGETHER)
    optimiser = torch.optim.AdamW(fitted.network.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=EPOCHS * count, pct_start=0.1)
    fitted.network.train()
    for _ in range(EPOCHS):
        for rows in np.array_split(draw.permutation(len(examples)), count):
            chosen = [examples[row] for row in rows]
            loss = _loss(fitted.network(_batch(chosen, fitted)), chosen)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call,unused-ignore]
            nn.utils.clip_grad_norm_(fitted.network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
    fitted.network.eval()
    return fitted


def principal_axes(vectors: Sequence[Table]) -> Table:
    """The axes that hold most of what distinguishes the tokens of questions, [d, AXES]."""
    together = np.concatenate(vectors)
    _, directions = np.linalg.eigh(together.T @ together)
    return np.ascontiguousarray(directions[:, ::-1][:, :AXES], np.float32)


def _loss(scores: Tensor, examples: Sequence[Example]) -> Tensor:
    total, start = scores.new_zeros(()), 0
    for example in examples:
        own = scores[start : start + len(example.worth)]
        start += len(own)
        every = torch.logsumexp(torch.cat([own, own.new_zeros(1)]), dim=0)
        worth = torch.from_numpy(example.worth).clamp(min=1e-9).log()
        right = torch.logsumexp(own + worth, dim=0) if example.worth.any() else own.new_zeros(())
        total = total + every - right
    return total / len(examples)


def _batch(examples: Sequence[Example], fitted: Fitted) -> Batch:
    longest = max(len(example.meanings) for example in examples)
    padded = [np.pad(example.matches.astype(np.float32), ((0, 0), (0, longest - example.matches.shape[1]), (0, 0))) for example in examples]
    features = np.concatenate([example.features for example in examples]).astype(np.float32)
    arrays = (
        np.stack([np.pad(example.meanings, ((0, longest - len(example.meanings)), (0, 0))) for example in examples]),
        np.stack([np.pad(example.marks, ((0, longest - len(example.marks)), (0, 0))) for example in examples]),
        np.stack([np.arange(longest) < len(example.meanings) for example in examples]),
        np.concatenate(padded),
        (features - fitted.middle) / fitted.scale,
        np.repeat(np.arange(len(examples)), [len(example.worth) for example in examples]),
    )
    return Batch(*map(torch.from_numpy, arrays))


def _gelu(values: Tensor) -> Tensor:
    return functional.gelu(values, approximate="tanh")
