"""Priors side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from torch import Tensor, nn

from .. import distributions
from .._conditional import Unconditional
from ..errors import ArgumentError

PartT = TypeVar("PartT", bound=nn.Module)


class Product(Unconditional):
    """``p(z) = prod_i p_i(z_i)`` over one vector: the codes of the parts, flattened and put end to end.

    Raises ``ArgumentError`` for no part.

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
    """At least one part, or an error."""
    if not parts:
        raise ArgumentError(
            "`parts` is empty; give at least one, as in parts=[Normal(2), Bernoulli(3)]."
        )
    return list(parts)
