"""Prior of categorical latents."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Independent

from .._conditional import Unconditional
from .._registry import register
from .._shapes import as_shape
from ..distributions._one_hot import one_hot
from ..errors import ArgumentError, one_of
from ._registration import PriorRegistration


@register(
    PriorRegistration(
        title="categorical",
        support="discrete",
        posterior="categorical",
        use_when="latents that are classes",
        cost="as normal",
        avoid_when="latents vary continuously",
    )
)
class Categorical(Unconditional):
    """One-hot codes, uniform or with learned probabilities.

    Args:
        latent: Shape ``(variables, ..., categories)``.
        learned: Whether the probabilities are learned.

    Raises:
        ArgumentError: ``latent`` has fewer than 2 axes or fewer than 2 categories.

    Example:
        >>> Categorical((2, 5))().sample((3,)).shape
        torch.Size([3, 2, 5])
    """

    logits: Tensor

    def __init__(self, latent: Sequence[int], learned: bool = False) -> None:
        super().__init__()
        logits = torch.zeros(as_categorical_shape(latent))
        if learned:
            self.logits = nn.Parameter(logits)
        else:
            self.register_buffer("logits", logits, persistent=False)

    def forward(self, input: Tensor | None = None, context: Tensor | None = None) -> Independent:
        return Independent(one_hot(self.logits), self.logits.dim() - 1, validate_args=False)


def as_categorical_shape(latent: int | Sequence[int]) -> tuple[int, ...]:
    """``(variables, ..., categories)`` of a categorical latent, or an ``ArgumentError``."""
    shape = as_shape("latent", latent)
    if len(shape) < 2 or shape[-1] < 2:
        raise ArgumentError(
            "give (variables, categories) with at least 2 categories",
            argument="latent",
            value=latent,
            suggestions=(one_of("latent", [(20, 10)]),),
        )
    return shape
