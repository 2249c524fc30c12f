"""A prior that is a variational autoencoder over the codes."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import distributions
from .._conditional import Conditional, Unconditional, capture_parameters
from ..errors import ArgumentError


class TwoStage(Unconditional):
    """``p(z) = E[p(z|w)]`` over ``w ~ p(w)``, with ``q(w|z)`` beside it: a second VAE, of codes in the place of data.

    Codes of all data together are seldom distributed as the prior that they were trained under; a second model, of data that are no wider
    than what they are made of, can learn how. ``prior``, ``posterior`` and ``likelihood`` are its parts, the last a ``Normal`` over as
    many numbers as there are codes. The density is an importance-weighted estimate with ``samples`` draws: bounds stay bounds, and
    ``metrics.log_likelihood`` stays an estimate whose mean is no more than the truth. Mean and variance are estimated.

    Dai and Wipf, Diagnosing and enhancing VAE models (2019). Raises ``ArgumentError`` for less than 1 sample.

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
        if samples < 1:
            raise ArgumentError(f"`samples` is {samples}; give at least 1.")
        self.prior, self.posterior, self.likelihood, self.samples = (
            prior,
            posterior,
            likelihood,
            samples,
        )
        with torch.no_grad():  # heads are made when they first see an input, and optimisers want to know all weights before
            like = next(self.parameters(), torch.zeros(()))
            w = torch.zeros(1, *prior().event_shape, dtype=like.dtype, device=like.device)
            z = likelihood(w).mean
            posterior(z)
        if z.dim() != 2:
            raise ArgumentError(
                f"`likelihood` is over events of shape {tuple(z.shape[1:])}; give one over codes, (latent,)."
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
