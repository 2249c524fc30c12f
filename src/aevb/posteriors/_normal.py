"""Gaussian posteriors: diagonal, low rank, full covariance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor, nn
from torch.distributions import (
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
)
from torch.distributions import Normal as Gaussian

from .._conditional import Conditional
from .._shapes import as_shape
from ..distributions import soft_clip, to_scale, to_scale_tril
from ..distributions._output_maps import TRIL_ENTRY_BOUND
from ..errors import ArgumentError
from ..networks import Heads

Covariance = Literal["diagonal", "low_rank", "full"]


class Normal(Conditional):
    """``q(z|x) = N(mu(x), Sigma(x))`` with ``Sigma`` diagonal, ``S (I + W W^T) S`` of a given ``rank``, or full as ``S L L^T S``.

    ``S`` holds a scale per variable, ``L`` is unit lower triangular. Reparameterised: ``z = mu + sigma * eps``, ``mu + S L eps``. Scales
    come through ``distributions.positive`` and the entries of ``W`` and ``L`` through ``distributions.bounded``, so that the density, the
    draws and the divergence see the same number and none of them can overflow. ``latent`` may have axes where the covariance is diagonal.

    >>> import torch
    >>> Normal(nn.Identity(), latent=2, covariance="full")(torch.zeros(5, 3)).rsample((4,)).shape
    torch.Size([4, 5, 2])
    """

    def __init__(
        self,
        network: nn.Module,
        latent: int | Sequence[int],
        covariance: Covariance = "diagonal",
        rank: int = 1,
    ) -> None:
        super().__init__()
        shape = as_shape("latent", latent)
        families = {"diagonal": _diagonal, "low_rank": _low_rank, "full": _full}
        if covariance not in families:
            raise ArgumentError(
                f"`covariance` is {covariance!r}; use one of {', '.join(families)}."
            )
        if covariance != "diagonal" and len(shape) > 1:
            raise ArgumentError(
                f'`latent` is {latent} with covariance="{covariance}"; give one number, or use covariance="diagonal".'
            )
        if rank < 1:
            raise ArgumentError(f"`rank` is {rank}; give at least 1.")
        self.family: Callable[..., Distribution] = families[covariance]
        size = math.prod(shape)
        further = {"diagonal": [], "low_rank": [(size, rank)], "full": [(size, size)]}[covariance]
        self.heads = Heads(network, shape, shape, *further)

    def forward(self, input: Tensor, context: Tensor | None = None) -> Distribution:
        return self.family(*self.heads(input, context))


def _diagonal(loc: Tensor, raw: Tensor) -> Independent:
    return Independent(
        Gaussian(loc, to_scale(raw), validate_args=False), loc.dim() - 1, validate_args=False
    )


def _low_rank(loc: Tensor, raw: Tensor, factor: Tensor) -> LowRankMultivariateNormal:
    scale = to_scale(raw)
    return LowRankMultivariateNormal(
        loc,
        scale[..., None] * soft_clip(factor, TRIL_ENTRY_BOUND),
        scale.square(),
        validate_args=False,
    )


def _full(loc: Tensor, raw: Tensor, below: Tensor) -> MultivariateNormal:
    return MultivariateNormal(loc, scale_tril=to_scale_tril(raw, below), validate_args=False)
