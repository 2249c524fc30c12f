"""All mass at one point: the posterior of an autoencoder."""

from __future__ import annotations

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints


class Dirac(Distribution):
    """Unit mass at ``loc``, ``[*batch, *event]``; ``log_prob`` is taken with respect to that mass: 0 there, -inf elsewhere.

    It has no density, so no Kullback-Leibler divergence to a prior that has one.

    >>> Dirac(torch.zeros(5, 2), event_dim=1).rsample((3,)).shape
    torch.Size([3, 5, 2])
    """

    arg_constraints = {"loc": constraints.real}  # pyright: ignore[reportAssignmentType]
    has_rsample = True

    def __init__(self, loc: Tensor, event_dim: int = 1) -> None:
        self.loc = loc
        split = loc.dim() - event_dim
        super().__init__(loc.shape[:split], loc.shape[split:], validate_args=False)

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> constraints.Constraint:
        return constraints.independent(constraints.real, len(self.event_shape))

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return torch.zeros_like(self.loc)

    def rsample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
        return self.loc.expand(Size(sample_shape) + self.loc.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        away = (
            (value != self.loc).flatten(value.dim() - len(self.event_shape)).any(-1)
            if self.event_shape
            else value != self.loc
        )
        return torch.where(
            away, -torch.inf, torch.zeros((), dtype=value.dtype, device=value.device)
        )
