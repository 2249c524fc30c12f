"""The logistic-normal distribution on the simplex."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Size, Tensor
from torch.distributions import Normal, constraints
from torch.types import _size

from ._double import in_double
from ._monte_carlo_moments import MonteCarloMoments, standard_normal


class LogisticNormal(MonteCarloMoments):
    """Logistic-normal distribution: ``z = softmax([y, 0])`` with ``y ~ N(loc, scale^2)``.

    ``log p(z) = log N(log(z_k / z_K); loc, scale) - sum_k log z_k`` is a density in the first ``K -
    1`` proportions, as for a Dirichlet distribution. Mean and variance are estimated. Aitchison and
    Shen, Logistic-normal distributions (1980).

    Args:
        loc: Means of the log-ratios, ``[*batch, K - 1]``.
        scale: Standard deviations of the log-ratios, ``[*batch, K - 1]``.

    Example:
        >>> LogisticNormal(torch.zeros(5, 2), torch.ones(5, 2)).sample((4,)).shape
        torch.Size([4, 5, 3])
    """

    fixed_support = constraints.simplex

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.loc, self.scale = loc, scale
        super().__init__(loc.shape[:-1], Size((loc.shape[-1] + 1,)))

    def _reference_tensor(self) -> Tensor:
        return self.loc

    def rsample(self, sample_shape: _size = Size()) -> Tensor:
        y = self.loc + self.scale * standard_normal((*sample_shape, *self.loc.shape), self.loc)
        # a proportion that rounds to 0 would have no logarithm
        return torch.softmax(F.pad(y, (0, 1)), -1).clamp(min=torch.finfo(y.dtype).tiny)

    def log_prob(self, value: Tensor) -> Tensor:
        return in_double(_log_prob, self.loc, self.scale, value)


def _log_prob(loc: Tensor, scale: Tensor, value: Tensor) -> Tensor:
    log_value = value.log()
    y = log_value[..., :-1] - log_value[..., -1:]
    return Normal(loc, scale, validate_args=False).log_prob(y).sum(-1) - log_value.sum(-1)
