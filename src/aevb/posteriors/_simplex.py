"""Proportions as codes."""

from __future__ import annotations

from torch import Tensor, nn
from torch.distributions import Dirichlet as TorchDirichlet

from .. import distributions
from .._conditional import Conditional
from ..distributions import soft_clip, to_concentration, to_moderate_scale
from ..networks import Heads
from ..priors._simplex import check_simplex_size


class Dirichlet(Conditional):
    """``latent`` proportions that sum to 1, with concentrations from the network, by implicit gradients.

    Raises ``ArgumentError`` for less than 2 proportions. Joo et al., Dirichlet variational autoencoder (2020).

    >>> import torch
    >>> Dirichlet(nn.Identity(), latent=3)(torch.zeros(5, 3)).rsample().shape
    torch.Size([5, 3])
    """

    def __init__(self, network: nn.Module, latent: int) -> None:
        super().__init__()
        self.heads = Heads(network, (check_simplex_size(latent),))

    def forward(self, input: Tensor, context: Tensor | None = None) -> TorchDirichlet:
        (raw,) = self.heads(input, context)
        return TorchDirichlet(to_concentration(raw), validate_args=False)


class LogisticNormal(Conditional):
    """``latent`` proportions, the softmax of a Gaussian: nearly a Dirichlet, with a draw by formula. Its mean is estimated.

    Raises ``ArgumentError`` for less than 2 proportions. Srivastava and Sutton, Autoencoding variational inference for topic models (2017).

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
