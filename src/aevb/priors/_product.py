"""Product of priors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from torch import Tensor, nn

from .. import distributions
from .._conditional import Unconditional
from .._registry import register
from ..errors import ArgumentError
from ..notes import Part, message
from ._registration import PriorRegistration

PartT = TypeVar("PartT", bound=nn.Module)


@register(
    PriorRegistration(
        title="product",
        needs="a prior for each part of the latent",
        instead=message("Build it in Python, by {part}", part=Part("priors.Product")),
        use_when="parts of the latent have different families",
        cost="the sum of the parts",
        avoid_when="one family fits all latents",
    )
)
class Product(Unconditional):
    """``p(z) = prod_i p_i(z_i)`` over one vector, the concatenation of the flattened parts.

    Args:
        parts: The priors of the parts, at least one.

    Raises:
        ArgumentError: ``parts`` is empty.

    Example:
        >>> from aevb import priors
        >>> Product([priors.Normal(2), priors.Bernoulli(3)])().sample().shape
        torch.Size([5])
    """

    def __init__(self, parts: Sequence[Unconditional]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(check_nonempty_parts(parts))

    def forward(
        self, input: Tensor | None = None, context: Tensor | None = None
    ) -> distributions.Product:
        return distributions.Product([part(input, context) for part in self.parts])


def check_nonempty_parts(parts: Sequence[PartT]) -> list[PartT]:
    """Return the parts, or raise an ``ArgumentError`` if there are none."""
    if not parts:
        raise ArgumentError("give at least one part", argument="parts", value=list(parts))
    return list(parts)
