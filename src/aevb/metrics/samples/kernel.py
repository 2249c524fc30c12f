"""The distance of two clouds of features, by a kernel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import ArgumentError
from ..features import Features, as_features
from ..ranged import GROUPS, Ranged, jackknife
from .both import both, groups_of, some

DEGREE = 3  # of the kernel


@dataclass(frozen=True)
class KernelDistance:
    """The squared maximum mean discrepancy with the kernel ``(x . y / D + 1)^3``, without bias: below 0 by chance where sets agree."""

    distance: Ranged
    features: Features
    real: int
    generated: int


def kernel_distance(
    real: Any, generated: Any, features: Any = "pixels", *, groups: int = GROUPS, rows: int = 5000, seed: int = 0
) -> KernelDistance:
    """``E k(x, x') + E k(y, y') - 2 E k(x, y)`` of features, pairs of a row with itself left out, with an interval by the jackknife.

    ``k(x, y) = (x . y / D + 1)^3``. Of more than ``rows`` rows that many are taken at random, without repetition.

    Binkowski et al., Demystifying MMD GANs (2018). Raises ``DataError`` for fewer than 4 rows.

    >>> x = torch.randn(500, 4)
    >>> bool(kernel_distance(x[:250], x[250:] + 1).distance.low > 0)
    True
    """
    if rows < 4:
        raise ArgumentError(f"`rows` is {rows}; take at least 4.")
    used = as_features(features, real)
    a, b = (some(table, rows, seed) for table in both(real, generated, used, least=4))
    of_a, of_b = groups_of(a, b, groups, seed)
    within = [_Pairs(_kernel_sums(table, table, of, of, itself=False), of) for table, of in ((a, of_a), (b, of_b))]
    across = _kernel_sums(a, b, of_a, of_b)
    without = [_discrepancy(within, across, g) for g in range(int(of_a.max()) + 1)]
    found = jackknife(_discrepancy(within, across, None), torch.tensor(without, dtype=torch.float64))
    return KernelDistance(found.plain, used, len(a), len(b))


@dataclass(frozen=True)
class _Pairs:
    """Sums of the kernel over pairs of rows within one set, by their groups ``[G, G]``."""

    sums: Tensor
    group: Tensor

    def mean(self, left_out: int | None) -> Tensor:
        rows = len(self.group) if left_out is None else int((self.group != left_out).sum())
        return _left(self.sums, left_out) / (rows * (rows - 1))


def _discrepancy(within: list[_Pairs], across: Tensor, left_out: int | None) -> float:
    sizes = [len(part.group) if left_out is None else int((part.group != left_out).sum()) for part in within]
    cross = _left(across, left_out) / math.prod(sizes)
    return (within[0].mean(left_out) + within[1].mean(left_out) - 2 * cross).item()


def _left(sums: Tensor, left_out: int | None) -> Tensor:
    """The sum over all groups but one, on either side."""
    if left_out is None:
        return sums.sum()
    return sums.sum() - sums[left_out].sum() - sums[:, left_out].sum() + sums[left_out, left_out]


def _kernel_sums(a: Tensor, b: Tensor, of_a: Tensor, of_b: Tensor, itself: bool = True) -> Tensor:
    """Sums of the kernel by groups ``[G, G]``, a block of rows at a time."""
    by_b = F.one_hot(of_b, int(of_b.max()) + 1).double()
    sums = torch.zeros(int(of_a.max()) + 1, by_b.shape[1], dtype=torch.float64)
    for start in range(0, len(a), 512):
        rows = slice(start, start + 512)
        values = (a[rows] @ b.T / a.shape[1] + 1) ** DEGREE
        if not itself:
            values[torch.arange(len(values)), torch.arange(start, start + len(values))] = 0
        sums.index_add_(0, of_a[rows], values @ by_b)
    return sums
