"""What two clouds of features cover of each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...errors import ArgumentError
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

EQUAL_ROWS_TOLERANCE = 1e-13  # of their squared lengths: two rows whose squared distance is below it are the same up to rounding


@dataclass(frozen=True)
class PrecisionRecall:
    """What two clouds cover of each other; all four are 1 for identical sets."""

    precision: Interval  # share of samples inside of a ball of real data
    recall: Interval  # share of real data inside of a ball of samples
    density: Interval  # mean number of real balls around a sample, over the number of neighbours
    coverage: Interval  # share of real data with a sample inside of their ball
    features: Features
    n_real: int
    n_generated: int
    neighbours: int


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
    """Precision, recall, density and coverage of features, with intervals from random halves of the rows, and for shares Wilson's, too.

    The ball of a row reaches to the nearest but ``neighbours`` of its own set; what lies inside is nearer than that, or equal to the
    row. Of more than ``rows`` rows that many are taken at random, without repetition.

    Kynkaanniemi et al., Improved precision and recall metric (2019); Naeem et al., Reliable fidelity and diversity metrics (2020).
    Raises ``DataError`` for too few rows to halve them.

    >>> x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    >>> found = precision_recall(x, x)
    >>> [
    ...     round(one.value, 6)
    ...     for one in (found.precision, found.recall, found.density, found.coverage)
    ... ]
    [1.0, 1.0, 1.0, 1.0]
    """
    if neighbours < 1:
        raise ArgumentError(f"`neighbours` is {neighbours}; give at least 1.")
    used, least = as_features(features, real), 2 * (neighbours + 1)
    if max_rows < least:
        raise ArgumentError(f"`rows` is {max_rows}; give at least {least}.")
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
    ranged = [
        interval_from_halves(value, of_halves, few, within)
        for value, of_halves, within in zip(
            whole.tolist(), torch.stack(parts, 1), bounds, strict=True
        )
    ]
    sizes = (
        len(b),
        len(a),
        None,
        len(a),
    )  # rows that each is a share of: of all or none, halves have none left to differ by
    ranged = [
        value if size is None else widest_interval(value, wilson_interval(value.value, size))
        for value, size in zip(ranged, sizes, strict=True)
    ]
    return PrecisionRecall(
        *ranged, features=used, n_real=len(a), n_generated=len(b), neighbours=neighbours
    )


def _prdc(within_real: Tensor, within_generated: Tensor, across: Tensor, neighbours: int) -> Tensor:
    """Precision, recall, density, coverage ``[4]`` from squared distances of real rows, samples, and one to the other."""
    radius_a, radius_b = (
        table.kthvalue(neighbours + 1, 1).values for table in (within_real, within_generated)
    )
    in_real = (across < radius_a[:, None]) | (across == 0)  # [real, samples]
    in_made = (across < radius_b[None]) | (across == 0)
    shares = in_real.any(0), in_made.any(1), in_real.double().sum(0) / neighbours, in_real.any(1)
    return torch.stack([part.double().mean() for part in shares])


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances ``[N, M]``, exactly 0 between equal rows."""
    lengths = a.square().sum(1)[:, None] + b.square().sum(1)
    apart = lengths - 2 * a @ b.T
    return torch.where(apart < EQUAL_ROWS_TOLERANCE * lengths, 0.0, apart)
