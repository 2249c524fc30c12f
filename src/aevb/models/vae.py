"""The latent-variable model with its approximate posterior."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ..conditional import Conditional, Unconditional
from ..distributions import kl
from ..errors import ArgumentError, DataError, IncompatibleError
from ..likelihoods.likelihood import Likelihood
from ..random import borrowed
from ..types import Batch, Recorded, Terms


class VAE(Recorded, nn.Module):
    """``p(x, z) = p(x|z) p(z)`` with ``q(z|x)`` beside it.

    The three parts may be any conditionals whose shapes fit; they are tried on one datum of zeros here, so that what does not fit is
    said now. Raises ``IncompatibleError`` where the latent of the posterior is not that of the prior.

    >>> from aevb import likelihoods, networks, posteriors, priors
    >>> model = VAE(
    ...     prior=priors.Normal(2),
    ...     posterior=posteriors.Normal(networks.MLP(64, [16]), latent=2),
    ...     likelihood=likelihoods.Bernoulli(networks.MLP(2, [16]), event_shape=(8, 8)),
    ... )
    >>> model.sample(3).shape
    torch.Size([3, 8, 8])
    """

    def __init__(self, prior: Unconditional, posterior: Conditional, likelihood: Likelihood) -> None:
        super().__init__()
        self.prior = prior
        self.posterior = posterior
        self.likelihood = likelihood
        self.event_shape = likelihood.event_shape
        p, q = self.probe()
        if p.event_shape != q.event_shape:
            raise IncompatibleError(
                f"the prior's latent has shape {tuple(p.event_shape)}, the posterior's {tuple(q.event_shape)}; "
                f"build the prior with latent={_argument(q.event_shape)}."
            )
        self.latent_shape = tuple(q.event_shape)
        self.exact_kl = posterior.density and kl.registered(q, p)

    @torch.no_grad()
    def probe(self) -> tuple[Distribution, Distribution]:
        """Prior and posterior for one datum of zeros: what can be asked of their types, before any computing."""
        training, like = self.training, next(self.parameters(), torch.zeros(()))
        self.eval()
        x = torch.zeros(1, *self.event_shape, dtype=like.dtype, device=like.device)
        p, q = self.prior(), self.posterior(x)
        if p.event_shape == q.event_shape:
            self.likelihood(torch.zeros_like(q.mean))  # no draw: asking must not move anyone's random stream
        self.train(training)
        return p, q

    @property
    def device(self) -> torch.device:
        return next(self.parameters(), torch.zeros(())).device

    def terms(
        self,
        batch: Batch,
        z: Tensor,
        q: Distribution,
        *,
        log_measure: Tensor | None = None,
        exact_kl: bool = False,
    ) -> Terms:
        """What the model says about draws ``z`` ``[K, B, *latent]`` from ``q = posterior(x)``.

        ``log_measure`` defaults to ``-log K``, that of K samples.
        """
        p = self.prior(None, batch.context)
        reconstruction = self.likelihood(z, batch.context)
        log_likelihood = reconstruction.log_prob(batch.x)
        if self.training:
            self.likelihood.adapt(reconstruction, batch.x)
        zero = log_likelihood.new_zeros(())
        return Terms(
            log_likelihood=log_likelihood,
            log_prior=p.log_prob(z),
            log_posterior=q.log_prob(z),
            log_measure=torch.full_like(log_likelihood[:, :1], -math.log(len(z))) if log_measure is None else log_measure,
            kl=kl.exact(q, p) if exact_kl else None,
            z=z,
            q=q,
            reconstruction=reconstruction,
            batch=batch,
            weight_kl=zero,
            penalty=zero,
        )

    def draw(self, batch: Batch, samples: int) -> Terms:
        """The terms of ``samples`` draws from the posterior, without a gradient through the draws."""
        q = self.posterior(batch.x, batch.context)
        return self.terms(batch, q.sample((samples,)), q, exact_kl=self.exact_kl)

    @torch.no_grad()
    def encode(self, x: Tensor, context: Tensor | None = None, *, sample: bool = False) -> Tensor:
        """Codes ``[B, *latent]`` of data ``[B, *event]``: the posterior's mean, or a draw from it."""
        q = self.posterior(self._checked(x), context)
        return q.sample() if sample else q.mean

    @torch.no_grad()
    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Expected data ``[*batch, *event]`` given codes ``[*batch, *latent]``, in the units of the data."""
        if tuple(z.shape[z.dim() - len(self.latent_shape) :]) != self.latent_shape:
            raise DataError(f"codes have shape {tuple(z.shape)}; this model decodes {('N', *self.latent_shape)}.")
        like = next(self.parameters(), torch.zeros(()))
        return self.likelihood(z.to(like.device, like.dtype), context).mean

    def reconstruct(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """``decode(encode(x))``, ``[B, *event]``."""
        return self.decode(self.encode(x, context), context)

    @torch.no_grad()
    def sample(self, n: int, context: Tensor | None = None, *, mean: bool = False, generator: torch.Generator | None = None) -> Tensor:
        """``n`` data ``[n, *event]`` by ancestral sampling: ``z`` from the prior, ``x`` from the likelihood (or its mean).

        The encoder is not used. ``generator`` must live on the model's device; it moves on by what was drawn.
        """
        if n < 1:
            raise ArgumentError(f"`n` is {n}; ask for at least 1 sample.")
        with borrowed(generator):
            p = self.prior(None, context)
            z = p.sample((n,) if not p.batch_shape else ())
            x = self.likelihood(z, context)
            return x.mean if mean else x.sample()

    def _checked(self, x: Tensor) -> Tensor:
        if tuple(x.shape[1:]) != self.event_shape:
            raise DataError(f"data have shape {tuple(x.shape)}; this model takes {('N', *self.event_shape)}.")
        like = next(self.parameters(), torch.zeros(()))
        return x.to(like.device, like.dtype)


def _argument(shape: torch.Size) -> int | tuple[int, ...]:
    return shape[0] if len(shape) == 1 else tuple(shape)
