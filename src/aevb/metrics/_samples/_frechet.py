"""Frechet distance: the distance of two sets of features as Gaussians."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...data._formatting import format_count
from ...errors import ArgumentError, DataError
from ...notes import Note
from .._features import Features, as_features
from .._intervals import JACKKNIFE_GROUPS, Interval, jackknife
from ._feature_tables import feature_tables, random_group_pairs

EIGENVALUE_TOLERANCE = 1e-6
"""Relative error of eigenvalues: moments of float32 features are no more precise."""


@dataclass(frozen=True)
class FrechetDistance:
    """Squared distance between the Gaussians with the moments of two sets of features.

    Args:
        distance: As it is usually computed and published; few rows make it too large.
        bias_corrected: Without that bias; may be below 0 where the true distance is 0. ``None``
            without more rows than features, where the bias is unknown.
        features: The features.
        n_real: Number of real rows.
        n_generated: Number of samples.
        dimensions: Number of features.
        n_constant_features: Number of features that are constant over either set.
    """

    distance: Interval
    bias_corrected: Interval | None
    features: Features
    n_real: int
    n_generated: int
    dimensions: int
    n_constant_features: int

    @property
    def notes(self) -> tuple[Note, ...]:
        """Bias and constant features, where there are any."""
        features = format_count(self.dimensions, "feature")
        sizes = f"{format_count(min(self.n_real, self.n_generated), 'row')} for {features}"
        counts = {"rows": min(self.n_real, self.n_generated), "features": self.dimensions}
        notes = []
        if self.bias_corrected is None:
            notes.append(
                Note(
                    "frechet_bias_unknown",
                    f"{sizes}: the plain distance is much too large, by an unknown amount; compare "
                    "in fewer features.",
                    "warning",
                    counts,
                )
            )
        elif (bias := self.distance.value - self.bias_corrected.value) > (
            self.distance.high - self.distance.value
        ):
            text = self.distance.format_number(bias)
            notes.append(
                Note(
                    "frechet_bias",
                    f"{sizes}: of the plain distance {text} is bias; compare only numbers with as "
                    "many rows.",
                    data={**counts, "bias": bias},
                )
            )
        if self.n_constant_features:
            notes.append(
                Note(
                    "constant_features",
                    f"{self.n_constant_features} of {features} are the same for all rows of a set.",
                    data={"constant": self.n_constant_features, "features": self.dimensions},
                )
            )
        return tuple(notes)


def gaussian_frechet_distance(
    mean_a: Tensor, covariance_a: Tensor, mean_b: Tensor, covariance_b: Tensor
) -> float:
    """Compute the Frechet distance of two Gaussians.

    ``|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2))``. The trace of the root is the sum of the
    singular values of ``R_a^T R_b`` with ``S = R R^T``: exact for singular covariances, too, where
    the root of the product does not exist in floating point.

    Dowson and Landau, The Frechet distance between multivariate normal distributions (1982).

    Args:
        mean_a: Mean of the first, ``[D]``.
        covariance_a: Its covariance, ``[D, D]``.
        mean_b: Mean of the second, ``[D]``.
        covariance_b: Its covariance, ``[D, D]``.

    Returns:
        The squared distance.

    Raises:
        ArgumentError: Shapes differ, or a covariance has a negative eigenvalue.

    Example:
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
                f"`{name}` has the shape {tuple(value.shape)}; give two means of one length, [D]",
                argument=name,
            )
    for name, value in (("covariance_a", covariance_a), ("covariance_b", covariance_b)):
        if value.shape != (size, size):
            raise ArgumentError(
                f"`{name}` has the shape {tuple(value.shape)}; give {(size, size)}, for {size} "
                "features",
                argument=name,
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
    """Compute the Frechet distance of the features of two sets, with a jackknife interval.

    Heusel et al., GANs trained by a two time-scale update rule (2017); Chong and Forsyth,
    Effectively unbiased FID (2020), on its bias.

    Args:
        real: Rows ``[N, *event]``: a tensor, an array or ``Rows``.
        generated: Samples ``[M, *event]``.
        features: ``"pixels"`` (the values), ``"standardised"`` or ``"pca"`` (by the real rows), the
            path of a ``.pt2`` or ``.onnx`` network, a function, or ``encoder_features(model)``.
        groups: Groups of rows of both sets that the jackknife leaves out in turn.
        seed: Seed of the groups.

    Returns:
        The distance with and without its bias.

    Raises:
        DataError: There are fewer than 4 rows, or all features are constant over both sets.
        ArgumentError: ``features`` is not known, or ``groups`` is below 2.

    Example:
        >>> x = torch.randn(200, 3)
        >>> frechet_distance(x, x).distance.value < 1e-9
        True
        >>> frechet_distance(x, x + 1).distance.value > 2.9
        True
    """
    used = as_features(features, real)
    a, b = feature_tables(real, generated, used, min_rows=4)
    constant_a, constant_b = (table.amin(0) == table.amax(0) for table in (a, b))
    constant = int((constant_a | constant_b).sum())
    if constant_a.all() and constant_b.all():
        raise DataError(
            f'each of the {a.shape[1]} features "{used.name}" is constant over `real`, and over '
            "`generated`, so that there is no distance of distributions",
            suggestions=("Give rows that differ, or features that differ between them",),
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
    result = jackknife(whole, torch.tensor(without, dtype=torch.float64), bounds=(0.0, math.inf))
    fewest = min(int(len(part.table) - part.sizes.max()) for part in sets)  # rows of a covariance
    corrected = result.bias_corrected if fewest > a.shape[1] - constant else None
    return FrechetDistance(result.plug_in, corrected, used, len(a), len(b), a.shape[1], constant)


@dataclass(frozen=True)
class _GroupedMoments:
    """Moments of all rows, and of all rows without one group."""

    table: Tensor  # [N, D], centred at the mean of all rows
    centre: Tensor  # [D]
    scatter: Tensor  # [D, D]
    group: Tensor  # [N]
    sizes: Tensor  # [G]

    @staticmethod
    def from_table(table: Tensor, group: Tensor) -> _GroupedMoments:
        """Moments of the rows ``[N, D]``."""
        centre = table.mean(0)
        centred = table - centre
        return _GroupedMoments(centred, centre, centred.T @ centred, group, torch.bincount(group))

    @property
    def overall(self) -> tuple[Tensor, Tensor]:
        """Mean and covariance of all rows."""
        return self.centre, self.scatter / (len(self.table) - 1)

    def excluding_group(self, group: int) -> tuple[Tensor, Tensor]:
        """Mean and covariance of the rows that are not in this group."""
        excluded = self.table[self.group == group]
        rest = len(self.table) - len(excluded)
        shift = -excluded.sum(0) / rest
        return self.centre + shift, (
            self.scatter - excluded.T @ excluded - rest * torch.outer(shift, shift)
        ) / (rest - 1)


def _covariance_root(name: str, covariance: Tensor) -> Tensor:
    """``R`` with ``R R^T`` the covariance; eigenvalues that rounding made negative count as 0."""
    values, vectors = torch.linalg.eigh(covariance)
    if len(values) and values[0] < -EIGENVALUE_TOLERANCE * values.abs().max():
        raise ArgumentError(
            f"`{name}` has the eigenvalue {values[0].item():.3g}, and those of a covariance are 0 "
            "or more",
            argument=name,
        )
    return vectors * values.clamp(min=0).sqrt()
