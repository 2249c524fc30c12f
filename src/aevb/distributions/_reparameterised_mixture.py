"""Gaussian mixtures with differentiable draws."""

from __future__ import annotations

import math

import torch
from torch import Size, Tensor
from torch.distributions import Categorical, Normal, constraints
from torch.types import _size

from ._base import BaseDistribution


class ReparameterisedNormalMixture(BaseDistribution):
    """Mixture of diagonal Gaussians whose draws are differentiable, also in the weights.

    The implicit gradient uses the conditional distribution function of each variable: ``dz_d =
    -dF(z_d | z_<d) / p``. Graves, Stochastic backpropagation through mixture density distributions
    (2016).

    Args:
        logits: Logits ``[*batch, C]`` of the components.
        loc: Means ``[*batch, C, D]``.
        scale: Standard deviations ``[*batch, C, D]``.

    Example:
        >>> ReparameterisedNormalMixture(
        ...     torch.zeros(5, 3), torch.zeros(5, 3, 2), torch.ones(5, 3, 2)
        ... ).rsample((4,)).shape
        torch.Size([4, 5, 2])
    """

    fixed_support = constraints.real_vector
    has_rsample = True

    def __init__(self, logits: Tensor, loc: Tensor, scale: Tensor) -> None:
        self.log_weight = torch.log_softmax(logits, -1)
        self.loc, self.scale = loc, scale
        super().__init__(logits.shape[:-1], loc.shape[-1:])

    @property
    def mean(self) -> Tensor:
        return self._average_components(self.loc)

    @property
    def variance(self) -> Tensor:
        return self._average_components(
            self.scale.square() + (self.loc - self.mean[..., None, :]).square()
        )

    def log_prob(self, value: Tensor) -> Tensor:
        return (self.log_weight + self._component_log_densities(value).sum(-1)).logsumexp(-1)

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        which = Categorical(logits=self.log_weight.detach(), validate_args=False).sample(
            Size(sample_shape)
        )
        index = which[..., None, None].expand(*which.shape, 1, self.loc.shape[-1])
        loc, scale = (
            values.expand(*which.shape, *values.shape[-2:]).gather(-2, index)[..., 0, :]
            for values in (self.loc.detach(), self.scale.detach())
        )
        return loc + scale * torch.randn_like(loc)

    def rsample(self, sample_shape: _size = Size()) -> Tensor:
        fixed, moving, log_weight = self.sample(sample_shape), [], self.log_weight
        for d in range(self.loc.shape[-1]):
            loc, scale, z = self.loc[..., d], self.scale[..., d], fixed[..., d, None]
            log_weight = torch.log_softmax(log_weight, -1)
            components = Normal(loc, scale, validate_args=False)
            level = (log_weight.exp() * torch.special.ndtr((z - loc) / scale)).sum(-1)
            log_density = (log_weight + components.log_prob(z)).logsumexp(-1).detach()
            # same value, with the gradient of -F / p; no draw has a density below e^-80
            moved = z[..., 0] - (level - level.detach()) / log_density.clamp(min=-80).exp()
            moving.append(moved)
            log_weight = log_weight + components.log_prob(moved[..., None])
        return torch.stack(moving, -1)

    def _component_log_densities(self, value: Tensor) -> Tensor:
        y = (value[..., None, :] - self.loc) / self.scale
        return -0.5 * y.square() - self.scale.log() - 0.5 * math.log(2 * math.pi)

    def _average_components(self, value: Tensor) -> Tensor:
        return (self.log_weight.exp()[..., None] * value).sum(-2)
