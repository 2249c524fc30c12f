"""Chow-Liu trees: each column depends on one other column."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ._frequencies import SMOOTHINGS, _one_hot
from ._gaussians import held_out_mask


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


def fit_chow_liu(x: Tensor, levels: int) -> ChowLiuTree:
    """Fit the tree with the highest likelihood to rows ``[N, D]`` of 0 ... levels - 1.

    Every fifth row chooses the smoothing. Chow and Liu, Approximating discrete probability
    distributions with dependence trees (1968).

    >>> bit = torch.tensor([[0.0], [1.0]]).repeat(50, 1)
    >>> tree = fit_chow_liu(torch.cat([bit, bit], 1), 2)
    >>> tree.log_prob(torch.tensor([[1.0, 1.0], [1.0, 0.0]])).exp().round(decimals=1)
    tensor([0.5000, 0.0000], dtype=torch.float64)
    """
    held_out, values = held_out_mask(len(x)), _one_hot(x, levels)
    candidates = _fit_trees(values[~held_out], levels, SMOOTHINGS)
    best = max(candidates, key=lambda tree: tree.log_prob(x[held_out]).sum().item())
    return _fit_trees(values, levels, [best.smoothing])[0]


def _fit_trees(values: Tensor, levels: int, smoothings: Sequence[float]) -> list[ChowLiuTree]:
    """The tree of one-hot rows ``[N, D * levels]`` with each smoothing."""
    pairs = _count_pairs(values, levels)
    parents = _best_tree(pairs)
    return [ChowLiuTree(parents, _log_shares(pairs, parents, each), each) for each in smoothings]


def _count_pairs(values: Tensor, levels: int) -> Tensor:
    """Rows with each pair of values, ``[D, D, levels, levels]``, of one-hot rows."""
    counts = (values.T @ values).double()
    return counts.unflatten(1, (-1, levels)).unflatten(0, (-1, levels)).transpose(1, 2)


def _best_tree(pairs: Tensor) -> Tensor:
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
