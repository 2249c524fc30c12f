"""Posterior with several modes."""

from __future__ import annotations

from torch import Tensor, nn

from .._conditional import Conditional
from .._registry import register
from ..distributions import ReparameterisedNormalMixture, soft_clip, to_scale
from ..errors import check_counts
from ..networks import Heads
from ._registration import PosteriorRegistration

MIXTURE_LOGIT_BOUND = 10.0  # of the logits of the weights: each component keeps a gradient


@register(
    PosteriorRegistration(
        title="mixture of Gaussians",
        paper="Graves 2016",
        use_when="a row has several explanations",
        cost="one set of outputs per component",
        avoid_when="the posterior has one mode",
    )
)
class Mixture(Conditional):
    """``q(z|x) = sum_c w_c(x) N(z; m_c(x), diag(s_c(x)^2))``.

    Draws are differentiable in the weights too, through the distribution function.

    Graves, Stochastic backpropagation through mixture density distributions (2016).

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: Number of latent variables.
        components: Number of Gaussians per row.

    Raises:
        ArgumentError: ``components`` is less than 1.

    Example:
        >>> import torch
        >>> Mixture(nn.Identity(), latent=2, components=3)(torch.ones(5, 3)).rsample((4,)).shape
        torch.Size([4, 5, 2])
    """

    def __init__(self, network: nn.Module, latent: int, components: int = 4) -> None:
        super().__init__()
        check_counts(components=components)
        self.heads = Heads(network, (components,), (components, latent), (components, latent))

    def forward(self, input: Tensor, context: Tensor | None = None) -> ReparameterisedNormalMixture:
        logits, loc, raw = self.heads(input, context)
        return ReparameterisedNormalMixture(
            soft_clip(logits, MIXTURE_LOGIT_BOUND), loc, to_scale(raw)
        )
