"""Several distributions as one, over one vector."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, biject_to, constraints
from torch.distributions.transforms import Transform


class Product(Distribution):
    """``p(z) = prod_i p_i(z_i)`` where ``z`` ``[*batch, D]`` is the events of the parts, flattened and put end to end.

    >>> from torch.distributions import Bernoulli, Independent, Normal
    >>> numbers, bits = (
    ...     Independent(Normal(torch.zeros(2), 1.0), 1),
    ...     Independent(Bernoulli(logits=torch.zeros(3)), 1),
    ... )
    >>> Product([numbers, bits]).sample((4,)).shape
    torch.Size([4, 5])
    """

    arg_constraints = {}  # pyright: ignore[reportAssignmentType]

    def __init__(self, parts: Sequence[Distribution]) -> None:
        self.parts = list(parts)
        self.sizes = [part.event_shape.numel() for part in self.parts]
        self.has_rsample = all(part.has_rsample for part in self.parts)
        super().__init__(self.parts[0].batch_shape, Size((sum(self.sizes),)), validate_args=False)

    @constraints.dependent_property(is_discrete=False, event_dim=1)
    def support(self) -> constraints.Constraint:
        return ProductSupport(
            [(part.support or constraints.real, part.event_shape) for part in self.parts],
            self.sizes,
        )

    @property
    def mean(self) -> Tensor:
        return self._concat_events([part.mean for part in self.parts])

    @property
    def variance(self) -> Tensor:
        return self._concat_events([part.variance for part in self.parts])

    def sample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
        return self._concat_events([part.sample(Size(sample_shape)) for part in self.parts])

    def rsample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
        return self._concat_events([part.rsample(Size(sample_shape)) for part in self.parts])

    def log_prob(self, value: Tensor) -> Tensor:
        pieces = split_event(value, [part.event_shape for part in self.parts])
        return torch.stack(
            [part.log_prob(piece) for part, piece in zip(self.parts, pieces, strict=True)]
        ).sum(0)

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
    """Each part of a vector on a set of its own."""

    is_discrete, event_dim = False, 1

    def __init__(
        self, parts: Sequence[tuple[constraints.Constraint, Size]], sizes: Sequence[int]
    ) -> None:
        self.parts, self.sizes = list(parts), list(sizes)
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        batch = value.shape[:-1]
        pieces = split_event(value, [shape for _, shape in self.parts])
        held = [
            support.check(piece).reshape(*batch, -1).all(-1)
            for (support, _), piece in zip(self.parts, pieces, strict=True)
        ]
        return torch.stack(held).all(0)


def split_event(value: Tensor, shapes: Sequence[Size]) -> list[Tensor]:
    """The parts of a vector ``[*batch, D]``, each ``[*batch, *shape]``."""
    ends = itertools.accumulate(shape.numel() for shape in shapes)
    return [
        value[..., end - shape.numel() : end].reshape(*value.shape[:-1], *shape)
        for shape, end in zip(shapes, ends, strict=True)
    ]


class ProductTransform(Transform):
    """A transform for each part of a vector ``[*batch, D]``, whose sizes it does not change."""

    bijective = True
    domain = constraints.real_vector

    def __init__(self, product_support: ProductSupport) -> None:
        super().__init__()
        self.product_support = product_support
        self.transforms: list[Any] = [biject_to(support) for support, _ in product_support.parts]
        for move, (support, shape) in zip(self.transforms, product_support.parts, strict=True):
            if move.inverse_shape(shape) != shape:
                raise NotImplementedError(f"{support} has coordinates of another size")

    @property
    def codomain(self) -> constraints.Constraint:
        return self.product_support

    def _call(self, x: Tensor) -> Tensor:
        return self._apply_each(x, lambda move, piece: move(piece))

    def _inverse(self, y: Tensor) -> Tensor:
        return self._apply_each(y, lambda move, piece: move.inv(piece))

    def _apply_each(self, value: Tensor, function: Callable[[Any, Tensor], Tensor]) -> Tensor:
        pieces = split_event(value, [shape for _, shape in self.product_support.parts])
        moved = [function(move, piece) for move, piece in zip(self.transforms, pieces, strict=True)]
        return torch.cat([piece.reshape(*value.shape[:-1], -1) for piece in moved], -1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        shapes = [shape for _, shape in self.product_support.parts]
        each = zip(self.transforms, split_event(x, shapes), split_event(y, shapes), strict=True)
        return torch.stack(
            [
                move.log_abs_det_jacobian(a, b).reshape(*x.shape[:-1], -1).sum(-1)
                for move, a, b in each
            ]
        ).sum(0)


@biject_to.register(ProductSupport)
def _biject_to_product(support: Any) -> Transform:
    return ProductTransform(support)
