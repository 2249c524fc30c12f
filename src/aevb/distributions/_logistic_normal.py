"""Proportions: positive numbers that sum to 1."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Size, Tensor
from torch.distributions import Normal, constraints

from ._monte_carlo_moments import MonteCarloMoments, standard_normal


class LogisticNormal(MonteCarloMoments):
    """``z = softmax([y, 0])``, ``y ~ N(loc, diag(scale^2))``: ``K`` proportions from ``loc`` and ``scale`` ``[*batch, K - 1]``.

    ``log p(z) = log N(log(z_k / z_K); loc, scale) - sum_k log z_k``: a density in the first ``K - 1`` proportions, as that of a Dirichlet.
    Aitchison and Shen, Logistic-normal distributions (1980).

    >>> LogisticNormal(torch.zeros(5, 2), torch.ones(5, 2)).sample((4,)).shape
    torch.Size([4, 5, 3])
    """

    support = constraints.simplex  # pyright: ignore[reportAssignmentType]

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.loc, self.scale = loc, scale
        super().__init__(loc.shape[:-1], Size((loc.shape[-1] + 1,)), validate_args=False)

    def _reference_tensor(self) -> Tensor:
        return self.loc

    def rsample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
        y = self.loc + self.scale * standard_normal((*sample_shape, *self.loc.shape), self.loc)
        # far out a proportion would round to 0, whose logarithm is none
        return torch.softmax(F.pad(y, (0, 1)), -1).clamp(min=torch.finfo(y.dtype).tiny)

    def log_prob(self, value: Tensor) -> Tensor:
        log_value = value.log()
        y = log_value[..., :-1] - log_value[..., -1:]
        return Normal(self.loc, self.scale, validate_args=False).log_prob(y).sum(
            -1
        ) - log_value.sum(-1)
