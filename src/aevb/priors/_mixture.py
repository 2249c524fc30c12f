"""A learned mixture of Gaussians as prior."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .._conditional import Unconditional
from ..distributions import (
    FullNormalMixture,
    NormalMixture,
    from_scale,
    from_scale_tril,
    to_scale,
    to_scale_tril,
)
from ..errors import ArgumentError


class Mixture(Unconditional):
    """``p(z) = sum_c w_c N(z; m_c, S_c)`` with learned weights, means and covariances, ``latent`` numbers each.

    ``covariance`` is ``"diagonal"``, or ``"full"`` as in ``posteriors.Normal``. The means begin as standard normal draws and the scales at
    1, so that the whole begins near the standard normal prior. Dilokthanakul et al. (2016) and others. Raises ``ArgumentError`` for less
    than 1 component and an unknown covariance.

    >>> Mixture(2, components=3)().log_prob(torch.zeros(5, 2)).shape
    torch.Size([5])
    """

    def __init__(
        self,
        latent: int,
        components: int = 50,
        covariance: Literal["diagonal", "full"] = "diagonal",
    ) -> None:
        super().__init__()
        if components < 1:
            raise ArgumentError(f"`components` is {components}; give at least 1.")
        if covariance not in ("diagonal", "full"):
            raise ArgumentError(f'`covariance` is {covariance!r}; use "diagonal" or "full".')
        self.logits = nn.Parameter(torch.zeros(components))
        self.loc = nn.Parameter(torch.randn(components, latent))
        self.raw = nn.Parameter(torch.zeros(components, latent))
        self.lower = (
            nn.Parameter(torch.zeros(components, latent, latent)) if covariance == "full" else None
        )

    def forward(self, input: Tensor | None = None, context: Tensor | None = None) -> Distribution:
        if self.lower is None:
            return NormalMixture(self.logits, self.loc, to_scale(self.raw))
        return FullNormalMixture(self.logits, self.loc, to_scale_tril(self.raw, self.lower))

    @torch.no_grad()
    def set_components(self, weight: Tensor, mean: Tensor, covariance: Tensor) -> None:
        """Be the mixture with these weights ``[C]``, means ``[C, D]`` and covariances ``[C, D, D]``; a diagonal one takes diagonals.

        Raises ``ArgumentError`` for a covariance that is not positive definite.
        """
        factor, failed = torch.linalg.cholesky_ex(covariance)
        if failed.any():
            which = int(failed.nonzero()[0])
            least = torch.linalg.eigvalsh(covariance[which]).min().item()
            raise ArgumentError(
                f"`covariance` of component {which} is not positive definite: its least eigenvalue is {least:.3g}. "
                "Add a little to its diagonal, as covariance + 1e-6 * torch.eye(D)."
            )
        self.logits.copy_(weight.log())
        self.loc.copy_(mean)
        if self.lower is None:
            self.raw.copy_(from_scale(covariance.diagonal(dim1=-2, dim2=-1).sqrt()))
            return
        raw, below = from_scale_tril(factor)
        self.raw.copy_(raw)
        self.lower.copy_(below)
