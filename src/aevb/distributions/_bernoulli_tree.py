"""Binary cells on a tree: each cell depends on one other cell."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Size, Tensor
from torch.distributions import constraints
from torch.types import _size

from ._base import BaseDistribution
from ._softplus import softplus_sum


class BernoulliTree(BaseDistribution):
    """``logit p(x_d = 1 | x_parent(d)) = l_d + w_d x_parent(d)`` for 0 and 1.

    The density of a row takes one pass, a draw one step for each generation of the tree. Mean and
    variance are exact.

    Args:
        logits: ``l``, ``[*batch, *event]``.
        slopes: ``w``, ``[D]``; that of a root has no effect.
        parents: The place of each cell's parent in row-major order, ``[D]``; its own for a root.
        event_dims: Number of axes of an event.

    Example:
        >>> p = BernoulliTree(torch.zeros(2), torch.tensor([0.0, 5.0]), torch.tensor([0, 0]))
        >>> p.log_prob(torch.tensor([[1.0, 1.0], [1.0, 0.0]])).exp().round(decimals=2)
        tensor([0.5000, 0.0000])
        >>> p.mean.round(decimals=2)
        tensor([0.5000, 0.7500])
    """

    def __init__(
        self, logits: Tensor, slopes: Tensor, parents: Tensor, event_dims: int = 1
    ) -> None:
        split = logits.dim() - event_dims
        super().__init__(logits.shape[:split], logits.shape[split:])
        self.logits, self.parents = logits.flatten(split), parents
        self.is_root = parents == torch.arange(len(parents), device=parents.device)
        self.slopes = slopes.masked_fill(self.is_root, 0.0)
        self.fixed_support = constraints.independent(constraints.boolean, event_dims)

    def log_prob(self, value: Tensor) -> Tensor:
        x = value.flatten(value.dim() - len(self.event_shape))
        logits = self.logits + self.slopes * x.index_select(-1, self.parents)
        return (x * logits).sum(-1) - softplus_sum(logits)

    @torch.no_grad()
    def sample(self, sample_shape: _size = Size()) -> Tensor:
        shape = Size(sample_shape) + self.logits.shape
        logits, x = self.logits.expand(shape), self.logits.new_zeros(shape)
        for cells in self._generations():
            parent = x[..., self.parents[cells]]
            share = torch.sigmoid(logits[..., cells] + self.slopes[cells] * parent)
            x[..., cells] = torch.bernoulli(share)
        return self._unflatten(x)

    @property
    def mean(self) -> Tensor:
        alone, after = torch.sigmoid(self.logits), torch.sigmoid(self.logits + self.slopes)
        mean = alone.clone()
        for cells in self._generations()[1:]:
            parent = mean[..., self.parents[cells]]
            found = torch.lerp(alone[..., cells], after[..., cells], parent)
            mean = mean.index_copy(-1, cells, found)
        return self._unflatten(mean)

    @property
    def variance(self) -> Tensor:
        return self.mean * (1 - self.mean)

    def _generations(self) -> list[Tensor]:
        """The places of the roots, of their children, and so on."""
        children = F.one_hot(self.parents, len(self.parents)).bool() & ~self.is_root[:, None]
        found = [self.is_root.nonzero()[:, 0]]
        while len(last := children[:, found[-1]].any(1).nonzero()[:, 0]):
            found.append(last)
        return found

    def _unflatten(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, self.event_shape)
