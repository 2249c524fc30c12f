"""Quantiles of weighted draws, and sets of categories: intervals of missing cells."""

from __future__ import annotations

import math

import torch
from torch import Tensor

QUANTILE_BLOCK = 1 << 22  # draws that are sorted together


class MissingCellDraws:
    """One draw of each missing cell for each latent, with the weights of the latents.

    Args:
        x: Rows ``[B, *event]`` with NaN in missing cells.
        samples: Number of latents of a row.
    """

    def __init__(self, x: Tensor, samples: int) -> None:
        self.rows, self.cells = x.isnan().flatten(1).nonzero(as_tuple=True)
        self.values = x.new_empty(samples, len(self.rows))
        self.log_weight = x.new_empty(samples, len(x), dtype=torch.float64)
        self.n_filled = 0

    def add(self, log_weight: Tensor, drawn: Tensor) -> None:
        """Add log-weights ``[n, B]`` and draws of complete rows ``[n, B, cells]``."""
        block = slice(self.n_filled, self.n_filled + len(log_weight))
        self.values[block] = drawn[:, self.rows, self.cells]
        self.log_weight[block], self.n_filled = log_weight, block.stop

    def resampled_places(self, rows: Tensor) -> Tensor:
        """The places of latents in proportion to their weights, ``[samples, chosen rows]``.

        Args:
            rows: Which rows are chosen, bool ``[B]``.
        """
        weight = (self.log_weight - self.log_weight.amax(0))[:, rows].exp()
        places = torch.arange(len(weight), dtype=weight.dtype, device=weight.device)
        shares = (places + 0.5) / len(weight)
        return weighted_quantiles(places[:, None].expand_as(weight), weight, shares).long()

    def replace_rows(self, rows: Tensor, drawn: Tensor) -> None:
        """Replace the draws of rows by ``[samples, chosen rows, cells]`` of equal weights."""
        own, place = rows[self.rows], rows.cumsum(0) - 1
        self.values[:, own] = drawn[:, place[self.rows[own]], self.cells[own]]
        self.log_weight[:, rows] = 0.0

    def intervals(self, level: float, centre: Tensor, is_angle: Tensor) -> Tensor:
        """The ends of central intervals, ``[2, missing cells]`` float64.

        Args:
            level: Probability between the ends.
            centre: Values ``[missing cells]`` about which angles are unrolled.
            is_angle: Which missing cells are angles.
        """
        tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
        weight = (self.log_weight - self.log_weight.amax(0)).exp()
        size = max(1, QUANTILE_BLOCK // len(weight))
        ends = [
            weighted_quantiles(
                _unroll(self.values[:, part].double(), centre[part], is_angle[part]),
                weight[:, self.rows[part]],
                tails.to(weight.device),
            )
            for part in torch.arange(len(self.rows), device=weight.device).split(size)
        ]
        return torch.cat([tails.new_empty(2, 0).to(weight.device), *ends], 1)


def weighted_quantiles(values: Tensor, weight: Tensor, shares: Tensor) -> Tensor:
    """The least values below or at which these shares of the weight lie.

    Args:
        values: ``[K, M]``.
        weight: Weights ``[K, M]`` of any scale.
        shares: ``[Q]``, between 0 and 1.

    Returns:
        ``[Q, M]``.

    Example:
        >>> values = torch.tensor([[3.0], [1.0], [2.0]])
        >>> weight = torch.tensor([[1.0], [1.0], [8.0]])
        >>> weighted_quantiles(values, weight, torch.tensor([0.05, 0.95])).flatten()
        tensor([1., 3.])
    """
    ordered, order = values.sort(0)
    below = weight.gather(0, order).cumsum(0)
    # rounding of the sum must not move a quantile to the next value
    limits = shares[:, None] * below[-1] * (1 - 1e-12)
    places = torch.searchsorted(below.T.contiguous(), limits.T.contiguous()).T
    return ordered.gather(0, places.clamp(max=len(values) - 1))


def smallest_sets(probabilities: Tensor, level: float) -> Tensor:
    """The fewest categories that together have at least this probability.

    Args:
        probabilities: ``[M, categories]``, with sum 1.
        level: The probability.

    Returns:
        Whether each category is in the set, bool ``[M, categories]``.

    Example:
        >>> smallest_sets(torch.tensor([[0.3, 0.1, 0.6]]), 0.8)
        tensor([[ True, False,  True]])
    """
    ordered, order = probabilities.sort(-1, descending=True)
    before = ordered.cumsum(-1) - ordered
    return torch.zeros_like(order, dtype=torch.bool).scatter(
        -1, order, (before < level * (1 - 1e-12)) & (ordered > 0)
    )


def _unroll(values: Tensor, centre: Tensor, is_angle: Tensor) -> Tensor:
    """Angles within half a turn of the centre; other values as they are."""
    turned = centre + torch.remainder(values - centre + math.pi, 2 * math.pi) - math.pi
    return torch.where(is_angle, turned, values)
