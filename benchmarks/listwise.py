"""Linear ranking by the share that the right rows of a list have in a softmax over all of its rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Table = NDArray[np.float64]


def fit(tables: Sequence[Table], rights: Sequence[NDArray[np.bool_]], strength: float) -> Table:
    """Weights [k] that put right rows first, from lists of features [n, k] and which rows are right [n]; lists without one are left out.

    `strength` holds the weights of scaled features near 0.
    """
    chosen = [(table, right) for table, right in zip(tables, rights, strict=True) if right.any()]
    scale = np.concatenate([table for table, _ in chosen]).std(axis=0) + 1e-6

    def loss(weights: Table) -> tuple[float, Table]:
        value, slope = strength * len(chosen) * float(weights @ weights), 2 * strength * len(chosen) * weights
        for table, right in chosen:
            rows = table / scale
            scores = rows @ weights
            all_of, right_of = _softmax(scores), _softmax(np.where(right, scores, -np.inf))
            value -= float(_log_sum(scores[right]) - _log_sum(scores))
            slope = slope - (right_of - all_of) @ rows
        return value, slope

    found = minimize(loss, np.zeros(len(scale)), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return np.asarray(found.x / scale, np.float64)


def _softmax(scores: Table) -> Table:
    weights = np.exp(scores - scores.max())
    return np.asarray(weights / weights.sum(), np.float64)


def _log_sum(scores: Table) -> float:
    top = float(scores.max())
    return top + float(np.log(np.exp(scores - top).sum()))
