"""The library size of a row of counts, as a context variable, and the logarithm of counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from .._registry import register
from ..errors import ArgumentError
from ..types import Configurable
from ._condition import ContextVariable
from ._registration import NetworkRegistration

LIBRARY_SIZE = "library_size"  # the name by which the total of a row is asked for


@dataclass(frozen=True)
class LibrarySize(ContextVariable):
    """The total count of a row, as of the molecules of a cell: ``log(total / reference)``.

    A row without counts has the library size 1.

    Args:
        name: Name of the variable.
        reference: Positive; usually the geometric mean of the training rows.

    Raises:
        ArgumentError: ``reference`` is not a positive number.

    Example:
        >>> round(LibrarySize("library_size", reference=1000.0).to_number(2000), 4)
        0.6931
    """

    name: str = LIBRARY_SIZE
    reference: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.reference < math.inf:
            raise ArgumentError(
                "give a positive number", argument="reference", value=self.reference
            )

    @property
    def width(self) -> int:
        return 1

    @property
    def example(self) -> str:
        return f"{self.reference:.4g}"

    @property
    def description(self) -> str:
        return f"a total count, about {self.reference:,.4g} in training"

    def to_number(self, value: Any) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not 0 <= number < math.inf:
            raise ArgumentError(
                f"{self.name} must be {self.description}", argument="label", value=value
            )
        return math.log(max(number, 1.0) / self.reference)

    def to_context(self, numbers: Tensor) -> Tensor:
        return numbers[:, None]


@register(
    NetworkRegistration(
        kind="wrapper",
        events=("vector", "image"),
        paper="Lopez et al. (2018)",
        use_when="data are counts over several orders of magnitude",
        cost="none",
        avoid_when="data may be negative",
    )
)
class Log1p(Configurable, nn.Module):
    """The logarithm of counts as input: ``network(log(1 + x))``.

    Args:
        network: Network that takes logarithms.

    Example:
        >>> import torch
        >>> Log1p(nn.Identity())(torch.tensor([[0.0, 1.0]]))
        tensor([[0.0000, 0.6931]])
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        return self.network(x.log1p(), *context)
