"""Several explanations of one datum."""

from __future__ import annotations

from torch import Tensor, nn

from .._conditional import Conditional
from ..distributions import ReparameterisedNormalMixture, soft_clip, to_scale
from ..errors import ArgumentError
from ..networks import Heads

MIXTURE_LOGIT_BOUND = 10.0  # of the logits of the weights: no component is lost for good


class Mixture(Conditional):
    """``q(z|x) = sum_c w_c(x) N(z; m_c(x), diag(s_c(x)^2))``, with ``components`` Gaussians for each datum.

    Draws are differentiated in the weights, too, through the distribution function. Graves (2016). Raises ``ArgumentError`` for less than 1
    component.

    >>> import torch
    >>> Mixture(nn.Identity(), latent=2, components=3)(torch.ones(5, 3)).rsample((4,)).shape
    torch.Size([4, 5, 2])
    """

    def __init__(self, network: nn.Module, latent: int, components: int = 4) -> None:
        super().__init__()
        if components < 1:
            raise ArgumentError(f"`components` is {components}; give at least 1.")
        self.heads = Heads(network, (components,), (components, latent), (components, latent))

    def forward(self, input: Tensor, context: Tensor | None = None) -> ReparameterisedNormalMixture:
        logits, loc, raw = self.heads(input, context)
        return ReparameterisedNormalMixture(
            soft_clip(logits, MIXTURE_LOGIT_BOUND), loc, to_scale(raw)
        )
