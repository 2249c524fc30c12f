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

FOREST_TREES, MAX_FOREST_ROWS = 10, 2000  # of a forest, and the rows it grows on at most


@dataclass(frozen=True)
class DCI:
    """Eastwood and Williams: does a code tell one factor, is a factor told by one code, and is it told at all."""

    disentanglement: Interval
    completeness: Interval
    informativeness: Interval  # accuracy on rows that the forests have not seen
    importance: Tensor  # [latent, F], columns sum to 1


def dci(z: Any, factors: Any, *, repeats: int = 10, seed: int = 0) -> DCI:
    """Disentanglement, completeness and informativeness from what forests of decision trees use to name each factor.

    With ``R_jk`` the importance of code ``j`` for factor ``k``: ``D = sum_j rho_j (1 - H_F(R_j / sum_k R_jk))``, ``rho_j`` being the code's
    share of all importance; ``C`` is the same with codes and factors exchanged. Forests grow on half of the rows, at most 2,000; the
    other half gives the accuracy.

    Eastwood and Williams, A framework for the quantitative evaluation of disentangled representations (2018). Needs scikit-learn.
    """
    scene = FactorTable.from_arrays(z, factors)
    whole = _fit_forests(scene, torch.arange(len(scene.z)), seed)
    parts = [
        _fit_forests(scene, half, seed + 1 + place)
        for place, half in enumerate(random_halves(len(scene.z), repeats, seed))
    ]
    values = torch.stack([_dci_scores(part) for part in parts], 1)
    found = [
        interval_from_halves(value, column, len(scene.z), (0.0, 1.0))
        for value, column in zip(_dci_scores(whole).tolist(), values, strict=True)
    ]
    return DCI(*found, importance=whole.importance)


@dataclass(frozen=True)
class _ForestScores:
    importance: Tensor  # [latent, F]
    accuracy: Tensor  # [F]


def _fit_forests(table: FactorTable, rows: Tensor, seed: int) -> _ForestScores:
    ensemble = import_sklearn("ensemble", "DCI scores")
    reach = (
        table.z.abs().amax(0).clamp(min=1e-300)
    )  # trees know order alone, and scikit-learn float32 alone
    parts = (
        part.subset(torch.arange(min(MAX_FOREST_ROWS, len(part.z))))
        for part in table.split(rows, seed)
    )
    known, asked = (replace(part, z=part.z / reach) for part in parts)
    importance, accuracy = [], []
    for learnt, truth in zip(known.factors.T, asked.factors.T, strict=True):
        # every split sees all codes: one that tells nothing is then chosen by none
        forest = ensemble.RandomForestClassifier(FOREST_TREES, max_features=None, random_state=seed)
        forest.fit(known.z.numpy(), learnt.numpy())
        importance.append(torch.from_numpy(forest.feature_importances_))
        accuracy.append(float(forest.score(asked.z.numpy(), truth.numpy())))
    return _ForestScores(torch.stack(importance, 1), torch.tensor(accuracy, dtype=torch.float64))


def _dci_scores(forests: _ForestScores) -> Tensor:
    """Disentanglement, completeness, informativeness ``[3]``."""
    weights = forests.importance.sum(1) / forests.importance.sum().clamp(min=1e-300)
    disentangled = (weights * _concentration(forests.importance)).sum()
    return torch.stack(
        [disentangled, _concentration(forests.importance.T).mean(), forests.accuracy.mean()]
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
