"""A learned mixture of Gaussians as prior."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..conditional import Unconditional
from ..distributions import NormalMixture, positive
from ..errors import ArgumentError


class Mixture(Unconditional):
    """``p(z) = sum_c w_c N(z; m_c, diag(s_c^2))`` with learned weights, means and scales, ``latent`` numbers each.

    The means begin as standard normal draws and the scales at 1, so that the whole begins near the standard normal prior.
    Dilokthanakul et al. (2016) and others. Raises ``ArgumentError`` for less than 1 component.

    >>> Mixture(2, components=3)().log_prob(torch.zeros(5, 2)).shape
    torch.Size([5])
    """

    def __init__(self, latent: int, components: int = 50) -> None:
        super().__init__()
        if components < 1:
            raise ArgumentError(f"`components` is {components}; give at least 1.")
        self.logits = nn.Parameter(torch.zeros(components))
        self.loc = nn.Parameter(torch.randn(components, latent))
        self.raw = nn.Parameter(torch.zeros(components, latent))

    def forward(self, input: Tensor | None = None, context: Tensor | None = None) -> NormalMixture:
        return NormalMixture(self.logits, self.loc, positive(self.raw))
