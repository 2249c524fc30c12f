"""Gaussian posteriors: diagonal, low rank, full covariance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal
from torch.distributions import Normal as Gaussian

from .._conditional import Conditional
from .._registry import register
from .._shapes import as_shape
from ..distributions import LowRankNormal, soft_clip, to_scale, to_scale_tril
from ..distributions._output_maps import LOG_SCALE_BOUND, TRIL_ENTRY_BOUND, check_bounds
from ..errors import ArgumentError, check_choice, check_counts, one_of
from ..networks import Heads
from ..notes import Argument, message
from ._registration import PosteriorRegistration

Covariance = Literal["diagonal", "low_rank", "full"]


@register(
    PosteriorRegistration(
        name="low_rank",
        title="low-rank normal",
        fixed={"covariance": "low_rank"},
        use_when="a few directions of the posterior are correlated",
        cost="rank further outputs per latent",
        avoid_when="the diagonal reaches the same bound",
    )
)
@register(
    PosteriorRegistration(
        name="full_covariance",
        title="normal with full covariance",
        paper="Kingma and Welling 2019",
        fixed={"covariance": "full"},
        use_when="the posterior is correlated and the latent small",
        cost="latent squared outputs",
        avoid_when="the latent has more than about 50 variables",
    )
)
@register(
    PosteriorRegistration(
        title="diagonal normal",
        paper="Kingma and Welling 2014",
        use_when="the place to start",
        cost="none: the reference",
        avoid_when="the posterior is correlated or has several modes",
    )
)
class Normal(Conditional):
    """``q(z|x) = N(mu(x), Sigma(x))``.

    ``Sigma`` is diagonal, ``S (I + W W^T) S`` of some rank, or full, ``S L L^T S``, with scales
    ``S`` and ``L`` unit lower triangular. Reparameterised: ``z = mu + sigma * eps`` or
    ``mu + S L eps``. The maps from outputs to scales and entries are bounded
    (``distributions.to_scale`` and ``distributions.soft_clip``), so that density, draws and KL
    divergence see the same numbers and none overflows.

    Kingma and Welling, Auto-encoding variational Bayes (2014).

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: Shape of the latent; more than one axis needs a diagonal covariance.
        covariance: ``"diagonal"``, ``"low_rank"`` or ``"full"``.
        rank: Rank of ``W``.
        scale_bound: Bound of the absolute logarithm of a scale: 6 is 0.0025 to 403.

    Raises:
        ArgumentError: ``covariance`` is unknown or does not fit ``latent``, ``rank`` is less than
            1, or ``scale_bound`` is not positive.

    Example:
        >>> import torch
        >>> Normal(nn.Identity(), latent=2, covariance="full")(torch.zeros(5, 3)).rsample(
        ...     (4,)
        ... ).shape
        torch.Size([4, 5, 2])
    """

    def __init__(
        self,
        network: nn.Module,
        latent: int | Sequence[int],
        covariance: Covariance = "diagonal",
        rank: int = 1,
        scale_bound: float = LOG_SCALE_BOUND,
    ) -> None:
        super().__init__()
        shape = as_shape("latent", latent)
        families = {"diagonal": _diagonal, "low_rank": _low_rank, "full": _full}
        check_choice("covariance", covariance, tuple(families))
        if covariance != "diagonal" and len(shape) > 1:
            raise ArgumentError(
                message(
                    "give one number with {covariance}",
                    covariance=Argument("covariance", covariance),
                ),
                argument="latent",
                value=latent,
                suggestions=(one_of("covariance", ["diagonal"]),),
            )
        check_counts(rank=rank)
        check_bounds(scale_bound=scale_bound)
        self.scale_bound = float(scale_bound)
        self.family: Callable[..., Distribution] = families[covariance]
        size = math.prod(shape)
        further = {"diagonal": [], "low_rank": [(size, rank)], "full": [(size, size)]}[covariance]
        self.heads = Heads(network, shape, shape, *further)

    def forward(self, input: Tensor, context: Tensor | None = None) -> Distribution:
        return self.family(self.scale_bound, *self.heads(input, context))


def _diagonal(bound: float, loc: Tensor, raw: Tensor) -> Independent:
    return Independent(
        Gaussian(loc, to_scale(raw, bound), validate_args=False), loc.dim() - 1, validate_args=False
    )


def _low_rank(bound: float, loc: Tensor, raw: Tensor, factor: Tensor) -> LowRankNormal:
    scale = to_scale(raw, bound)
    return LowRankNormal(
        loc,
        scale[..., None] * soft_clip(factor, TRIL_ENTRY_BOUND),
        scale.square(),
        validate_args=False,
    )


def _full(bound: float, loc: Tensor, raw: Tensor, below: Tensor) -> MultivariateNormal:
    factor = to_scale_tril(raw, below, scale_bound=bound)
    return MultivariateNormal(loc, scale_tril=factor, validate_args=False)
