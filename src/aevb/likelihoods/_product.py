"""Likelihood of rows with several parts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .. import distributions
from .._registry import register
from ..distributions._product import split_event
from ..errors import ArgumentError, IncompatibleError
from ..networks._column import Measure
from ..notes import Part, message
from ._likelihood import CellKind, Likelihood, LogLikelihoodFunction
from ._registration import LikelihoodRegistration


@register(
    LikelihoodRegistration(
        title="product",
        needs="a likelihood for each part of a row",
        instead=message("Build it in Python, by {part}", part=Part("likelihoods.Product")),
        use_when="rows have parts of different kinds, such as a table and an image",
        cost="the sum of the parts",
        avoid_when="one family fits all cells",
    )
)
class Product(Likelihood):
    """``log p(x|z) = sum_i log p_i(x_i|z)`` over the parts of a row, which share the latent.

    A row is one vector, the concatenation of the flattened parts: ``x_i`` is given to its
    likelihood in its own shape. Parts are a table and an image, for instance, or data and the mask
    of their missing cells. Wrap the parts, not the product, in ``Missing``, ``Scaled`` or
    ``ConstantCells``; cells may be missing where all parts allow it.

    Args:
        parts: The likelihoods of the parts, at least one.

    Raises:
        ArgumentError: ``parts`` is empty.
        IncompatibleError: A part moves its data by an offset.

    Example:
        >>> from aevb import likelihoods
        >>> image = likelihoods.Bernoulli(nn.Identity(), (4, 4))
        >>> table = likelihoods.Missing(likelihoods.Normal(nn.Identity(), (3,)))
        >>> both = Product([image, table])
        >>> both.event_shape, both.measure, both(torch.zeros(5, 2)).sample().shape
        ((19,), 'mixed', torch.Size([5, 19]))
    """

    def __init__(self, parts: Sequence[Likelihood]) -> None:
        super().__init__()
        if not parts:
            raise ArgumentError("give at least one part", argument="parts", value=list(parts))
        _check_offsets(parts)
        self.parts = nn.ModuleList(parts)
        self.shapes = [torch.Size(part.event_shape) for part in parts]
        self.event_shape = (sum(shape.numel() for shape in self.shapes),)
        measures: set[Measure] = {part.measure for part in parts}
        self.measure = measures.pop() if len(measures) == 1 else "mixed"
        self.cell_kinds = _join_kinds(parts)
        self.unbounded = any(part.unbounded for part in parts)
        self.factorises = all(part.factorises for part in parts)
        self.allows_missing = all(part.allows_missing for part in parts)

    def forward(self, input: Tensor, context: Tensor | None = None) -> distributions.Product:
        return distributions.Product([part(input, context) for part in self._nested_likelihoods()])

    def log_likelihood_function(
        self, x: Tensor, context: Tensor | None = None, *, many_draws: bool = False
    ) -> LogLikelihoodFunction:
        scores = [
            part.log_likelihood_function(piece, context, many_draws=many_draws)
            for part, piece in self._pairs(x)
        ]
        return lambda z: torch.stack([score(z) for score in scores]).sum(0)

    def initialise_from_data(self, x: Tensor, context: Tensor | None = None) -> None:
        """Initialise each part from its own data."""
        for part, piece in self._pairs(x):
            part.initialise_from_data(piece, context)

    def update_state(
        self, distribution: distributions.Product, value: Tensor, weight: Tensor | None = None
    ) -> None:
        for (part, piece), own in zip(self._pairs(value), distribution.parts, strict=True):
            part.update_state(own, piece, weight)

    @property
    def constant_values(self) -> Tensor | None:
        """The values of constant cells, NaN for all others; ``None`` where there are none."""
        values = [part.constant_values for part in self._nested_likelihoods()]
        known = next((value for value in values if value is not None), None)
        if known is None:
            return None
        return torch.cat(
            [
                known.new_full((shape.numel(),), torch.nan) if value is None else value.flatten()
                for value, shape in zip(values, self.shapes, strict=True)
            ]
        )

    def has_mass(self, cell: int, value: float) -> bool:
        for part, shape in zip(self._nested_likelihoods(), self.shapes, strict=True):
            if cell < shape.numel():
                return part.has_mass(cell, value)
            cell -= shape.numel()
        return False

    def _nested_likelihoods(self) -> list[Likelihood]:
        return [part for part in self.parts if isinstance(part, Likelihood)]

    def _pairs(self, x: Tensor) -> list[tuple[Likelihood, Tensor]]:
        """Each part with its data."""
        return list(zip(self._nested_likelihoods(), split_event(x, self.shapes), strict=True))


def check_not_product(likelihood: Likelihood) -> None:
    """Refuse a product, of which each part is wrapped."""
    if isinstance(likelihood, Product):
        raise IncompatibleError(
            "the parts of a product have cells of different kinds",
            argument="likelihood",
            suggestions=("Wrap the parts that need it, and make the product of these",),
        )


def _check_offsets(parts: Sequence[Likelihood]) -> None:
    """Refuse parts that move their data: the model moves whole rows."""
    for part in parts:
        inner = (each for each in part.modules() if isinstance(each, Likelihood))
        if any(each.data_offset is not None for each in inner):
            raise IncompatibleError(
                message(
                    "{part} moves its data by an offset, which a part of a row cannot",
                    part=Part(f"likelihoods.{type(part).__name__}"),
                ),
                argument="parts",
                suggestions=("Subtract the offset from the data in float64 beforehand",),
            )


def _join_kinds(parts: Sequence[Likelihood]) -> CellKind | tuple[CellKind, ...]:
    """The kinds of the cells of all parts: one word where there is one kind."""
    kinds: list[CellKind] = []
    for part in parts:
        own = part.cell_kinds
        kinds += (own,) * math.prod(part.event_shape) if isinstance(own, str) else own
    return kinds[0] if len(set(kinds)) == 1 else tuple(kinds)
