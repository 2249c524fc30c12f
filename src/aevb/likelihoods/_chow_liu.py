"""Chow-Liu trees of columns of levels, by counting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

MIN_EXPECTED = 10.0  # rows with a pair of values that independent columns would have


@dataclass(frozen=True)
class ChowLiuTree:
    """Tree of columns of levels: ``p(x) = prod_d p(x_d | x_parent(d))``.

    Args:
        parents: The column that each column depends on, ``[D]``; its own place for the root.
        log_share: Log-probabilities ``[D, levels, levels]`` of the values (last axis) given the
            value of the parent.
        smoothing: Number of rows that the frequencies of all rows are worth in ``log_share``.
    """

    parents: Tensor
    log_share: Tensor
    smoothing: float

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-probability ``[N]`` of rows ``[N, D]``; NaN where a cell is missing."""
        levels = self.log_share.shape[-1]
        places = x.nan_to_num(0.0).clamp(0, levels - 1).long()
        columns = torch.arange(len(self.parents))
        found = self.log_share[columns, places[:, self.parents], places].sum(1)
        found[(x >= levels).any(1)] = -math.inf
        found[x.isnan().any(1)] = math.nan
        return found


def fit_trees(values: Tensor, levels: int, smoothings: Sequence[float]) -> list[ChowLiuTree]:
    """The tree of one-hot rows ``[N, D * levels]`` with each smoothing, by maximum likelihood.

    Chow and Liu, Approximating discrete probability distributions with dependence trees (1968).
    """
    pairs = count_pairs(values, levels)
    parents = best_tree(pairs)
    return [ChowLiuTree(parents, _log_shares(pairs, parents, each), each) for each in smoothings]


def count_pairs(values: Tensor, levels: int) -> Tensor:
    """Rows with each pair of values, ``[D, D, levels, levels]``, of one-hot rows."""
    counts = (values.T @ values).double()
    return counts.unflatten(1, (-1, levels)).unflatten(0, (-1, levels)).transpose(1, 2)


def best_tree(pairs: Tensor) -> Tensor:
    """The parents ``[D]`` of the spanning tree with the most mutual information (Prim 1957)."""
    information = _mutual_information(pairs)
    parents = torch.zeros(len(pairs), dtype=torch.long)
    best, inside = information[0].clone(), torch.zeros(len(pairs), dtype=torch.bool)
    inside[0] = True
    for _ in range(len(pairs) - 1):
        place = int(best.masked_fill(inside, -math.inf).argmax())
        inside[place] = True
        closer = information[place] > best
        best = torch.where(closer, information[place], best)
        parents = torch.where(closer & ~inside, place, parents)
    return parents


def _mutual_information(pairs: Tensor) -> Tensor:
    """Mutual information ``[D, D]`` in nats of columns, by their frequencies."""
    share = pairs / pairs[0, 0].sum()
    each = share.sum(3).diagonal().T  # [D, levels]
    entropy = -torch.special.xlogy(each, each).sum(1)
    return torch.special.xlogy(share, share).sum((2, 3)) + entropy[:, None] + entropy


def _log_shares(pairs: Tensor, parents: Tensor, smoothing: float) -> Tensor:
    """Log-probabilities ``[D, levels, levels]`` given the parent; ``smoothing`` rows are spread
    like the values of all rows."""
    columns, levels = torch.arange(len(parents)), pairs.shape[-1]
    frequencies = pairs[columns, columns].sum(1)
    marginal = (frequencies + 1 / levels) / (frequencies.sum(1, keepdim=True) + 1)
    counts = pairs[parents, columns]
    counts[0] = frequencies[0]  # the root has the same frequencies for each value
    smooth = counts + smoothing * marginal[:, None]
    return (smooth / smooth.sum(2, keepdim=True)).log()


def one_hot_levels(x: Tensor, levels: int) -> Tensor:
    """One-hot values ``[N, D * levels]``, float32, of rows ``[N, D]``; a missing cell is 0."""
    cells = x.nan_to_num(0.0).clamp(0, levels - 1).long()
    return one_hot(cells, levels).flatten(1).to(torch.float32)


def count_exclusions(x: Tensor) -> int:
    """Columns of rows ``[N, D]`` of 0 and 1 that exclude or imply their parent in the tree.

    One of the four pairs of values never occurs, where independent columns would have it in
    ``MIN_EXPECTED`` rows.

    >>> bits = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]]).repeat(50, 1)
    >>> count_exclusions(bits), count_exclusions(torch.rand(500, 3).round())
    (1, 0)
    """
    pairs = count_pairs(one_hot_levels(x, 2), 2)
    parents, columns = best_tree(pairs), torch.arange(len(pairs))
    each = pairs[columns, columns].sum(1)
    expected = each[parents][:, :, None] * each[:, None] / len(x)
    never = (pairs[parents, columns] == 0) & (expected >= MIN_EXPECTED)
    return int((never.any(2).any(1) & (parents != columns)).sum())
