"""Categorical distributions of integer levels."""

from __future__ import annotations

import torch
from torch import Size, Tensor
from torch.distributions import Categorical, Distribution, constraints
from torch.types import _size

from ._base import BaseDistribution


class IntegerCategorical(BaseDistribution):
    """Categorical distribution of the integers 0 ... levels-1, with mean and variance.

    Args:
        logits: Logits ``[*batch, levels]``.

    Example:
        >>> IntegerCategorical(torch.zeros(3, 5)).mean.round(decimals=4).tolist()
        [2.0, 2.0, 2.0]
    """

    arg_constraints = {"logits": constraints.real_vector}

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits - logits.logsumexp(-1, keepdim=True)
        super().__init__(logits.shape[:-1])

    def expand(
        self, batch_shape: _size, _instance: Distribution | None = None
    ) -> IntegerCategorical:
        return IntegerCategorical(self.logits.expand(*batch_shape, self.logits.shape[-1]))

    @property
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self.logits.shape[-1] - 1)

    @property
    def mean(self) -> Tensor:
        return (
            self.logits.exp()
            * torch.arange(
                self.logits.shape[-1], dtype=self.logits.dtype, device=self.logits.device
            )
        ).sum(-1)

    @property
    def variance(self) -> Tensor:
        levels = torch.arange(
            self.logits.shape[-1], dtype=self.logits.dtype, device=self.logits.device
        )
        return (self.logits.exp() * (levels - self.mean[..., None]) ** 2).sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        return pick_level(self.logits, value)

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        return (
            Categorical(logits=self.logits, validate_args=False)
            .sample(Size(sample_shape))
            .to(self.logits.dtype)
        )


def pick_level(table: Tensor, level: Tensor) -> Tensor:
    """The entries ``[*batch]`` of ``table`` ``[*batch, levels]`` at these levels, which broadcast.

    Example:
        >>> pick_level(torch.tensor([5.0, 7.0]), torch.tensor([1.0, 0.0]))
        tensor([7., 5.])
    """
    level, table = torch.broadcast_tensors(level.unsqueeze(-1), table)
    return table.gather(-1, level[..., :1].long()).squeeze(-1)
