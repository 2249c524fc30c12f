"""The distance of two clouds of features, by a kernel."""

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

KERNEL_DEGREE = 3  # of the kernel


@dataclass(frozen=True)
class KernelDistance:
    """The squared maximum mean discrepancy with the kernel ``(x . y / D + 1)^3``, without bias: below 0 by chance where sets agree."""

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
    """``E k(x, x') + E k(y, y') - 2 E k(x, y)`` of features, pairs of a row with itself left out, with an interval by the jackknife.

    ``k(x, y) = (x . y / D + 1)^3``. Of more than ``rows`` rows that many are taken at random, without repetition.

    Binkowski et al., Demystifying MMD GANs (2018). Raises ``DataError`` for fewer than 4 rows.

    >>> x = torch.randn(500, 4)
    >>> bool(kernel_distance(x[:250], x[250:] + 1).distance.low > 0)
    True
    """
    if max_rows < 4:
        raise ArgumentError(f"`rows` is {max_rows}; take at least 4.")
    used = as_features(features, real)
    a, b = (
        random_rows(table, max_rows, seed)
        for table in feature_tables(real, generated, used, min_rows=4)
    )
    of_a, of_b = random_group_pairs(a, b, groups, seed)
    within = [
        _WithinSetSums(_kernel_sums(table, table, of, of, include_diagonal=False), of)
        for table, of in ((a, of_a), (b, of_b))
    ]
    across = _kernel_sums(a, b, of_a, of_b)
    without = [_squared_mmd(within, across, g) for g in range(int(of_a.max()) + 1)]
    found = jackknife(
        _squared_mmd(within, across, None), torch.tensor(without, dtype=torch.float64)
    )
    return KernelDistance(found.uncorrected, used, len(a), len(b))


@dataclass(frozen=True)
class _WithinSetSums:
    """Sums of the kernel over pairs of rows within one set, by their groups ``[G, G]``."""

    sums: Tensor
    group: Tensor

    def mean(self, excluded_group: int | None) -> Tensor:
        rows = (
            len(self.group) if excluded_group is None else int((self.group != excluded_group).sum())
        )
        return _sum_excluding_group(self.sums, excluded_group) / (rows * (rows - 1))


def _squared_mmd(within: list[_WithinSetSums], across: Tensor, excluded_group: int | None) -> float:
    sizes = [
        len(part.group) if excluded_group is None else int((part.group != excluded_group).sum())
        for part in within
    ]
    cross = _sum_excluding_group(across, excluded_group) / math.prod(sizes)
    return (within[0].mean(excluded_group) + within[1].mean(excluded_group) - 2 * cross).item()


def _sum_excluding_group(sums: Tensor, excluded_group: int | None) -> Tensor:
    """The sum over all groups but one, on either side."""
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
    by_b = F.one_hot(groups_b, int(groups_b.max()) + 1).double()
    sums = torch.zeros(int(groups_a.max()) + 1, by_b.shape[1], dtype=torch.float64)
    for start in range(0, len(a), 512):
        rows = slice(start, start + 512)
        values = (a[rows] @ b.T / a.shape[1] + 1) ** KERNEL_DEGREE
        if not include_diagonal:
            values[torch.arange(len(values)), torch.arange(start, start + len(values))] = 0
        sums.index_add_(0, groups_a[rows], values @ by_b)
    return sums
