"""Chow-Liu trees with a smoothing that held-out rows choose."""

from __future__ import annotations

from torch import Tensor

from ...distributions._gaussian_fits import held_out_mask
from ...likelihoods._chow_liu import ChowLiuTree, fit_trees, one_hot_levels
from ._frequencies import SMOOTHINGS


def fit_chow_liu(x: Tensor, levels: int) -> ChowLiuTree:
    """Fit a tree to rows ``[N, D]`` of 0 ... levels - 1; every fifth row chooses the smoothing.

    >>> import torch
    >>> bit = torch.tensor([[0.0], [1.0]]).repeat(50, 1)
    >>> tree = fit_chow_liu(torch.cat([bit, bit], 1), 2)
    >>> tree.log_prob(torch.tensor([[1.0, 1.0], [1.0, 0.0]])).exp().round(decimals=1)
    tensor([0.5000, 0.0000], dtype=torch.float64)
    """
    held_out, values = held_out_mask(len(x)), one_hot_levels(x, levels)
    candidates = fit_trees(values[~held_out], levels, SMOOTHINGS)
    best = max(candidates, key=lambda tree: tree.log_prob(x[held_out]).sum().item())
    return fit_trees(values, levels, [best.smoothing])[0]
