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
from .mode import at_rest


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
        like = next(self.parameters(), torch.zeros(()))
        x = torch.zeros(1, *self.event_shape, dtype=like.dtype, device=like.device)
        with at_rest(self):
            p, q = self.prior(), self.infer(Batch(x, index=torch.zeros(1, dtype=torch.long, device=like.device), total=self.posterior.rows))
            if p.event_shape == q.event_shape:
                self.likelihood(torch.zeros_like(q.mean))  # no draw: asking must not move anyone's random stream
        return p, q

    @property
    def device(self) -> torch.device:
        return next(self.parameters(), torch.zeros(())).device

    def given(self, batch: Batch) -> Tensor:
        """What the posterior is told of a batch: its data, or their row numbers where it holds parameters for each row.

        Raises ``IncompatibleError`` for rows that it holds none for.
        """
        rows = self.posterior.rows
        if rows is None:
            return batch.x
        if batch.index is None or batch.total != rows:
            raise IncompatibleError(
                f"`posteriors.{type(self.posterior).__name__}` holds parameters for the {rows:,} rows it was trained on and for no others, "
                "and these come without row numbers or from another set. Use `inference.refine(model, x).model` for new data, or "
                f"`Batch(x, index=..., total={rows})` for rows of its own."
            )
        return batch.index

    def check(self, batch: Batch) -> None:
        """Raise ``IncompatibleError`` where a batch does not say what training must know of it: row numbers, or the size of its set."""
        self.given(batch)
        if self.likelihood.weight_divergence() is not None:
            self._total(batch)

    def infer(self, batch: Batch) -> Distribution:
        """``q(z|x)`` for a batch, with batch shape ``[B]``."""
        return self.posterior(self.given(batch), batch.context)

    def log_joint(self, batch: Batch, z: Tensor) -> Tensor:
        """``log p(x, z)`` for points ``z`` ``[*samples, B, *latent]``: ``[*samples, B]``."""
        return self.likelihood(z, batch.context).log_prob(batch.x) + self.prior(None, batch.context).log_prob(z)

    def terms(
        self,
        batch: Batch,
        z: Tensor,
        q: Distribution,
        *,
        log_measure: Tensor | None = None,
        exact_kl: bool = False,
    ) -> Terms:
        """What the model says about draws ``z`` ``[K, B, *latent]`` from ``q = infer(batch)``.

        ``log_measure`` defaults to ``-log K``, that of K samples.
        """
        p = self.prior(None, batch.context)
        if self.training:
            self.likelihood.redraw()
        reconstruction = self.likelihood(z, batch.context)
        log_likelihood = reconstruction.log_prob(batch.x)
        if self.training:
            self.likelihood.adapt(reconstruction, batch.x, None if log_measure is None else log_measure.detach().exp())
        # in training only: new data do not pay again for what the weights have learnt
        divergence = self.likelihood.weight_divergence() if self.training else None
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
            weight_kl=zero if divergence is None else divergence / self._total(batch),
            penalty=zero,
        )

    def prime(self, x: Tensor) -> None:
        """Let the parts that begin with data look at some ``[N, *event]``."""
        for part in self.modules():
            if isinstance(part, Conditional):
                part.prime(x)

    def draw(self, batch: Batch, samples: int) -> Terms:
        """The terms of ``samples`` draws from the posterior, without a gradient through the draws."""
        q = self.infer(batch)
        return self.terms(batch, q.sample((samples,)), q, exact_kl=self.exact_kl)

    @torch.no_grad()
    def encode(self, x: Tensor, context: Tensor | None = None, *, sample: bool = False) -> Tensor:
        """Codes ``[B, *latent]`` of data ``[B, *event]``: the posterior's mean, or a draw from it."""
        q = self.infer(Batch(self.checked(x), context))
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
            _, x = self.dream(n, context)
            return x.mean if mean else x.sample()

    def dream(self, n: int, context: Tensor | None = None) -> tuple[Tensor, Distribution]:
        """``n`` codes ``[n, *latent]`` from the prior, and ``p(x|z)`` of each."""
        p = self.prior(None, context)
        z = p.sample((n,) if not p.batch_shape else ())
        return z, self.likelihood(z, context)

    def _total(self, batch: Batch) -> int:
        if batch.total is None:
            raise IncompatibleError(
                "random weights share their divergence among all rows of the training set, and this batch does not say how many there "
                "are; write `Batch(x, total=N)`, or give the data as an array."
            )
        return batch.total

    def checked(self, x: Tensor) -> Tensor:
        """Data ``[B, *event]`` on the model's device and in its precision. Raises ``DataError`` where their shape is another."""
        if tuple(x.shape[1:]) != self.event_shape:
            raise DataError(f"data have shape {tuple(x.shape)}; this model takes {('N', *self.event_shape)}.")
        like = next(self.parameters(), torch.zeros(()))
        return x.to(like.device, like.dtype)


def _argument(shape: torch.Size) -> int | tuple[int, ...]:
    return shape[0] if len(shape) == 1 else tuple(shape)
