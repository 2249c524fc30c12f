"""Mixtures with equal weights of distributions of any family."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

from ._base import BaseDistribution


class EqualWeightMixture(BaseDistribution):
    """Mixture ``1/S sum_s p_s`` of ``S`` distributions of one shape.

    ``torch.distributions.MixtureSameFamily`` requires one batch of one family; these components may
    differ.

    Args:
        components: Distributions with equal batch and event shapes.

    Example:
        >>> from torch.distributions import Normal
        >>> mixture = EqualWeightMixture(
        ...     [Normal(torch.tensor(-1.0), 1.0), Normal(torch.tensor(1.0), 1.0)]
        ... )
        >>> mixture.mean.item(), round(mixture.variance.item(), 4)
        (0.0, 2.0)
    """

    def __init__(self, components: Sequence[Distribution]) -> None:
        self.components = list(components)
        super().__init__(self.components[0].batch_shape, self.components[0].event_shape)

    @property
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

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        """Draw one component for each element of the batch, then a value from it."""
        draws = torch.stack([part.sample(Size(sample_shape)) for part in self.components])
        batch = draws.shape[1 : draws.dim() - len(self.event_shape)]
        chosen = torch.randint(len(self.components), batch, device=draws.device)
        return draws.gather(
            0, chosen.reshape(1, *batch, *[1] * len(self.event_shape)).expand(1, *draws.shape[1:])
        )[0]
