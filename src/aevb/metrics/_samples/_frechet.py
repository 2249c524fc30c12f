"""The distance of two clouds of features, as Gaussians."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...data._formatting import format_count
from ...errors import ArgumentError, DataError
from .._features import Features, as_features
from .._intervals import JACKKNIFE_GROUPS, Interval, jackknife
from ._feature_tables import feature_tables, random_group_pairs

EIGENVALUE_TOLERANCE = 1e-6  # of the largest eigenvalue: moments of float32 features are no better


@dataclass(frozen=True)
class FrechetDistance:
    """Squared distance between the Gaussians with the moments of two sets of features."""

    distance: Interval  # as it is computed and published; few rows make it too large
    bias_corrected: (
        Interval | None
    )  # without that bias, may be below 0 where the truth is 0; None: no more rows than features, so nobody can tell
    features: Features
    n_real: int  # rows
    n_generated: int
    dimensions: int
    n_constant: int  # features that are the same for all rows of either set

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the number should know."""
        sizes = f"{format_count(min(self.n_real, self.n_generated), 'row')} for {format_count(self.dimensions, 'feature')}"
        same = f"{self.n_constant} of {format_count(self.dimensions, 'feature')} are the same for all rows of a set."
        told = []
        if self.bias_corrected is None:
            told.append(
                f"{sizes}: the plain distance is much too large, nobody can tell by how much; compare in fewer features."
            )
        elif (
            self.distance.value - self.bias_corrected.value
            > self.distance.high - self.distance.value
        ):
            bias = self.distance.format_number(self.distance.value - self.bias_corrected.value)
            told.append(f"{sizes}: of the plain distance {bias} is bias; compare like with like.")
        return (*told, *((same,) if self.n_constant else ()))


def gaussian_frechet_distance(
    mean_a: Tensor, covariance_a: Tensor, mean_b: Tensor, covariance_b: Tensor
) -> float:
    """``|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2))`` of two Gaussians: means ``[D]``, covariances ``[D, D]``.

    The trace of the root is the sum of the singular values of ``R_a^T R_b`` with ``S = R R^T``: exact for singular covariances, too,
    where the root of the product does not exist in floating point.

    Dowson and Landau, The Frechet distance between multivariate normal distributions (1982).

    Raises ``ArgumentError`` for other shapes, and for a covariance that is none.

    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> round(gaussian_frechet_distance(one[0], one, 4 * one[0], 9 * one), 9)
    13.0
    """
    mean_a, covariance_a, mean_b, covariance_b = (
        torch.as_tensor(x).double() for x in (mean_a, covariance_a, mean_b, covariance_b)
    )
    size = mean_a.numel()
    for name, value, shape in (("mean_a", mean_a, (size,)), ("mean_b", mean_b, (size,))):
        if value.shape != shape:
            raise ArgumentError(
                f"`{name}` has the shape {tuple(value.shape)}; give two means of one length, [D]."
            )
    for name, value in (("covariance_a", covariance_a), ("covariance_b", covariance_b)):
        if value.shape != (size, size):
            raise ArgumentError(
                f"`{name}` has the shape {tuple(value.shape)}; give that of {size} features, {(size, size)}."
            )
    root = torch.linalg.svdvals(
        _covariance_root("covariance_a", covariance_a).T
        @ _covariance_root("covariance_b", covariance_b)
    ).sum()
    apart = (mean_a - mean_b).square().sum()
    return (apart + covariance_a.trace() + covariance_b.trace() - 2 * root).clamp(min=0).item()


def frechet_distance(
    real: Any,
    generated: Any,
    features: Any = "pixels",
    *,
    groups: int = JACKKNIFE_GROUPS,
    seed: int = 0,
) -> FrechetDistance:
    """The Frechet distance of features of two sets of data ``[N, *event]``, with an interval by the jackknife.

    ``features`` are ``"pixels"`` (the numbers as they are), ``"standardised"`` and ``"pca"`` (by the real rows), the path of a ``.pt2`` or
    ``.onnx`` network, a function, or ``metrics.features.encoder(model)``. ``groups`` of rows of both sets are left out in turn.

    Heusel et al., GANs trained by a two time-scale update rule (2017); Chong and Forsyth, Effectively unbiased FID (2020), on its bias.
    Raises ``DataError`` for fewer than 4 rows, and for features that are constant over each set.

    >>> x = torch.randn(200, 3)
    >>> (
    ...     frechet_distance(x, x).distance.value < 1e-9,
    ...     frechet_distance(x, x + 1).distance.value > 2.9,
    ... )
    (True, True)
    """
    used = as_features(features, real)
    a, b = feature_tables(real, generated, used, min_rows=4)
    constant = int(((a == a[0]).all(0) | (b == b[0]).all(0)).sum())
    if (a == a[0]).all() and (b == b[0]).all():
        raise DataError(
            f'every one of the {a.shape[1]} features "{used.name}" is constant over `real`, and over `generated`: no distance of clouds '
            "can be measured where nothing varies; give rows that differ, or features that tell them apart."
        )
    sets = [
        _GroupedMoments.from_table(table, group)
        for table, group in zip((a, b), random_group_pairs(a, b, groups, seed), strict=True)
    ]
    whole = gaussian_frechet_distance(*sets[0].overall, *sets[1].overall)
    without = [
        gaussian_frechet_distance(*sets[0].excluding_group(g), *sets[1].excluding_group(g))
        for g in range(len(sets[0].sizes))
    ]
    found = jackknife(whole, torch.tensor(without, dtype=torch.float64), bounds=(0.0, math.inf))
    least = min(
        int(len(part.table) - part.sizes.max()) for part in sets
    )  # rows that a covariance is ever made of
    corrected = found.bias_corrected if least > a.shape[1] - constant else None
    return FrechetDistance(found.uncorrected, corrected, used, len(a), len(b), a.shape[1], constant)


@dataclass(frozen=True)
class _GroupedMoments:
    """Sums of features and of their products, over all rows, and what each group of rows has in them."""

    table: Tensor  # [N, D], centred at the mean of all rows
    centre: Tensor  # [D]
    scatter: Tensor  # [D, D]
    group: Tensor  # [N]
    sizes: Tensor  # [G]

    @staticmethod
    def from_table(table: Tensor, group: Tensor) -> _GroupedMoments:
        centre = table.mean(0)
        centred = table - centre
        return _GroupedMoments(centred, centre, centred.T @ centred, group, torch.bincount(group))

    @property
    def overall(self) -> tuple[Tensor, Tensor]:
        return self.centre, self.scatter / (len(self.table) - 1)

    def excluding_group(self, group: int) -> tuple[Tensor, Tensor]:
        """Mean and covariance of the rows that are not in this group."""
        out = self.table[self.group == group]
        rest = len(self.table) - len(out)
        shift = -out.sum(0) / rest
        return self.centre + shift, (
            self.scatter - out.T @ out - rest * torch.outer(shift, shift)
        ) / (rest - 1)


def _covariance_root(name: str, covariance: Tensor) -> Tensor:
    """``R`` with ``R R^T`` the covariance, which may be singular; what rounding made negative counts as 0."""
    values, vectors = torch.linalg.eigh(covariance)
    if len(values) and values[0] < -EIGENVALUE_TOLERANCE * values.abs().max():
        raise ArgumentError(
            f"`{name}` has the eigenvalue {values[0].item():.3g}, and those of a covariance are 0 or more."
        )
    return vectors * values.clamp(min=0).sqrt()
