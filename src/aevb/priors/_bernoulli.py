"""Prior of bits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Independent

from .._conditional import Unconditional
from .._registry import register
from .._shapes import as_shape
from ._registration import PriorRegistration


@register(
    PriorRegistration(
        title="bits",
        support="discrete",
        posterior="bernoulli",
        use_when="independent binary latents",
        cost="as normal",
        avoid_when="latents vary continuously",
    )
)
class Bernoulli(Unconditional):
    """Independent bits, each 1 with probability 1/2 or with a learned probability.

    Args:
        latent: Shape of the latent: one size or several.
        learned: Whether the probabilities are learned.

    Raises:
        ArgumentError: ``latent`` is not a shape.

    Example:
        >>> Bernoulli(3)().log_prob(torch.ones(3)).exp()
        tensor(0.1250)
    """

    logits: Tensor

    def __init__(self, latent: int | Sequence[int], learned: bool = False) -> None:
        super().__init__()
        logits = torch.zeros(as_shape("latent", latent))
        if learned:
            self.logits = nn.Parameter(logits)
        else:
            self.register_buffer("logits", logits, persistent=False)

    def forward(self, input: Tensor | None = None, context: Tensor | None = None) -> Independent:
        return Independent(
            TorchBernoulli(logits=self.logits, validate_args=False),
            self.logits.dim(),
            validate_args=False,
        )
