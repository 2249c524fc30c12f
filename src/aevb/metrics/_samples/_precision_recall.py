"""Precision, recall, density and coverage of samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...errors import ArgumentError, check_counts
from .._features import Features, as_features
from .._intervals import (
    HALF_SAMPLE_REPEATS,
    Interval,
    interval_from_halves,
    random_halves,
    widest_interval,
    wilson_interval,
)
from ._feature_tables import feature_tables, random_rows

EQUAL_ROWS_TOLERANCE = 1e-13
"""Squared distance, relative to the squared lengths, below which rows are equal to rounding."""


@dataclass(frozen=True)
class PrecisionRecall:
    """How much two sets cover of each other; all four numbers are 1 for identical sets.

    Args:
        precision: Share of samples within a ball of real data.
        recall: Share of real data within a ball of samples.
        density: Mean number of real balls around a sample, over the number of neighbours.
        coverage: Share of real data with a sample within their ball.
        features: The features.
        n_real: Number of real rows.
        n_generated: Number of samples.
        n_neighbours: Number of neighbours that a ball reaches to.
    """

    precision: Interval
    recall: Interval
    density: Interval
    coverage: Interval
    features: Features
    n_real: int
    n_generated: int
    n_neighbours: int


def precision_recall(
    real: Any,
    generated: Any,
    features: Any = "pixels",
    neighbours: int = 5,
    *,
    repeats: int = HALF_SAMPLE_REPEATS,
    max_rows: int = 3000,
    seed: int = 0,
) -> PrecisionRecall:
    """Compute precision, recall, density and coverage of features.

    The ball of a row reaches to its k-th nearest neighbour in its own set, and contains what is
    nearer than that, or equal to the row. Intervals come from random halves of the rows, and for
    shares from Wilson's score, too. Kynkaanniemi et al., Improved precision and recall metric
    (2019); Naeem et al., Reliable fidelity and diversity metrics (2020).

    Args:
        real: Rows ``[N, *event]``: a tensor, an array or ``Rows``.
        generated: Samples ``[M, *event]``.
        features: As for ``frechet_distance``.
        neighbours: Number of neighbours, k.
        repeats: Number of random halves.
        max_rows: Largest number of rows of a set, chosen at random without repetition.
        seed: Seed of the choice and of the halves.

    Returns:
        The four numbers with their intervals.

    Raises:
        DataError: There are too few rows for the neighbours of a half.
        ArgumentError: ``neighbours`` is below 1, or ``max_rows`` too small for them.

    Example:
        >>> x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
        >>> result = precision_recall(x, x)
        >>> round(result.precision.value, 6), round(result.recall.value, 6)
        (1.0, 1.0)
        >>> round(result.density.value, 6), round(result.coverage.value, 6)
        (1.0, 1.0)
    """
    check_counts(neighbours=neighbours)
    used, least = as_features(features, real), 2 * (neighbours + 1)
    if max_rows < least:
        raise ArgumentError(f"give at least {least}", argument="max_rows", value=max_rows)
    a, b = (
        random_rows(table, max_rows, seed)
        for table in feature_tables(real, generated, used, min_rows=least)
    )
    within_a, within_b, across = (
        _squared_distances(a, a),
        _squared_distances(b, b),
        _squared_distances(a, b),
    )
    parts = [
        _prdc(within_a[i][:, i], within_b[j][:, j], across[i][:, j], neighbours)
        for i, j in zip(
            random_halves(len(a), repeats, seed),
            random_halves(len(b), repeats, seed + 1),
            strict=True,
        )
    ]
    whole, few = _prdc(within_a, within_b, across, neighbours), min(len(a), len(b))
    bounds = ((0.0, 1.0), (0.0, 1.0), (0.0, math.inf), (0.0, 1.0))
    intervals = [
        interval_from_halves(value, halves, few, limits)
        for value, halves, limits in zip(whole.tolist(), torch.stack(parts, 1), bounds, strict=True)
    ]
    # rows that each is a share of: halves do not vary where the share is 0 or 1
    sizes = (len(b), len(a), None, len(a))
    intervals = [
        value if size is None else widest_interval(value, wilson_interval(value.value, size))
        for value, size in zip(intervals, sizes, strict=True)
    ]
    return PrecisionRecall(
        *intervals, features=used, n_real=len(a), n_generated=len(b), n_neighbours=neighbours
    )


def _prdc(within_real: Tensor, within_generated: Tensor, across: Tensor, neighbours: int) -> Tensor:
    """Precision, recall, density and coverage ``[4]`` from squared distances."""
    radius_a, radius_b = (
        table.kthvalue(neighbours + 1, 1).values for table in (within_real, within_generated)
    )
    in_real = (across < radius_a[:, None]) | (across == 0)  # [real, samples]
    in_generated = (across < radius_b[None]) | (across == 0)
    shares = (
        in_real.any(0),
        in_generated.any(1),
        in_real.double().sum(0) / neighbours,
        in_real.any(1),
    )
    return torch.stack([part.double().mean() for part in shares])


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances ``[N, M]``, exactly 0 between equal rows."""
    lengths = a.square().sum(1)[:, None] + b.square().sum(1)
    apart = lengths - 2 * a @ b.T
    return torch.where(apart < EQUAL_ROWS_TOLERANCE * lengths, 0.0, apart)
