"""Prior that is a learned mixture of Gaussians."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .._conditional import Unconditional
from .._registry import register
from ..distributions import (
    FullNormalMixture,
    NormalMixture,
    from_scale,
    from_scale_tril,
    to_scale,
    to_scale_tril,
)
from ..distributions._output_maps import LOG_SCALE_BOUND, TRIL_ENTRY_BOUND, check_bounds
from ..errors import ArgumentError, check_choice, check_counts
from ._registration import PriorRegistration


@register(
    PriorRegistration(
        title="mixture of Gaussians",
        paper="Dilokthanakul et al. 2016",
        use_when="data have clusters, or samples look blurred between them",
        cost="one density per component",
        avoid_when="the latent has very few variables",
    )
)
class Mixture(Unconditional):
    """``p(z) = sum_c w_c N(z; m_c, S_c)`` with learned weights, means and covariances.

    The means start as standard normal draws and the scales at 1, so that the mixture starts near
    the standard normal prior.

    Dilokthanakul et al., Deep unsupervised clustering with Gaussian mixture variational
    autoencoders (2016).

    Args:
        latent: Number of latent variables.
        components: Number of Gaussians.
        covariance: ``"diagonal"``, or ``"full"`` as in ``posteriors.Normal``.
        slope_bound: Largest slope by which a variable of a full covariance follows an earlier one,
            in units of its own scale; a large bound lets components be nearly flat.
        scale_bound: Bound of the absolute logarithm of a scale: 6 is 0.0025 to 403.

    Raises:
        ArgumentError: ``components`` is less than 1, ``covariance`` is unknown, or a bound is
            not positive.

    Example:
        >>> Mixture(2, components=3)().log_prob(torch.zeros(5, 2)).shape
        torch.Size([5])
    """

    def __init__(
        self,
        latent: int,
        components: int = 50,
        covariance: Literal["diagonal", "full"] = "diagonal",
        slope_bound: float = TRIL_ENTRY_BOUND,
        scale_bound: float = LOG_SCALE_BOUND,
    ) -> None:
        super().__init__()
        check_counts(components=components)
        check_choice("covariance", covariance, ("diagonal", "full"))
        check_bounds(slope_bound=slope_bound, scale_bound=scale_bound)
        self.slope_bound, self.scale_bound = float(slope_bound), float(scale_bound)
        self.logits = nn.Parameter(torch.zeros(components))
        self.loc = nn.Parameter(torch.randn(components, latent))
        self.raw = nn.Parameter(torch.zeros(components, latent))
        self.lower = (
            nn.Parameter(torch.zeros(components, latent, latent)) if covariance == "full" else None
        )

    def forward(self, input: Tensor | None = None, context: Tensor | None = None) -> Distribution:
        if self.lower is None:
            return NormalMixture(self.logits, self.loc, to_scale(self.raw, self.scale_bound))
        factor = to_scale_tril(self.raw, self.lower, self.slope_bound, self.scale_bound)
        return FullNormalMixture(self.logits, self.loc, factor)

    def set_standard_normal(self) -> None:
        """Make every component the standard normal distribution."""
        count, latent = self.loc.shape
        unit = torch.eye(latent).to(self.loc).repeat(count, 1, 1)
        weight = self.logits.new_full((count,), 1 / count)
        self.set_components(weight, torch.zeros_like(self.loc), unit)

    @torch.no_grad()
    def set_components(self, weight: Tensor, mean: Tensor, covariance: Tensor) -> None:
        """Set weights, means and covariances; a diagonal mixture uses the diagonals.

        Args:
            weight: Weights ``[C]``.
            mean: Means ``[C, D]``.
            covariance: Covariances ``[C, D, D]``.

        Raises:
            ArgumentError: A covariance is not positive definite.
        """
        factor, failed = torch.linalg.cholesky_ex(covariance)
        if failed.any():
            which = int(failed.nonzero()[0])
            least = torch.linalg.eigvalsh(covariance[which]).min().item()
            raise ArgumentError(
                f"the covariance of component {which} is not positive definite: its least "
                f"eigenvalue is {least:.3g}",
                argument="covariance",
                suggestions=(
                    "Add a small number to its diagonal: covariance + 1e-6 * torch.eye(D)",
                ),
            )
        self.logits.copy_(weight.log())
        self.loc.copy_(mean)
        if self.lower is None:
            scale = covariance.diagonal(dim1=-2, dim2=-1).sqrt()
            self.raw.copy_(from_scale(scale, self.scale_bound))
            return
        raw, below = from_scale_tril(factor, self.slope_bound, self.scale_bound)
        self.raw.copy_(raw)
        self.lower.copy_(below)
