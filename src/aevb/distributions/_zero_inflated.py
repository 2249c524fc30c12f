"""Zero-inflated counts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

from ._base import BaseDistribution


class ZeroInflated(BaseDistribution):
    """Zero-inflated distribution: 0 with probability ``sigmoid(logits)``, else a draw of ``base``.

    With ``pi = sigmoid(logits)``, ``log p(0) = log(pi + (1 - pi) base(0))`` and otherwise ``log
    p(x) = log(1 - pi) + log base(x)``, computed from log-probabilities.

    Args:
        base: Distribution of counts, ``[*batch]``.
        logits: Logits of the additional zeros, ``[*batch]``.

    Example:
        >>> from torch.distributions import Poisson
        >>> p = ZeroInflated(Poisson(torch.tensor(2.0)), torch.tensor(0.0))
        >>> [
        ...     round(number.item(), 4)
        ...     for number in (p.mean, p.variance, p.log_prob(torch.tensor(0.0)).exp())
        ... ]
        [1.0, 2.0, 0.5677]
    """

    arg_constraints = {"logits": constraints.real}

    def __init__(self, base: Distribution, logits: Tensor) -> None:
        self.base, self.logits = base, logits
        super().__init__(torch.broadcast_shapes(base.batch_shape, logits.shape))

    def expand(self, batch_shape: _size, _instance: Distribution | None = None) -> ZeroInflated:
        return ZeroInflated(self.base.expand(batch_shape), self.logits.expand(batch_shape))

    @property
    def support(self) -> constraints.Constraint | None:
        return self.base.support

    @property
    def mean(self) -> Tensor:
        return torch.sigmoid(-self.logits) * self.base.mean

    @property
    def variance(self) -> Tensor:
        return torch.sigmoid(-self.logits) * (
            self.base.variance + torch.sigmoid(self.logits) * self.base.mean.square()
        )

    def log_prob(self, value: Tensor) -> Tensor:
        counted = F.logsigmoid(-self.logits) + self.base.log_prob(value)
        return torch.where(value == 0, torch.logaddexp(F.logsigmoid(self.logits), counted), counted)

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        drawn = self.base.expand(self.batch_shape).sample(Size(sample_shape))
        return torch.where(
            torch.rand_like(drawn) < torch.sigmoid(self.logits), torch.zeros_like(drawn), drawn
        )
