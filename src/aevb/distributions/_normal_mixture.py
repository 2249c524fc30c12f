"""Gaussian mixtures whose density at many points is a matrix product."""

from __future__ import annotations

import math

import torch
from torch import Size, Tensor
from torch.distributions import Categorical, constraints
from torch.types import _size

from ._base import BaseDistribution
from ._double import in_double


class NormalMixture(BaseDistribution):
    """Mixture of diagonal Gaussians, ``sum_c w_c N(z; mean_c, diag(std_c^2))``.

    ``sum_d (z - m)^2 / s^2 = z^2 . 1/s^2 - 2 z . m/s^2 + sum_d m^2/s^2`` needs no tensor of points
    times components times dimensions. The products are in float64, where the sum does not cancel.

    Args:
        log_weight: Unnormalised log-weights ``[C]``.
        mean: Means ``[C, D]``.
        std: Standard deviations ``[C, D]``.

    Example:
        >>> p = NormalMixture(torch.zeros(2), torch.tensor([[-1.0], [1.0]]), torch.ones(2, 1))
        >>> p.log_prob(torch.zeros(3, 1)).shape, p.mean
        (torch.Size([3]), tensor([0.]))
    """

    fixed_support = constraints.real_vector

    def __init__(self, log_weight: Tensor, mean: Tensor, std: Tensor) -> None:
        self.log_weight = log_weight - log_weight.logsumexp(-1)
        self.loc, self.std = mean, std
        super().__init__(Size(), mean.shape[-1:])

    def log_prob(self, value: Tensor) -> Tensor:
        return torch.logsumexp(self.log_joint(value), -1)

    def log_joint(self, value: Tensor) -> Tensor:
        """Joint log-density of point and component, ``log w_c N(z; c)``.

        Args:
            value: Points ``[*batch, D]``.

        Returns:
            ``[*batch, C]`` in nats.
        """
        squares = in_double(_whitened_squares, value, self.loc, self.std)
        normaliser = self.std.log().sum(-1) + 0.5 * self.event_shape[0] * math.log(2 * math.pi)
        return self.log_weight - normaliser - 0.5 * squares

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        which = Categorical(logits=self.log_weight, validate_args=False).sample(Size(sample_shape))
        with torch.no_grad():
            return torch.normal(self.loc[which], self.std[which])

    @property
    def mean(self) -> Tensor:
        return (self.log_weight.exp()[:, None] * self.loc).sum(0)

    @property
    def variance(self) -> Tensor:
        squares = self.std.square() + (self.loc - self.mean).square()
        return (self.log_weight.exp()[:, None] * squares).sum(0)


class FullNormalMixture(BaseDistribution):
    """Mixture of Gaussians with full covariance, ``sum_c w_c N(z; mean_c, L_c L_c^T)``.

    One matrix product with all inverse factors whitens points for every component, in float64.

    Args:
        log_weight: Unnormalised log-weights ``[C]``.
        mean: Means ``[C, D]``.
        scale_tril: Lower triangular factors ``[C, D, D]``.

    Example:
        >>> p = FullNormalMixture(
        ...     torch.zeros(2), torch.tensor([[-1.0], [1.0]]), torch.ones(2, 1, 1)
        ... )
        >>> p.log_prob(torch.zeros(3, 1)).shape, p.variance.round(decimals=4)
        (torch.Size([3]), tensor([2.]))
    """

    fixed_support = constraints.real_vector

    def __init__(self, log_weight: Tensor, mean: Tensor, scale_tril: Tensor) -> None:
        self.log_weight = log_weight - log_weight.logsumexp(-1)
        self.loc, self.scale_tril = mean, scale_tril
        super().__init__(Size(), mean.shape[-1:])

    def log_prob(self, value: Tensor) -> Tensor:
        size = self.event_shape[0]
        squares = in_double(_full_whitened_squares, value, self.loc, self.scale_tril)
        normaliser = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(
            -1
        ) + 0.5 * size * math.log(2 * math.pi)
        return torch.logsumexp(self.log_weight - normaliser - 0.5 * squares, -1)

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        with torch.no_grad():
            which = Categorical(logits=self.log_weight, validate_args=False).sample(
                Size(sample_shape)
            )
            noise = torch.randn(
                (*which.shape, *self.event_shape, 1), dtype=self.loc.dtype, device=self.loc.device
            )
            return self.loc[which] + (self.scale_tril[which] @ noise).squeeze(-1)

    @property
    def mean(self) -> Tensor:
        return self.log_weight.exp() @ self.loc

    @property
    def variance(self) -> Tensor:
        squares = self.scale_tril.square().sum(-1) + (self.loc - self.mean).square()
        return self.log_weight.exp() @ squares


def _whitened_squares(value: Tensor, loc: Tensor, std: Tensor) -> Tensor:
    """``sum_d (value - loc)^2 / std^2``, ``[*batch, C]``."""
    if value.dtype != torch.float64:
        return ((value[..., None, :] - loc) / std).square().sum(-1)
    centre = loc.detach().mean(0)
    z, m, precision = value - centre, loc - centre, std.square().reciprocal()
    return z.square() @ precision.T - 2 * z @ (m * precision).T + (m.square() * precision).sum(-1)


def _full_whitened_squares(value: Tensor, loc: Tensor, scale_tril: Tensor) -> Tensor:
    """``|scale_tril^-1 (value - loc)|^2``, ``[*batch, C]``."""
    size = loc.shape[-1]
    inverse = torch.linalg.solve_triangular(scale_tril, torch.eye(size).to(scale_tril), upper=False)
    centre = loc.detach().mean(0)  # coordinates relative to the centre cancel less
    moved = (inverse @ (loc - centre)[..., None]).squeeze(-1)
    white = ((value - centre) @ inverse.flatten(0, 1).T).unflatten(-1, (-1, size)) - moved
    return white.square().sum(-1)
