"""Logistic regression with weighted rows, pulled towards zero: fits the reader's heads and the evidence of `surrogates.answerable`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from surrogates.reader_weights import Head

Table = NDArray[np.float64]


def fit(table: Table, right: Table, weight: Table, strength: float) -> Head:
    """From features [n, k], labels 0 or 1 and weights [n]; `strength` pulls the weights of scaled features."""
    middle, scale = table.mean(axis=0), table.std(axis=0) + 1e-6
    rows = np.column_stack([(table - middle) / scale, np.ones(len(table))])

    def loss(weights: Table) -> tuple[float, Table]:
        logits = rows @ weights
        pull = strength * np.append(weights[:-1], 0.0)
        value = float(weight @ (np.logaddexp(0, logits) - right * logits) + 0.5 * pull @ weights)
        return value, rows.T @ (weight * (1 / (1 + np.exp(-logits)) - right)) + pull

    solved = minimize(loss, np.zeros(rows.shape[1]), jac=True, method="L-BFGS-B").x
    weights = solved[:-1] / scale
    return Head(weights, float(solved[-1] - weights @ middle))
