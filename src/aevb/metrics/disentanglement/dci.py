"""Disentanglement, completeness and informativeness from forests of decision trees."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..optional import scikit
from ..ranged import Ranged, from_halves, halves
from .scene import Scene

TREES, DEEP = 10, 2000  # of a forest, and the rows it grows on at most


@dataclass(frozen=True)
class DCI:
    """Eastwood and Williams: does a code tell one factor, is a factor told by one code, and is it told at all."""

    disentanglement: Ranged
    completeness: Ranged
    informativeness: Ranged  # accuracy on rows that the forests have not seen
    importance: Tensor  # [latent, F], columns sum to 1


def dci(codes: Any, factors: Any, *, repeats: int = 10, seed: int = 0) -> DCI:
    """Disentanglement, completeness and informativeness from what forests of decision trees use to name each factor.

    With ``R_jk`` the importance of code ``j`` for factor ``k``: ``D = sum_j rho_j (1 - H_F(R_j / sum_k R_jk))``, ``rho_j`` being the code's
    share of all importance; ``C`` is the same with codes and factors exchanged. Forests grow on half of the rows, at most 2,000; the
    other half gives the accuracy.

    Eastwood and Williams, A framework for the quantitative evaluation of disentangled representations (2018). Needs scikit-learn.
    """
    scene = Scene.of(codes, factors)
    whole = _forests(scene, torch.arange(len(scene.codes)), seed)
    parts = [_forests(scene, half, seed + 1 + place) for place, half in enumerate(halves(len(scene.codes), repeats, seed))]
    values = torch.stack([_dci(part) for part in parts], 1)
    found = [from_halves(value, column, len(scene.codes), (0.0, 1.0)) for value, column in zip(_dci(whole).tolist(), values, strict=True)]
    return DCI(*found, importance=whole.importance)


@dataclass(frozen=True)
class _Forests:
    importance: Tensor  # [latent, F]
    accuracy: Tensor  # [F]


def _forests(scene: Scene, rows: Tensor, seed: int) -> _Forests:
    ensemble = scikit("ensemble", "DCI scores")
    reach = scene.codes.abs().amax(0).clamp(min=1e-300)  # trees know order alone, and scikit-learn float32 alone
    parts = (part.some(torch.arange(min(DEEP, len(part.codes)))) for part in scene.split(rows, seed))
    known, asked = (replace(part, codes=part.codes / reach) for part in parts)
    importance, accuracy = [], []
    for learnt, truth in zip(known.factors.T, asked.factors.T, strict=True):
        # every split sees all codes: one that tells nothing is then chosen by none
        forest = ensemble.RandomForestClassifier(TREES, max_features=None, random_state=seed)
        forest.fit(known.codes.numpy(), learnt.numpy())
        importance.append(torch.from_numpy(forest.feature_importances_))
        accuracy.append(float(forest.score(asked.codes.numpy(), truth.numpy())))
    return _Forests(torch.stack(importance, 1), torch.tensor(accuracy, dtype=torch.float64))


def _dci(found: _Forests) -> Tensor:
    """Disentanglement, completeness, informativeness ``[3]``."""
    weights = found.importance.sum(1) / found.importance.sum().clamp(min=1e-300)
    disentangled = (weights * _concentration(found.importance)).sum()
    return torch.stack([disentangled, _concentration(found.importance.T).mean(), found.accuracy.mean()])


def _concentration(table: Tensor) -> Tensor:
    """``1 - H(row / sum) / log(columns)`` for each row; 0 for a row of zeros."""
    if table.shape[1] == 1:
        return torch.ones(len(table), dtype=table.dtype)
    total = table.sum(1, keepdim=True)
    p = table / total.clamp(min=1e-300)
    return torch.where(total[:, 0] > 0, 1 + torch.special.xlogy(p, p).sum(1) / math.log(table.shape[1]), 0.0)
