"""Gaussian posteriors: diagonal, low rank, full covariance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, LowRankMultivariateNormal, MultivariateNormal
from torch.distributions import Normal as Gaussian

from ..conditional import Conditional
from ..distributions import positive
from ..errors import ArgumentError
from ..networks import Heads
from ..shapes import as_shape

Covariance = Literal["diagonal", "low_rank", "full"]


class Normal(Conditional):
    """``q(z|x) = N(mu(x), Sigma(x))`` with ``Sigma`` diagonal, ``D + W W^T`` of a given ``rank``, or full as ``L L^T``.

    Reparameterised: ``z = mu + sigma * eps``, ``mu + L eps``. Scales come through ``distributions.positive``, so they are bounded and
    the density, the draws and the divergence see the same number. ``latent`` may have axes where the covariance is diagonal.

    >>> Normal(nn.Identity(), latent=2, covariance="full")(torch.zeros(5, 3)).rsample((4,)).shape
    torch.Size([4, 5, 2])
    """

    def __init__(self, network: nn.Module, latent: int | Sequence[int], covariance: Covariance = "diagonal", rank: int = 1) -> None:
        super().__init__()
        shape = as_shape("latent", latent)
        families = {"diagonal": _diagonal, "low_rank": _low_rank, "full": _full}
        if covariance not in families:
            raise ArgumentError(f"`covariance` is {covariance!r}; use one of {', '.join(families)}.")
        if covariance != "diagonal" and len(shape) > 1:
            raise ArgumentError(f'`latent` is {latent} with covariance="{covariance}"; give one number, or use covariance="diagonal".')
        if rank < 1:
            raise ArgumentError(f"`rank` is {rank}; give at least 1.")
        self.family: Callable[..., Distribution] = families[covariance]
        size = shape[0]
        further = {"diagonal": [], "low_rank": [(size, rank)], "full": [(size, size)]}[covariance]
        self.heads = Heads(network, shape, shape, *further)

    def forward(self, input: Tensor, context: Tensor | None = None) -> Distribution:
        return self.family(*self.heads(input, context))


def _diagonal(loc: Tensor, raw: Tensor) -> Independent:
    return Independent(Gaussian(loc, positive(raw), validate_args=False), loc.dim() - 1, validate_args=False)


def _low_rank(loc: Tensor, raw: Tensor, factor: Tensor) -> LowRankMultivariateNormal:
    return LowRankMultivariateNormal(loc, factor, positive(raw).square(), validate_args=False)


def _full(loc: Tensor, raw: Tensor, below: Tensor) -> MultivariateNormal:
    lower = torch.tril(below, -1) + torch.diag_embed(positive(raw))
    return MultivariateNormal(loc, scale_tril=lower, validate_args=False)
