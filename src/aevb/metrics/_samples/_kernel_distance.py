"""Kernel distance: the maximum mean discrepancy of two sets of features."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import ArgumentError
from .._features import Features, as_features
from .._intervals import JACKKNIFE_GROUPS, Interval, jackknife
from ._feature_tables import feature_tables, random_group_pairs, random_rows

KERNEL_DEGREE = 3


@dataclass(frozen=True)
class KernelDistance:
    """Unbiased squared maximum mean discrepancy with the kernel ``(x . y / D + 1)^3``.

    Args:
        distance: The distance; below 0 by chance where the distributions agree.
        features: The features.
        n_real: Number of real rows.
        n_generated: Number of samples.
    """

    distance: Interval
    features: Features
    n_real: int
    n_generated: int


def kernel_distance(
    real: Any,
    generated: Any,
    features: Any = "pixels",
    *,
    groups: int = JACKKNIFE_GROUPS,
    max_rows: int = 5000,
    seed: int = 0,
) -> KernelDistance:
    """Compute ``E k(x, x') + E k(y, y') - 2 E k(x, y)`` of features, with a jackknife interval.

    ``k(x, y) = (x . y / D + 1)^3``; pairs of a row with itself are left out. Binkowski et al.,
    Demystifying MMD GANs (2018).

    Args:
        real: Rows ``[N, *event]``: a tensor, an array or ``Rows``.
        generated: Samples ``[M, *event]``.
        features: As for ``frechet_distance``.
        groups: Groups of rows of both sets that the jackknife leaves out in turn.
        max_rows: Largest number of rows of a set, chosen at random without repetition.
        seed: Seed of the choice and of the groups.

    Returns:
        The distance with its interval.

    Raises:
        DataError: There are fewer than 4 rows.
        ArgumentError: ``max_rows`` is below 4, or ``groups`` below 2.

    Example:
        >>> x = torch.randn(500, 4)
        >>> bool(kernel_distance(x[:250], x[250:] + 1).distance.low > 0)
        True
    """
    if max_rows < 4:
        raise ArgumentError("use at least 4", argument="max_rows", value=max_rows)
    used = as_features(features, real)
    a, b = (
        random_rows(table, max_rows, seed)
        for table in feature_tables(real, generated, used, min_rows=4)
    )
    groups_a, groups_b = random_group_pairs(a, b, groups, seed)
    within = [
        _WithinSetSums(_kernel_sums(table, table, group, group, include_diagonal=False), group)
        for table, group in ((a, groups_a), (b, groups_b))
    ]
    across = _kernel_sums(a, b, groups_a, groups_b)
    without = [_squared_mmd(within, across, g) for g in range(int(groups_a.max()) + 1)]
    result = jackknife(
        _squared_mmd(within, across, None), torch.tensor(without, dtype=torch.float64)
    )
    return KernelDistance(result.plug_in, used, len(a), len(b))


@dataclass(frozen=True)
class _WithinSetSums:
    """Sums of the kernel over pairs of rows within one set, by their groups ``[G, G]``."""

    sums: Tensor
    group: Tensor

    def mean(self, excluded_group: int | None) -> Tensor:
        """Mean of the kernel over pairs of different rows."""
        rows = (
            len(self.group) if excluded_group is None else int((self.group != excluded_group).sum())
        )
        return _sum_excluding_group(self.sums, excluded_group) / (rows * (rows - 1))


def _squared_mmd(within: list[_WithinSetSums], across: Tensor, excluded_group: int | None) -> float:
    """The squared distance, of all rows or without one group."""
    sizes = [
        len(part.group) if excluded_group is None else int((part.group != excluded_group).sum())
        for part in within
    ]
    cross = _sum_excluding_group(across, excluded_group) / math.prod(sizes)
    return (within[0].mean(excluded_group) + within[1].mean(excluded_group) - 2 * cross).item()


def _sum_excluding_group(sums: Tensor, excluded_group: int | None) -> Tensor:
    """The sum over all pairs of groups without the excluded one."""
    if excluded_group is None:
        return sums.sum()
    return (
        sums.sum()
        - sums[excluded_group].sum()
        - sums[:, excluded_group].sum()
        + sums[excluded_group, excluded_group]
    )


def _kernel_sums(
    a: Tensor, b: Tensor, groups_a: Tensor, groups_b: Tensor, include_diagonal: bool = True
) -> Tensor:
    """Sums of the kernel by groups ``[G, G]``, a block of rows at a time."""
    membership = F.one_hot(groups_b, int(groups_b.max()) + 1).double()
    sums = torch.zeros(int(groups_a.max()) + 1, membership.shape[1], dtype=torch.float64)
    for start in range(0, len(a), 512):
        rows = slice(start, start + 512)
        values = (a[rows] @ b.T / a.shape[1] + 1) ** KERNEL_DEGREE
        if not include_diagonal:
            values[torch.arange(len(values)), torch.arange(start, start + len(values))] = 0
        sums.index_add_(0, groups_a[rows], values @ membership)
    return sums
