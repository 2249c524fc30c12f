"""A mixture of a few distributions of any kind, all with the same weight."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints


class EqualWeightMixture(Distribution):
    """``1/S sum_s p_s``: the density, mean and variance of a mixture of ``S`` distributions of one shape, and draws from it.

    ``torch.distributions.MixtureSameFamily`` would need them as one batch of a single family; these may be anything.

    >>> from torch.distributions import Normal
    >>> mixture = EqualWeightMixture([Normal(torch.tensor(-1.0), 1.0), Normal(torch.tensor(1.0), 1.0)])
    >>> mixture.mean.item(), round(mixture.variance.item(), 4)
    (0.0, 2.0)
    """

    arg_constraints = {}  # pyright: ignore[reportAssignmentType]

    def __init__(self, components: Sequence[Distribution]) -> None:
        self.components = list(components)
        super().__init__(
            self.components[0].batch_shape, self.components[0].event_shape, validate_args=False
        )

    @constraints.dependent_property
    def support(self) -> constraints.Constraint | None:
        return self.components[0].support

    @property
    def mean(self) -> Tensor:
        return torch.stack([part.mean for part in self.components]).mean(0)

    @property
    def variance(self) -> Tensor:
        means = torch.stack([part.mean for part in self.components])
        return torch.stack([part.variance for part in self.components]).mean(0) + means.var(
            0, correction=0
        )

    def log_prob(self, value: Tensor) -> Tensor:
        return torch.logsumexp(
            torch.stack([part.log_prob(value) for part in self.components]), 0
        ) - math.log(len(self.components))

    def sample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
        """One part for each element of the batch, and a draw from it."""
        draws = torch.stack([part.sample(Size(sample_shape)) for part in self.components])
        batch = draws.shape[1 : draws.dim() - len(self.event_shape)]
        chosen = torch.randint(len(self.components), batch, device=draws.device)
        return draws.gather(
            0, chosen.reshape(1, *batch, *[1] * len(self.event_shape)).expand(1, *draws.shape[1:])
        )[0]
