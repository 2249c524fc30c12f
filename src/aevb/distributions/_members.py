"""Distributions of ensembles: a member is a part of the latent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

from .._row_noise import chosen_pairs, draws_in_turn, same_draws
from ._base import BaseDistribution, expectation
from ._moments import cell_log_prob, conditional_log_prob, given_cells
from ._product import ProductSupport


class MemberAndLatent(BaseDistribution):
    """A member of an ensemble, each with the same probability, and a latent from its distribution.

    A value is one vector: the number of the member, then its flattened latent. Inside ``RowNoise``
    the draws of a row take the members in turn, from one that depends on the row, and a draw has
    the same noise whichever member it takes. ``mean`` and ``variance`` are those of the latent of
    the first member.

    Args:
        parts: The distribution of the latent of each member, of equal shapes.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> part = Independent(Normal(torch.zeros(2), 1.0), 1)
        >>> p = MemberAndLatent([part, part])
        >>> p.sample((4,)).shape, p.mean, p.support.check(torch.tensor([2.0, 0.0, 0.0]))
        (torch.Size([4, 3]), tensor([0., 0., 0.]), tensor(False))
    """

    def __init__(self, parts: Sequence[Distribution]) -> None:
        self.parts = list(parts)
        self.latent_shape = self.parts[0].event_shape
        super().__init__(self.parts[0].batch_shape, Size((1 + self.latent_shape.numel(),)))

    @property
    def support(self) -> constraints.Constraint:
        member = constraints.integer_interval(0, len(self.parts) - 1)
        latent = self.parts[0].support or constraints.real
        pairs = [(member, Size((1,))), (latent, self.latent_shape)]
        return ProductSupport(pairs, [shape.numel() for _, shape in pairs])

    @property
    def mean(self) -> Tensor:
        return self._with_first_member(self.parts[0].mean)

    @property
    def variance(self) -> Tensor:
        return self._with_first_member(self.parts[0].variance)

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        shape = Size(sample_shape)
        each = torch.stack([self._flatten(p.sample(shape)) for p in same_draws(self.parts)])
        number = draws_in_turn(len(self.parts), tuple(each.shape[1:-1]), each.device)
        index = number[None, ..., None].expand(1, *each.shape[1:])
        return torch.cat([number[..., None].to(each), each.gather(0, index)[0]], -1)

    def log_prob(self, value: Tensor) -> Tensor:
        latent = value[..., 1:].reshape(*value.shape[:-1], *self.latent_shape)
        each = torch.stack([part.log_prob(latent) for part in self.parts])
        number = value[..., 0].long().expand(each.shape[1:])
        return each.gather(0, number[None])[0] - math.log(len(self.parts))

    def _flatten(self, latent: Tensor) -> Tensor:
        return latent.reshape(*latent.shape[: latent.dim() - len(self.latent_shape)], -1)

    def _with_first_member(self, latent: Tensor) -> Tensor:
        return torch.nn.functional.pad(self._flatten(latent), (1, 0))


class MemberSelection(BaseDistribution):
    """Distributions of a batch of which each element belongs to a member of an ensemble.

    Args:
        parts: For each member with an element, the places of its elements in the flattened batch,
            and their distribution with batch shape ``[places]``.
        batch_shape: Shape of the whole batch.
    """

    def __init__(self, parts: Sequence[tuple[Tensor, Distribution]], batch_shape: _size) -> None:
        self.parts = list(parts)
        super().__init__(Size(batch_shape), self.parts[0][1].event_shape)

    @property
    def support(self) -> constraints.Constraint | None:
        return self.parts[0][1].support

    @property
    def mean(self) -> Tensor:
        return self.join([part.mean for _, part in self.parts])

    @property
    def expectation(self) -> Tensor:
        return self.join([expectation(part) for _, part in self.parts])

    @property
    def variance(self) -> Tensor:
        return self.join([part.variance for _, part in self.parts])

    def log_prob(self, value: Tensor) -> Tensor:
        scores = self._score(value, lambda part, own: part.log_prob(own))
        assert scores is not None
        return scores

    def cell_log_prob(self, value: Tensor) -> Tensor | None:
        """Score each cell, ``[*batch, *event]``; ``None`` where the cells are dependent."""
        return self._score(value, cell_log_prob)

    def given(self, value: Tensor) -> MemberSelection:
        """The distribution given the cells that are not missing in ``value``."""
        rows = value.expand(*self.batch_shape, *self.event_shape).reshape(-1, *self.event_shape)
        parts = [(places, given_cells(part, rows[places])) for places, part in self.parts]
        return MemberSelection(parts, self.batch_shape)

    def conditional_log_prob(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Score each cell given all others; the same where the cell is drawn again given them."""
        rows = value.expand(*self.batch_shape, *self.event_shape).reshape(-1, *self.event_shape)
        found = [conditional_log_prob(part, rows[places]) for places, part in self.parts]
        score, usual = (self.join(list(each)) for each in zip(*found, strict=True))
        return score, usual

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        if sample_shape:
            repeats = [self.sample() for _ in range(Size(sample_shape).numel())]
            return torch.stack(repeats).reshape(self._extended_shape(Size(sample_shape)))
        return self.draw_each(lambda part: part.sample())

    def draw_each(self, draw: Callable[[Distribution], Tensor]) -> Tensor:
        """Draws ``[*batch, *rest]`` from a function that draws of a part, ``[places, *rest]``."""
        drawn = []
        for places, part in same_draws(self.parts):
            with chosen_pairs(places):
                drawn.append(draw(part))
        return self.join(drawn)

    def join(self, values: Sequence[Tensor]) -> Tensor:
        """Values ``[*batch, *rest]`` from those of each part, ``[places, *rest]``."""
        whole = values[0].new_empty(self.batch_shape.numel(), *values[0].shape[1:])
        for (places, _), own in zip(self.parts, values, strict=True):
            whole[places] = own
        return whole.reshape(*self.batch_shape, *whole.shape[1:])

    def _score(
        self, value: Tensor, score: Callable[[Distribution, Tensor], Tensor | None]
    ) -> Tensor | None:
        shape = (*self.batch_shape, *self.event_shape)
        whole = value.expand(*torch.broadcast_shapes(value.shape, shape))
        if whole.dim() > len(shape):
            each = [self._score(part, score) for part in whole]
        else:
            rows = whole.reshape(-1, *self.event_shape)
            each = [score(part, rows[places]) for places, part in self.parts]
        known = [scores for scores in each if scores is not None]
        if len(known) < len(each):
            return None
        return torch.stack(known) if whole.dim() > len(shape) else self.join(known)


def count_members(p: Distribution) -> int:
    """The number of members of a distribution of latents; 1 for one that is no ensemble's."""
    return len(p.parts) if isinstance(p, MemberAndLatent) else 1


def zero_latents(q: Distribution) -> Tensor:
    """Latents of zeros ``[*, *batch, *latent]``: of an ensemble, one of each member."""
    zeros = torch.zeros_like(q.mean)
    if not isinstance(q, MemberAndLatent):
        return zeros
    each = zeros.repeat(len(q.parts), *[1] * zeros.dim())
    each[..., 0] += torch.arange(len(q.parts)).to(each).reshape(-1, *[1] * (zeros.dim() - 1))
    return each
