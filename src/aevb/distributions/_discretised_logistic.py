"""The discretised logistic distribution of integers 0 ... levels-1, as 8-bit pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

from ._base import BaseDistribution
from ._output_maps import to_scale


class DiscretisedLogistic(BaseDistribution):
    """Probability of the bin of width 1 around each level under a logistic distribution.

    The two end bins extend to infinity, so that the probabilities of the levels sum to 1. With the
    standardised edges ``a, b`` of a bin, ``log p = -softplus(-a) - softplus(b) + log(1 - exp(b -
    a))``, which has no cancelling difference of sigmoids. Salimans et al., PixelCNN++ (2017).

    Args:
        loc: Location ``[*batch]`` in levels.
        scale: Positive scale ``[*batch]`` in levels.
        levels: Number of levels.

    Example:
        >>> p = DiscretisedLogistic(torch.tensor(100.0), torch.tensor(7.0), levels=256)
        >>> bool((p.log_prob(torch.arange(256.0)).exp().sum() - 1).abs() < 1e-5)
        True
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}

    def __init__(self, loc: Tensor, scale: Tensor, levels: int) -> None:
        self.loc, self.scale = torch.broadcast_tensors(loc, scale)
        self.levels = levels
        super().__init__(self.loc.shape)

    def expand(
        self, batch_shape: _size, _instance: Distribution | None = None
    ) -> DiscretisedLogistic:
        return DiscretisedLogistic(
            self.loc.expand(batch_shape), self.scale.expand(batch_shape), self.levels
        )

    @property
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self.levels - 1)

    def log_prob(self, value: Tensor) -> Tensor:
        width = 1 / self.scale
        below, above, inner = log_bin_masses((value - 0.5 - self.loc) * width, width)
        return torch.where(value <= 0, below, torch.where(value >= self.levels - 1, above, inner))

    @property
    def mean(self) -> Tensor:
        total = torch.zeros_like(self.loc)  # E X = sum over t of P(X > t)
        for threshold in range(self.levels - 1):  # one at a time keeps memory at one event
            total = total + torch.sigmoid((self.loc - threshold - 0.5) / self.scale)
        return total

    @property
    def variance(self) -> Tensor:
        # around a level k near the location nothing cancels: E (X - k)^2 is the sum over t >= k of
        # (2 (t - k) + 1) P(X > t) and over t < k of (2 (k - t) - 1) P(X <= t)
        level = self.loc.round().clamp(0, self.levels - 1)
        first, second = torch.zeros_like(self.loc), torch.zeros_like(self.loc)
        for threshold in range(self.levels - 1):
            side = torch.where(threshold >= level, 1.0, -1.0)
            tail = torch.sigmoid(side * (self.loc - threshold - 0.5) / self.scale)
            first = first + side * tail
            second = second + (2 * side * (threshold - level) + side) * tail
        return second - first.square()

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        shape = self._extended_shape(Size(sample_shape))
        uniform = torch.rand(shape, dtype=self.loc.dtype, device=self.loc.device).clamp(
            1e-7, 1 - 1e-7
        )
        with torch.no_grad():
            return (self.loc + self.scale * torch.logit(uniform)).round().clamp(0, self.levels - 1)


def log_bin_masses(low: Tensor, width: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``log P`` of ``X <= low + width``, ``X >= low`` and both, for a standard logistic ``X``."""
    below, above = -F.softplus(-(low + width)), -F.softplus(low)
    return below, above, log_interval_mass(below, above, width)


def log_interval_mass(below: Tensor, above: Tensor, width: Tensor) -> Tensor:
    """``log P(low < X <= low + width)`` of a logistic variable.

    ``below`` is ``log P(X <= low + width)`` and ``above`` is ``log P(X > low)``.
    """
    return below + above + torch.log(-torch.expm1(-width))


def discretised_logistic(
    loc: Tensor, raw: Tensor, levels: int, midpoint: float | Tensor = 0.5
) -> DiscretisedLogistic:
    """Discretised logistic distribution from network outputs in units of the full range.

    The location starts at ``midpoint`` and the scale at a tenth of the range, so that the same
    initial weights suit 17 levels and 256.

    Args:
        loc: Network output for the location, ``[*batch]``; 0 is the midpoint.
        raw: Network output for the scale, ``[*batch]``.
        levels: Number of levels.
        midpoint: Location at output 0, as a fraction of the range.

    Returns:
        The distribution with batch shape ``[*batch]``.
    """
    top = levels - 1
    return DiscretisedLogistic(top * (midpoint + loc), 0.1 * top * to_scale(raw), levels)
