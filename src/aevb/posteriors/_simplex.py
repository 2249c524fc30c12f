"""Posteriors of proportions."""

from __future__ import annotations

from torch import Tensor, nn

from .. import distributions
from .._conditional import Conditional
from .._registry import register
from ..distributions import soft_clip, to_concentration, to_moderate_scale
from ..networks import Heads
from ..priors._simplex import check_simplex_size
from ._registration import PosteriorRegistration


@register(
    PosteriorRegistration(
        title="Dirichlet",
        paper="Joo et al. 2020",
        support="simplex",
        prior="dirichlet",
        use_when="sparse proportions that sum to 1",
        cost="implicit gradients",
        avoid_when="a draw by formula is needed; use logistic_normal",
    )
)
class Dirichlet(Conditional):
    """Proportions that sum to 1, with concentrations from the network, by implicit gradients.

    Joo et al., Dirichlet variational autoencoder (2020).

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: Number of proportions, at least 2.

    Raises:
        ArgumentError: ``latent`` is less than 2.

    Example:
        >>> import torch
        >>> Dirichlet(nn.Identity(), latent=3)(torch.zeros(5, 3)).rsample().shape
        torch.Size([5, 3])
    """

    def __init__(self, network: nn.Module, latent: int) -> None:
        super().__init__()
        self.heads = Heads(network, (check_simplex_size(latent),))

    def forward(self, input: Tensor, context: Tensor | None = None) -> distributions.Dirichlet:
        (raw,) = self.heads(input, context)
        return distributions.Dirichlet(to_concentration(raw), validate_args=False)


@register(
    PosteriorRegistration(
        title="logistic normal",
        paper="Srivastava and Sutton 2017",
        support="simplex",
        prior="logistic_normal",
        use_when="topics and other proportions",
        cost="as normal; its mean is estimated",
        avoid_when="proportions should be sparse; use dirichlet",
    )
)
class LogisticNormal(Conditional):
    """Proportions that sum to 1, the softmax of a Gaussian.

    Similar to a Dirichlet, with draws by formula. The mean is estimated. Srivastava and Sutton,
    Autoencoding variational inference for topic models (2017).

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: Number of proportions, at least 2.

    Raises:
        ArgumentError: ``latent`` is less than 2.

    Example:
        >>> import torch
        >>> LogisticNormal(nn.Identity(), latent=3)(torch.zeros(5, 3)).rsample().shape
        torch.Size([5, 3])
    """

    def __init__(self, network: nn.Module, latent: int) -> None:
        super().__init__()
        size = check_simplex_size(latent) - 1
        self.heads = Heads(network, (size,), (size,))

    def forward(self, input: Tensor, context: Tensor | None = None) -> distributions.LogisticNormal:
        loc, raw = self.heads(input, context)
        return distributions.LogisticNormal(soft_clip(loc, 12.0), to_moderate_scale(raw))
