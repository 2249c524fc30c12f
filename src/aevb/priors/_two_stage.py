"""Prior that is a variational autoencoder of the latents."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import distributions
from .._conditional import Conditional, Unconditional, capture_parameters
from .._registry import register
from ..errors import ArgumentError, check_counts
from ..notes import Argument, Part, message
from ._registration import PriorRegistration


@register(
    PriorRegistration(
        title="second VAE",
        paper="Dai and Wipf 2019",
        needs="a second model over the latents",
        instead=message("Use {preset}", preset=Argument("preset", "two_stage_vae")),
        use_when="after training, where samples are worse than reconstructions",
        cost="a second training",
        avoid_when="an exact density of the latent is needed",
    )
)
class TwoStage(Unconditional):
    """``p(z) = E[p(z|w)]`` over ``w ~ p(w)``, with ``q(w|z)``: a second VAE whose data are latents.

    The latents of all rows together rarely have the distribution of the prior of training; a second
    model can learn their distribution. The density is an importance-weighted estimate: bounds
    remain bounds, and ``metrics.log_likelihood`` remains an estimate whose mean is at most the true
    value. Mean and variance are estimated.

    Dai and Wipf, Diagnosing and enhancing VAE models (2019).

    Args:
        prior: The prior of ``w``.
        posterior: The posterior ``q(w|z)``.
        likelihood: The likelihood ``p(z|w)`` with event shape ``(latent,)``.
        samples: Number of draws of a density estimate.

    Raises:
        ArgumentError: ``samples`` is less than 1, or ``likelihood`` has events of another shape.

    Example:
        >>> from aevb import likelihoods, networks, posteriors, priors
        >>> net = networks.MLP(3, [8])
        >>> second = TwoStage(
        ...     priors.Normal(3),
        ...     posteriors.Normal(net, 3),
        ...     likelihoods.Normal(networks.MLP(3, [8]), (3,)),
        ... )
        >>> second().sample((5,)).shape
        torch.Size([5, 3])
    """

    lazy_networks = True
    stochastic_density = True

    def __init__(
        self,
        prior: Unconditional,
        posterior: Conditional,
        likelihood: Conditional,
        samples: int = 16,
    ) -> None:
        super().__init__()
        check_counts(samples=samples)
        self.prior, self.posterior, self.likelihood, self.samples = (
            prior,
            posterior,
            likelihood,
            samples,
        )
        with torch.no_grad():  # heads are built at the first call, and optimisers need all weights
            like = next(self.parameters(), torch.zeros(()))
            w = torch.zeros(1, *prior().event_shape, dtype=like.dtype, device=like.device)
            z = likelihood(w).mean
            posterior(z)
        if z.dim() != 2:
            raise ArgumentError(
                f"its events have shape {tuple(z.shape[1:])}, and latents have shape (latent,)",
                argument="likelihood",
                value=Part(f"likelihoods.{type(likelihood).__name__}"),
            )
        self.latent_size = z.shape[1]

    def forward(
        self, input: Tensor | None = None, context: Tensor | None = None
    ) -> distributions.Marginal:
        return distributions.Marginal(
            self.prior(),
            capture_parameters(self.posterior),
            capture_parameters(self.likelihood),
            self.latent_size,
            self.samples,
        )
