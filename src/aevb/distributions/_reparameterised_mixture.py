"""A mixture of diagonal Gaussians for each datum, whose draws can be differentiated."""

from __future__ import annotations

import math

import torch
from torch import Size, Tensor
from torch.distributions import Categorical, Distribution, Normal, constraints


class ReparameterisedNormalMixture(Distribution):
    """``sum_c w_c N(z; loc_c, diag(scale_c^2))`` with ``logits`` ``[*batch, C]``, ``loc`` and ``scale`` ``[*batch, C, D]``.

    A draw is differentiated through the distribution function of each variable given those before it, ``dz_d = -dF(z_d | z_<d) / p``:
    also in the weights, and exactly. Graves, Stochastic backpropagation through mixture density distributions (2016).

    >>> ReparameterisedNormalMixture(
    ...     torch.zeros(5, 3), torch.zeros(5, 3, 2), torch.ones(5, 3, 2)
    ... ).rsample((4,)).shape
    torch.Size([4, 5, 2])
    """

    arg_constraints = {}  # pyright: ignore[reportAssignmentType]
    support = constraints.real_vector  # pyright: ignore[reportAssignmentType]
    has_rsample = True

    def __init__(self, logits: Tensor, loc: Tensor, scale: Tensor) -> None:
        self.log_weight = torch.log_softmax(logits, -1)
        self.loc, self.scale = loc, scale
        super().__init__(logits.shape[:-1], loc.shape[-1:], validate_args=False)

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

    def sample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
        which = Categorical(logits=self.log_weight.detach(), validate_args=False).sample(
            Size(sample_shape)
        )
        place = which[..., None, None].expand(*which.shape, 1, self.loc.shape[-1])
        loc, scale = (
            held.expand(*which.shape, *held.shape[-2:]).gather(-2, place)[..., 0, :]
            for held in (self.loc.detach(), self.scale.detach())
        )
        return loc + scale * torch.randn_like(loc)

    def rsample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
        fixed, moving, log_weight = self.sample(sample_shape), [], self.log_weight
        for d in range(self.loc.shape[-1]):
            loc, scale, z = self.loc[..., d], self.scale[..., d], fixed[..., d, None]
            log_weight = torch.log_softmax(log_weight, -1)
            one = Normal(loc, scale, validate_args=False)
            level = (log_weight.exp() * torch.special.ndtr((z - loc) / scale)).sum(-1)
            log_density = (log_weight + one.log_prob(z)).logsumexp(-1).detach()
            # the value stays; the slope is that of -F / p. A density below e^-80 is one of no draw
            moved = z[..., 0] - (level - level.detach()) / log_density.clamp(min=-80).exp()
            moving.append(moved)
            log_weight = log_weight + one.log_prob(moved[..., None])
        return torch.stack(moving, -1)

    def _component_log_densities(self, value: Tensor) -> Tensor:
        y = (value[..., None, :] - self.loc) / self.scale
        return -0.5 * y.square() - self.scale.log() - 0.5 * math.log(2 * math.pi)

    def _average_components(self, value: Tensor) -> Tensor:
        return (self.log_weight.exp()[..., None] * value).sum(-2)
