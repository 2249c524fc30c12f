"""Products of independent distributions over one vector."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, biject_to, constraints
from torch.distributions.transforms import Transform
from torch.types import _size

from ._base import BaseDistribution, expectation
from ._moments import cell_log_prob


class Product(BaseDistribution):
    """Product distribution ``p(z) = prod_i p(z_i)``.

    The event ``[D]`` concatenates the flattened parts.

    Args:
        parts: Distributions with equal batch shapes.

    Example:
        >>> from torch.distributions import Bernoulli, Independent, Normal
        >>> numbers, bits = (
        ...     Independent(Normal(torch.zeros(2), 1.0), 1),
        ...     Independent(Bernoulli(logits=torch.zeros(3)), 1),
        ... )
        >>> Product([numbers, bits]).sample((4,)).shape
        torch.Size([4, 5])
    """

    def __init__(self, parts: Sequence[Distribution]) -> None:
        self.parts = list(parts)
        self.sizes = [part.event_shape.numel() for part in self.parts]
        self.has_rsample = all(part.has_rsample for part in self.parts)
        super().__init__(self.parts[0].batch_shape, Size((sum(self.sizes),)))

    @property
    def support(self) -> constraints.Constraint:
        return ProductSupport(
            [(part.support or constraints.real, part.event_shape) for part in self.parts],
            self.sizes,
        )

    @property
    def mean(self) -> Tensor:
        return self._concat_events([part.mean for part in self.parts])

    @property
    def expectation(self) -> Tensor:
        return self._concat_events([expectation(part) for part in self.parts])

    @property
    def variance(self) -> Tensor:
        return self._concat_events([part.variance for part in self.parts])

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        return self._concat_events([part.sample(Size(sample_shape)) for part in self.parts])

    def rsample(self, sample_shape: _size = Size()) -> Tensor:
        return self._concat_events([part.rsample(Size(sample_shape)) for part in self.parts])

    def log_prob(self, value: Tensor) -> Tensor:
        pieces = split_event(value, [part.event_shape for part in self.parts])
        return torch.stack(
            [part.log_prob(piece) for part, piece in zip(self.parts, pieces, strict=True)]
        ).sum(0)

    def cell_log_prob(self, value: Tensor) -> Tensor | None:
        """Score each cell, ``[*batch, D]``; ``None`` where a part has dependent cells."""
        pieces = split_event(value, [part.event_shape for part in self.parts])
        each = [cell_log_prob(part, piece) for part, piece in zip(self.parts, pieces, strict=True)]
        known = [cells for cells in each if cells is not None]
        return self._concat_events(known) if len(known) == len(each) else None

    def _concat_events(self, values: Sequence[Tensor]) -> Tensor:
        pairs = zip(values, self.parts, strict=True)
        return torch.cat(
            [
                value.reshape(*value.shape[: value.dim() - len(part.event_shape)], -1)
                for value, part in pairs
            ],
            -1,
        )


class ProductSupport(constraints.Constraint):
    """A constraint for each part of a vector."""

    is_discrete, event_dim = False, 1

    def __init__(
        self, parts: Sequence[tuple[constraints.Constraint, Size]], sizes: Sequence[int]
    ) -> None:
        self.parts, self.sizes = list(parts), list(sizes)
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        batch = value.shape[:-1]
        pieces = split_event(value, [shape for _, shape in self.parts])
        valid = [
            support.check(piece).reshape(*batch, -1).all(-1)
            for (support, _), piece in zip(self.parts, pieces, strict=True)
        ]
        return torch.stack(valid).all(0)


def split_event(value: Tensor, shapes: Sequence[Size]) -> list[Tensor]:
    """Split a vector ``[*batch, D]`` into parts ``[*batch, *shape]``."""
    ends = itertools.accumulate(shape.numel() for shape in shapes)
    return [
        value[..., end - shape.numel() : end].reshape(*value.shape[:-1], *shape)
        for shape, end in zip(shapes, ends, strict=True)
    ]


class ProductTransform(Transform):
    """A transform for each part of a vector ``[*batch, D]``; sizes are preserved."""

    bijective = True
    domain = constraints.real_vector

    def __init__(self, product_support: ProductSupport) -> None:
        super().__init__()
        self.codomain = product_support
        self.shapes = [shape for _, shape in product_support.parts]
        self.transforms: list[Any] = [biject_to(support) for support, _ in product_support.parts]
        for transform, (support, shape) in zip(self.transforms, product_support.parts, strict=True):
            if transform.inverse_shape(shape) != shape:
                raise NotImplementedError(f"{support} has coordinates of another size")

    def _call(self, x: Tensor) -> Tensor:
        return self._apply_each(x, lambda transform, piece: transform(piece))

    def _inverse(self, y: Tensor) -> Tensor:
        return self._apply_each(y, lambda transform, piece: transform.inv(piece))

    def _apply_each(self, value: Tensor, function: Callable[[Any, Tensor], Tensor]) -> Tensor:
        pairs = zip(self.transforms, split_event(value, self.shapes), strict=True)
        images = [function(transform, piece) for transform, piece in pairs]
        return torch.cat([piece.reshape(*value.shape[:-1], -1) for piece in images], -1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        pieces = split_event(x, self.shapes), split_event(y, self.shapes)
        return torch.stack(
            [
                transform.log_abs_det_jacobian(a, b).reshape(*x.shape[:-1], -1).sum(-1)
                for transform, a, b in zip(self.transforms, *pieces, strict=True)
            ]
        ).sum(0)


@biject_to.register(ProductSupport)
def _biject_to_product(support: Any) -> Transform:
    return ProductTransform(support)
