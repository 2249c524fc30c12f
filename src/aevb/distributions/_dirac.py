"""The Dirac distribution: the posterior of a plain autoencoder."""

from __future__ import annotations

import torch
from torch import Size, Tensor
from torch.distributions import constraints
from torch.types import _size

from ._base import BaseDistribution


class Dirac(BaseDistribution):
    """Point mass at ``loc``.

    ``log_prob`` is relative to this mass: 0 at ``loc``, -inf elsewhere. It is no density, so the KL
    divergence to a prior with a density does not exist.

    Args:
        loc: Location ``[*batch, *event]``.
        event_dim: Number of event axes.

    Example:
        >>> Dirac(torch.zeros(5, 2), event_dim=1).rsample((3,)).shape
        torch.Size([3, 5, 2])
    """

    arg_constraints = {"loc": constraints.real}
    has_rsample = True

    def __init__(self, loc: Tensor, event_dim: int = 1) -> None:
        self.loc = loc
        split = loc.dim() - event_dim
        super().__init__(loc.shape[:split], loc.shape[split:])

    @property
    def support(self) -> constraints.Constraint:
        return constraints.independent(constraints.real, len(self.event_shape))

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return torch.zeros_like(self.loc)

    def rsample(self, sample_shape: _size = Size()) -> Tensor:
        return self.loc.expand(Size(sample_shape) + self.loc.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        differs = value != self.loc
        if self.event_shape:
            differs = differs.flatten(value.dim() - len(self.event_shape)).any(-1)
        return torch.where(differs, -torch.inf, value.new_zeros(()))
