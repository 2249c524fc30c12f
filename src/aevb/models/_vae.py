"""The latent-variable model with its approximate posterior."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .._conditional import Conditional, Unconditional
from .._random import use_generator
from ..distributions import _kl as kl
from ..distributions import analytic_kl_mask, hierarchy_terms
from ..errors import ArgumentError, DataError, IncompatibleError
from ..likelihoods._likelihood import Likelihood
from ..networks._condition import Condition
from ..types import Batch, Configurable, Terms
from ._eval_mode import eval_mode


class VAE(Configurable, nn.Module):
    """``p(x, z) = p(x|z) p(z)`` with ``q(z|x)`` beside it.

    The three parts may be any conditionals whose shapes fit; they are tried on one datum of zeros here, so that what does not fit is
    said now. Raises ``IncompatibleError`` where the latent of the posterior is not that of the prior.

    With networks that are told something of each datum (``networks.ConditionedNetwork``) all of it is given that: ``p(x, z|c)`` and
    ``q(z|x, c)``. What they are told is ``condition``; batches bring it as ``context``, and calls take ``label=`` instead.

    >>> from aevb import likelihoods, networks, posteriors, priors
    >>> model = VAE(
    ...     prior=priors.Normal(2),
    ...     posterior=posteriors.Normal(networks.MLP(64, [16]), latent=2),
    ...     likelihood=likelihoods.Bernoulli(networks.MLP(2, [16]), event_shape=(8, 8)),
    ... )
    >>> model.sample(3).shape
    torch.Size([3, 8, 8])
    """

    def __init__(
        self, prior: Unconditional, posterior: Conditional, likelihood: Likelihood
    ) -> None:
        super().__init__()
        self.prior = prior
        self.posterior = posterior
        self.likelihood = likelihood
        self.event_shape = likelihood.event_shape
        self._check_condition()
        self._unify_device_and_dtype()
        p, q = self.probe()
        if p.event_shape != q.event_shape:
            raise IncompatibleError(
                f"the prior's latent has shape {tuple(p.event_shape)}, the posterior's {tuple(q.event_shape)}; "
                f"build the prior with latent={_format_shape(q.event_shape)}."
            )
        self.latent_shape = tuple(q.event_shape)
        self.analytic_kl_layers = analytic_kl_mask(
            q, p
        )  # of a hierarchy: of which layers the divergence has one
        self.exact_kl = posterior.has_density and kl.has_analytic_kl(q, p)
        self.uses_analytic_kl = self.exact_kl or any(self.analytic_kl_layers)

    def _unify_device_and_dtype(self) -> None:
        """Bring the parts to one place and one precision: the accelerator where one of them is on it, the widest of theirs."""
        weights = [parameter for parameter in self.parameters() if parameter.is_floating_point()]
        if weights:
            place = next(
                (weight.device for weight in weights if weight.device.type != "cpu"),
                weights[0].device,
            )
            self.to(
                place, functools.reduce(torch.promote_types, (weight.dtype for weight in weights))
            )

    @torch.no_grad()
    def probe(self) -> tuple[Distribution, Distribution]:
        """Prior and posterior for one datum of zeros: what can be asked of their types, before any computing."""
        like = next(self.parameters(), torch.zeros(()))
        x = torch.zeros(1, *self.event_shape, dtype=like.dtype, device=like.device)
        with eval_mode(self):
            index, context = torch.zeros(1, dtype=torch.long, device=like.device), self.null_context
            p, q = (
                self.prior(None, context),
                self.infer(Batch(x, context, index, dataset_size=self.posterior.n_rows)),
            )
            if p.event_shape == q.event_shape:
                self.likelihood(
                    torch.zeros_like(q.mean), context
                )  # no draw: asking must not move anyone's random stream
        return p, q

    @property
    def condition(self) -> Condition | None:
        """What the model is told of each datum, where it is told anything."""
        return next((part for part in self.modules() if isinstance(part, Condition)), None)

    @property
    def null_context(self) -> Tensor | None:
        """A context of zeros ``[1, C]``, for questions whose answer does not depend on it."""
        condition, like = self.condition, next(self.parameters(), torch.zeros(()))
        return (
            None
            if condition is None or condition.is_optional
            else like.new_zeros(1, condition.width)
        )

    def resolve_context(
        self, n: int, context: Tensor | None = None, label: Any = None
    ) -> Tensor | None:
        """The context ``[n, C]`` of ``n`` data from what a caller gave: ``context`` ``[n, C]`` or ``[C]``, or ``label`` as it is called.

        Raises ``IncompatibleError`` where the model is told something and neither was given, or the other way round, and what
        ``networks.Condition.of`` raises.
        """
        condition, like = self.condition, next(self.parameters(), torch.zeros(()))
        if condition is None:
            if label is not None:
                raise IncompatibleError(
                    f"label={label!r}: this model is told nothing of its data. Leave label out, or train one that is, as with "
                    'condition="label".'
                )
            return context
        if label is not None:
            return condition.to_context(label, n).to(like)
        if context is None and condition.is_optional:
            return None
        context = condition.check_context(context).to(like)
        if context.dim() > 1 and len(context) not in (1, n):
            raise DataError(
                f"`context` has {len(context)} rows for {n} data: give one for each, or a single one for all."
            )
        return context.expand(n, -1)

    def _check_condition(self) -> None:
        found = {part.variables for part in self.modules() if isinstance(part, Condition)}
        if len(found) > 1:
            names = " and ".join(", ".join(factor.name for factor in factors) for factors in found)
            raise IncompatibleError(
                f"parts of the model are told different things ({names}); give all of them the same `Condition`."
            )

    @property
    def device(self) -> torch.device:
        return next(self.parameters(), torch.zeros(())).device

    def posterior_input(self, batch: Batch) -> Tensor:
        """What the posterior is told of a batch: its data, or their row numbers where it holds parameters for each row.

        Raises ``IncompatibleError`` for rows that it holds none for.
        """
        rows = self.posterior.n_rows
        if rows is None:
            return batch.x
        if batch.index is None or batch.dataset_size != rows:
            raise IncompatibleError(
                f"`posteriors.{type(self.posterior).__name__}` holds parameters for the {rows:,} rows it was trained on and for no others, "
                "and these come without row numbers or from another set. Use `inference.refine(model, x).model` for new data, or "
                f"`Batch(x, index=..., total={rows})` for rows of its own."
            )
        return batch.index

    def check_batch(self, batch: Batch) -> None:
        """Raise ``IncompatibleError`` where a batch lacks what training must know of it: row numbers, the size of its set, context."""
        self.posterior_input(batch)
        self._check_context(batch)
        if self.likelihood.weight_kl() is not None:
            self._dataset_size(batch)

    def _check_context(self, batch: Batch) -> None:
        condition = self.condition
        if condition is not None and not (condition.is_optional and batch.context is None):
            context = condition.check_context(batch.context)
            row = (~context.isfinite().all(1)).nonzero()
            if len(row) and not condition.is_optional:
                raise DataError(
                    f"row {int(row[0])} of the first batch comes without {', '.join(condition.names)}, and the model is told it of each "
                    "datum; fill it or drop the row, or use preset=semi_supervised_vae, which infers a class."
                )
        elif condition is None and batch.context is not None:
            raise IncompatibleError(
                "the data come with a context and no network of the model is told it: build the networks with context="
                f"{batch.context.shape[-1]} inside of `networks.ConditionedNetwork(...)`, as presets do, or read the data without condition."
            )

    def infer(self, batch: Batch) -> Distribution:
        """``q(z|x)`` for a batch, with batch shape ``[B]``."""
        return self.posterior(self.posterior_input(batch), batch.context)

    def log_joint(self, batch: Batch, z: Tensor) -> Tensor:
        """``log p(x, z)`` for points ``z`` ``[*samples, B, *latent]``: ``[*samples, B]``."""
        return self.likelihood(z, batch.context).log_prob(batch.x) + self.prior(
            None, batch.context
        ).log_prob(z)

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
            self.likelihood.resample_weights()
        layers = hierarchy_terms(q, p, z, self.analytic_kl_layers if exact_kl else ())
        reconstruction = (
            self.likelihood(z, batch.context)
            if layers is None
            else self.likelihood.decode_layers(layers.trace, z, batch.context)
        )
        log_likelihood = reconstruction.log_prob(batch.x)
        if self.training:
            self.likelihood.update_state(
                reconstruction, batch.x, None if log_measure is None else log_measure.detach().exp()
            )
            self.posterior.update_state(q, z)
        # in training only: new data do not pay again for what the weights have learnt
        divergence = self.likelihood.weight_kl() if self.training else None
        zero, penalty = log_likelihood.new_zeros(()), self.posterior.penalty(q)
        if layers is None:
            log_prior, log_posterior, exact = (
                p.log_prob(z),
                q.log_prob(z),
                kl.analytic_kl(q, p) if exact_kl else None,
            )
        else:
            log_prior, log_posterior, exact = (
                layers.log_prior,
                layers.log_posterior,
                layers.layer_kl.sum(0) if exact_kl else None,
            )
        return Terms(
            log_likelihood=log_likelihood,
            log_prior=log_prior,
            log_posterior=log_posterior,
            log_measure=torch.full_like(log_likelihood[:, :1], -math.log(len(z)))
            if log_measure is None
            else log_measure,
            kl=exact,
            z=z,
            q=q,
            reconstruction=reconstruction,
            batch=batch,
            weight_kl=zero if divergence is None else divergence / self._dataset_size(batch),
            penalty=zero if penalty is None else penalty,
            layer_kl=None if layers is None else layers.layer_kl,
        )

    def initialise_from_data(self, x: Tensor, context: Tensor | None = None) -> None:
        """Let the parts that begin with data look at some ``[N, *event]``, and at what is told of them ``[N, C]``."""
        for part in self.modules():
            if isinstance(part, Conditional):
                part.initialise_from_data(x, context)

    def draw_terms(self, batch: Batch, samples: int) -> Terms:
        """The terms of ``samples`` draws from the posterior, without a gradient through the draws."""
        q = self.infer(batch)
        return self.terms(batch, q.sample((samples,)), q, exact_kl=self.uses_analytic_kl)

    @torch.no_grad()
    def encode(
        self, x: Tensor, context: Tensor | None = None, *, label: Any = None, sample: bool = False
    ) -> Tensor:
        """Codes ``[B, *latent]`` of data ``[B, *event]``: the posterior's mean, or a draw from it.

        A model that is told something of each datum takes it as ``context`` ``[B, C]``, or as ``label``: a value for all, a list of
        ``B``, or a dict of these by name. So do ``decode``, ``reconstruct`` and ``sample``.
        """
        q = self.infer(Batch(self.to_model_input(x), self.resolve_context(len(x), context, label)))
        return q.sample() if sample else q.mean

    @torch.no_grad()
    def decode(self, z: Tensor, context: Tensor | None = None, *, label: Any = None) -> Tensor:
        """Expected data ``[*batch, *event]`` given codes ``[*batch, *latent]``, in the units of the data."""
        batch = z.shape[: z.dim() - len(self.latent_shape)]
        if tuple(z.shape[len(batch) :]) != self.latent_shape:
            raise DataError(
                f"codes have shape {tuple(z.shape)}; this model decodes {('N', *self.latent_shape)}."
            )
        like = next(self.parameters(), torch.zeros(()))
        context = self.resolve_context(batch[-1] if batch else 1, context, label)
        return self.likelihood(
            z.to(like.device, like.dtype), context if batch or context is None else context[0]
        ).mean

    def reconstruct(self, x: Tensor, context: Tensor | None = None, *, label: Any = None) -> Tensor:
        """``decode(encode(x))``, ``[B, *event]``."""
        context = self.resolve_context(len(x), context, label)
        return self.decode(self.encode(x, context), context)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        context: Tensor | None = None,
        *,
        label: Any = None,
        mean: bool = False,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """``n`` data ``[n, *event]`` by ancestral sampling: ``z`` from the prior, ``x`` from the likelihood (or its mean).

        The encoder is not used. ``generator`` must live on the model's device; it moves on by what was drawn.
        """
        if n < 1:
            raise ArgumentError(f"`n` is {n}; ask for at least 1 sample.")
        context = self.resolve_context(n, context, label)
        with use_generator(generator):
            _, x = self.sample_joint(n, context)
            return x.mean if mean else x.sample()

    def sample_joint(self, n: int, context: Tensor | None = None) -> tuple[Tensor, Distribution]:
        """``n`` codes ``[n, *latent]`` from the prior, and ``p(x|z)`` of each."""
        p = self.prior(None, context)
        z = p.sample((n,) if not p.batch_shape else ())
        return z, self.likelihood(z, context)

    def _dataset_size(self, batch: Batch) -> int:
        if batch.dataset_size is None:
            raise IncompatibleError(
                "random weights share their divergence among all rows of the training set, and this batch does not say how many there "
                "are; write `Batch(x, total=N)`, or give the data as an array."
            )
        return batch.dataset_size

    def to_model_input(self, x: Tensor) -> Tensor:
        """Data ``[B, *event]`` on the model's device and in its precision. Raises ``DataError`` where their shape is another."""
        if tuple(x.shape[1:]) != self.event_shape:
            raise DataError(
                f"data have shape {tuple(x.shape)}; this model takes {('N', *self.event_shape)}."
            )
        like = next(self.parameters(), torch.zeros(()))
        return x.to(like.device, like.dtype)


def _format_shape(shape: torch.Size) -> int | tuple[int, ...]:
    return shape[0] if len(shape) == 1 else tuple(shape)
