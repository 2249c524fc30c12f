"""Disentanglement, completeness and informativeness from forests of decision trees."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .._intervals import Interval, interval_from_halves, random_halves
from .._optional import import_sklearn
from ._factor_table import FactorTable

FOREST_TREES = 10
"""Trees of a forest."""

MAX_FOREST_ROWS = 2000
"""Most rows that a forest is trained on."""


@dataclass(frozen=True)
class DCI:
    """Disentanglement, completeness and informativeness. Eastwood and Williams (2018).

    Args:
        disentanglement: Whether each latent variable depends on a single factor.
        completeness: Whether each factor is captured by a single latent variable.
        informativeness: Accuracy of predicting the factors, on held-out rows.
        importance: Importance of each variable for each factor, ``[latent, F]``; columns sum to 1.
    """

    disentanglement: Interval
    completeness: Interval
    informativeness: Interval
    importance: Tensor


def dci(z: Any, factors: Any, *, repeats: int = 10, seed: int = 0) -> DCI:
    """Compute disentanglement, completeness and informativeness from random forests.

    With ``R_jk`` the importance of variable ``j`` for factor ``k``:
    ``D = sum_j rho_j (1 - H_F(R_j / sum_k R_jk))``, where ``rho_j`` is the variable's share of all
    importance; ``C`` is the same with variables and factors exchanged. Forests train on half of the
    rows, at most 2,000; the other half gives the accuracy.

    Eastwood and Williams, A framework for the quantitative evaluation of disentangled
    representations (2018). Needs scikit-learn.

    Args:
        z: Latents ``[N, latent]``.
        factors: Known factors ``[N, F]``, class numbers.
        repeats: Number of random halves of the rows, for the intervals.
        seed: Seed of the halves and of the forests.

    Returns:
        The three scores with their intervals, 1 at best.

    Raises:
        DataError: Rows are too few, or factors do not vary.
        MissingExtraError: scikit-learn is not installed.
    """
    table = FactorTable.from_arrays(z, factors)
    forests = _fit_forests(table, torch.arange(len(table.z)), seed)
    halves = [
        _fit_forests(table, half, seed + 1 + index)
        for index, half in enumerate(random_halves(len(table.z), repeats, seed))
    ]
    values = torch.stack([_dci_scores(half) for half in halves], 1)
    intervals = [
        interval_from_halves(value, column, len(table.z), (0.0, 1.0))
        for value, column in zip(_dci_scores(forests).tolist(), values, strict=True)
    ]
    return DCI(*intervals, importance=forests.importance)


@dataclass(frozen=True)
class _ForestScores:
    importance: Tensor  # [latent, F]
    accuracy: Tensor  # [F]


def _fit_forests(table: FactorTable, rows: Tensor, seed: int) -> _ForestScores:
    """One forest for each factor, trained on one half of the rows and tested on the other."""
    ensemble = import_sklearn("ensemble", "DCI scores")
    # trees depend on the order of values alone, and scikit-learn computes in float32
    largest = table.z.abs().amax(0).clamp(min=1e-300)
    parts = (
        part.subset(torch.arange(min(MAX_FOREST_ROWS, len(part.z))))
        for part in table.split(rows, seed)
    )
    train, test = (replace(part, z=part.z / largest) for part in parts)
    importance, accuracy = [], []
    for labels, truth in zip(train.factors.T, test.factors.T, strict=True):
        # every split sees all variables, so that none without information is chosen
        forest = ensemble.RandomForestClassifier(FOREST_TREES, max_features=None, random_state=seed)
        forest.fit(train.z.numpy(), labels.numpy())
        importance.append(torch.from_numpy(forest.feature_importances_))
        accuracy.append(float(forest.score(test.z.numpy(), truth.numpy())))
    return _ForestScores(torch.stack(importance, 1), torch.tensor(accuracy, dtype=torch.float64))


def _dci_scores(forests: _ForestScores) -> Tensor:
    """Disentanglement, completeness, informativeness ``[3]``."""
    weights = forests.importance.sum(1) / forests.importance.sum().clamp(min=1e-300)
    disentanglement = (weights * _concentration(forests.importance)).sum()
    return torch.stack(
        [disentanglement, _concentration(forests.importance.T).mean(), forests.accuracy.mean()]
    )


def _concentration(table: Tensor) -> Tensor:
    """``1 - H(row / sum) / log(columns)`` for each row; 0 for a row of zeros."""
    if table.shape[1] == 1:
        return torch.ones(len(table), dtype=table.dtype)
    total = table.sum(1, keepdim=True)
    p = table / total.clamp(min=1e-300)
    return torch.where(
        total[:, 0] > 0, 1 + torch.special.xlogy(p, p).sum(1) / math.log(table.shape[1]), 0.0
    )
