"""Counts of which some are 0 for a reason of their own."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Size, Tensor
from torch.distributions import Distribution, constraints


class ZeroInflated(Distribution):
    """0 with probability ``pi = sigmoid(logits)``, else a draw of ``base``, both ``[*batch]``.

    ``log p(0) = log(pi + (1 - pi) base(0))``, ``log p(x) = log(1 - pi) + log base(x)`` otherwise, from log-probabilities throughout.

    >>> from torch.distributions import Poisson
    >>> p = ZeroInflated(Poisson(torch.tensor(2.0)), torch.tensor(0.0))
    >>> [round(number.item(), 4) for number in (p.mean, p.variance, p.log_prob(torch.tensor(0.0)).exp())]
    [1.0, 2.0, 0.5677]
    """

    arg_constraints = {"logits": constraints.real}  # pyright: ignore[reportAssignmentType]

    def __init__(self, base: Distribution, logits: Tensor) -> None:
        self.base, self.logits = base, logits
        super().__init__(
            torch.broadcast_shapes(base.batch_shape, logits.shape), validate_args=False
        )

    def expand(self, batch_shape: Size, _instance: Distribution | None = None) -> ZeroInflated:
        return ZeroInflated(self.base.expand(batch_shape), self.logits.expand(batch_shape))

    @constraints.dependent_property(is_discrete=True, event_dim=0)
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

    def sample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
        drawn = self.base.expand(self.batch_shape).sample(Size(sample_shape))
        return torch.where(
            torch.rand_like(drawn) < torch.sigmoid(self.logits), torch.zeros_like(drawn), drawn
        )
