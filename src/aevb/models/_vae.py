"""The latent-variable model with its approximate posterior."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .._conditional import Conditional, Unconditional
from .._offset import add_offset, subtract_offset
from .._random import use_generator
from .._row_noise import RowNoise, share_moment_noise
from ..distributions import analytic_kl, hierarchy_terms
from ..distributions._members import count_members, zero_latents
from ..errors import DataError, IncompatibleError, check_counts
from ..likelihoods._likelihood import Likelihood
from ..networks._condition import Condition
from ..networks._whitening import DataDependentNetwork
from ..notes import Argument, Part, message
from ..types import Batch, Configurable, Terms
from ._capabilities import Capabilities
from ._eval_mode import eval_mode
from ._input_checks import as_tensor, check_batch
from ._linear_start import has_linear_encoder, start_from_data


class VAE(Configurable, nn.Module):
    """A latent-variable model ``p(x, z) = p(x|z) p(z)`` with an approximate posterior ``q(z|x)``.

    The parts may be any conditionals whose shapes fit; the constructor tries them on one row of
    zeros. With networks that take a context (``networks.ConditionedNetwork``) all parts are
    conditioned on it: ``p(x, z|c)`` and ``q(z|x, c)``. ``condition`` describes the context; batches
    carry it as ``context``, and methods accept ``label`` instead.

    Kingma and Welling, Auto-encoding variational Bayes (2014).

    Args:
        prior: The prior ``p(z)``.
        posterior: The approximate posterior ``q(z|x)``.
        likelihood: The likelihood ``p(x|z)``.

    Raises:
        IncompatibleError: The latents of prior and posterior differ in shape, or parts have
            different conditions.

    Attributes:
        capabilities: What can be computed with the model.
        condition: Description of the context, ``None`` for an unconditional model.
        event_shape: Shape of a row of data.
        data_offset: What ``to_model_input`` subtracts from data far from 0, ``None`` for others.
            Batches and the distributions of the likelihood are in model units.
        latent_shape: Shape of the latent of a row.

    Example:
        >>> from aevb import likelihoods, networks, posteriors, priors
        >>> model = VAE(
        ...     prior=priors.Normal(2),
        ...     posterior=posteriors.Normal(networks.MLP(64, [16]), latent=2),
        ...     likelihood=likelihoods.Bernoulli(networks.MLP(2, [16]), event_shape=(8, 8)),
        ... )
        >>> model.sample(3).shape
        torch.Size([3, 8, 8])
    """

    condition: Condition | None
    capabilities: Capabilities

    def __init__(
        self, prior: Unconditional, posterior: Conditional, likelihood: Likelihood
    ) -> None:
        super().__init__()
        self.prior = prior
        self.posterior = posterior
        self.likelihood = likelihood
        self.event_shape = likelihood.event_shape
        offsets = (
            part.data_offset for part in likelihood.modules() if isinstance(part, Likelihood)
        )
        self.data_offset = next((offset for offset in offsets if offset is not None), None)
        # not registered as a submodule: it belongs to the networks, and copies follow by reference
        self.__dict__["condition"] = self._find_condition()
        self._unify_device_and_dtype()
        p, q = self.probe()
        if p.event_shape != q.event_shape:
            shape = tuple(q.event_shape)
            raise IncompatibleError(
                f"the prior's latent has shape {tuple(p.event_shape)}, the posterior's {shape}",
                argument="prior",
                suggestions=(
                    message(
                        "Build the prior with {latent}",
                        latent=Argument("latent", shape[0] if len(shape) == 1 else shape),
                    ),
                ),
            )
        if count_members(p) != count_members(q):
            raise IncompatibleError(
                f"the prior is of {count_members(p)} members, the posterior of {count_members(q)}",
                argument="prior",
                suggestions=("Combine whole models by models.build_ensemble",),
            )
        self.latent_shape = tuple(q.event_shape)
        self.capabilities = Capabilities.from_parts(
            prior, posterior, likelihood, self.condition, p, q
        )
        # read by every training step, therefore plain attributes
        self.analytic_kl_layers = self.capabilities.analytic_kl_layers
        self.exact_kl = self.capabilities.analytic_kl
        self.uses_analytic_kl = self.capabilities.uses_analytic_kl

    def _unify_device_and_dtype(self) -> None:
        """Move the parts to one device, an accelerator if a part is on one, and one precision."""
        weights = [parameter for parameter in self.parameters() if parameter.is_floating_point()]
        if weights:
            device = next(
                (weight.device for weight in weights if weight.device.type != "cpu"),
                weights[0].device,
            )
            self.to(
                device, functools.reduce(torch.promote_types, (weight.dtype for weight in weights))
            )

    @torch.no_grad()
    def probe(self) -> tuple[Distribution, Distribution]:
        """Return prior and posterior for one row of zeros, without random draws.

        Returns:
            ``p(z)`` and ``q(z|x)`` with batch size 1.
        """
        like = next(self.parameters(), torch.zeros(()))
        x = torch.zeros(1, *self.event_shape, dtype=like.dtype, device=like.device)
        with eval_mode(self):
            index, context = torch.zeros(1, dtype=torch.long, device=like.device), self.null_context
            p, q = (
                self.prior(None, context),
                self.infer(Batch(x, context, index, dataset_size=self.posterior.n_rows)),
            )
            if p.event_shape == q.event_shape:
                # zeros and no draw: a probe must not move a random stream
                self.likelihood(zero_latents(q), context)
        return p, q

    @property
    def null_context(self) -> Tensor | None:
        """A context of zeros ``[1, C]``, for results that do not depend on the context."""
        condition, like = self.condition, next(self.parameters(), torch.zeros(()))
        return (
            None
            if condition is None or condition.is_optional
            else like.new_zeros(1, condition.width)
        )

    def resolve_context(
        self, n: int, context: Tensor | None = None, label: Any = None
    ) -> Tensor | None:
        """Return the context ``[n, C]`` of ``n`` rows from the arguments of a caller.

        Args:
            n: Number of rows.
            context: Context ``[n, C]`` or ``[C]``.
            label: A value for all rows, a list of ``n`` values, or a dict of these by name.

        Returns:
            The context, ``None`` for an unconditional model.

        Raises:
            IncompatibleError: The context is missing, or the model takes none.
            ArgumentError: ``label`` names an unknown class or variable.
            DataError: ``context`` has another number of rows.
        """
        condition, like = self.condition, next(self.parameters(), torch.zeros(()))
        if condition is None:
            if label is not None:
                raise IncompatibleError(
                    "the model takes no context",
                    argument="label",
                    value=label,
                    suggestions=(
                        "Leave it out",
                        message(
                            "Train a model with {condition}",
                            condition=Argument("condition", "label"),
                        ),
                    ),
                )
            return context
        if label is not None:
            return condition.to_context(label, n).to(like)
        if context is None and condition.is_optional:
            return None
        context = condition.check_context(context).to(like)
        if context.dim() > 1 and len(context) not in (1, n):
            raise DataError(
                f"the context has {len(context)} rows for {n} rows of data",
                argument="context",
                suggestions=("Give one row for each, or a single one for all",),
            )
        return context.expand(n, -1)

    def _find_condition(self) -> Condition | None:
        conditions = [part for part in self.modules() if isinstance(part, Condition)]
        variables = {part.variables for part in conditions}
        if len(variables) > 1:
            names = " and ".join(", ".join(each.name for each in group) for group in variables)
            raise IncompatibleError(
                f"parts of the model have different conditions ({names})",
                argument="condition",
                suggestions=("Give all parts the same networks.Condition",),
            )
        return conditions[0] if conditions else None

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return next(self.parameters(), torch.zeros(())).device

    @property
    def constant_cells(self) -> Tensor | None:
        """The values ``[*event]`` of cells that add 0 to ``log p(x|z)``, NaN for all others.

        They are in model units; ``None`` where no cell is constant.
        """
        return self.likelihood.constant_values

    def posterior_input(self, batch: Batch) -> Tensor:
        """Return the input of the posterior: the data, or row numbers for parameters per row.

        Args:
            batch: The rows.

        Returns:
            Data ``[B, *event]`` or row numbers ``[B]``.

        Raises:
            IncompatibleError: The posterior has no parameters for these rows.
        """
        rows = self.posterior.n_rows
        if rows is None:
            return batch.x
        if batch.index is None or batch.dataset_size != rows:
            raise IncompatibleError(
                message(
                    "{posterior} has parameters for its {rows} training rows alone, and these rows "
                    "have no row numbers or belong to another data set",
                    posterior=Part(f"posteriors.{type(self.posterior).__name__}"),
                    rows=f"{rows:,}",
                ),
                argument="index",
                suggestions=(
                    "Use inference.refine(model, x).model for new rows",
                    f"Use Batch(x, index=..., dataset_size={rows}) for training rows",
                ),
            )
        return batch.index

    def check_batch(self, batch: Batch) -> None:
        """Check that a batch has the row numbers, data set size and context that training needs.

        Args:
            batch: The rows.

        Raises:
            IncompatibleError: The batch has no row numbers, data set size or context.
            DataError: A row has no context.
        """
        self.posterior_input(batch)
        self._check_context(batch)
        if self.likelihood.weight_kl() is not None:
            self._dataset_size(batch)

    def _check_context(self, batch: Batch) -> None:
        condition = self.condition
        if condition is not None and not (condition.is_optional and batch.context is None):
            context = condition.check_context(batch.context, of_rows=True)
            row = (~context.isfinite().all(1)).nonzero()
            if len(row) and not condition.is_optional:
                raise DataError(
                    f"row {int(row[0])} of the first batch has no {', '.join(condition.names)}, "
                    "and the model needs it for each row",
                    argument="context",
                    suggestions=(
                        "Fill the gaps or drop the rows",
                        message(
                            "Use {preset}, which infers a class",
                            preset=Argument("preset", "semi_supervised_vae"),
                        ),
                    ),
                )
        elif condition is None and batch.context is not None:
            raise IncompatibleError(
                "the data have a context, and no network of the model takes one",
                argument="context",
                suggestions=(
                    message(
                        "Build the networks with {context} inside {wrapper}, as presets do",
                        context=Argument("context", batch.context.shape[-1]),
                        wrapper=Part("networks.ConditionedNetwork"),
                    ),
                    message("Load the data without {condition}", condition=Argument("condition")),
                ),
            )

    def infer(self, batch: Batch) -> Distribution:
        """Return ``q(z|x)`` for a batch.

        Args:
            batch: The rows.

        Returns:
            The posterior with batch shape ``[B]``.
        """
        return self.posterior(self.posterior_input(batch), batch.context)

    def log_joint(self, batch: Batch, z: Tensor) -> Tensor:
        """Return ``log p(x, z)``.

        Args:
            batch: The rows.
            z: Latents ``[*samples, B, *latent]``.

        Returns:
            Log-densities ``[*samples, B]`` in nats.
        """
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
        """Return the terms of the bounds for draws from the posterior.

        Args:
            batch: The rows.
            z: Draws ``[K, B, *latent]``.
            q: The posterior, ``infer(batch)``.
            log_measure: Log-weights of the draws, ``[K, 1]`` or ``[K, B]``; ``-log K`` by default.
            exact_kl: Whether to compute the KL divergence in closed form where possible.

        Returns:
            The terms, ``[K, B]`` each.
        """
        p = self.prior(None, batch.context)
        layers = hierarchy_terms(q, p, z, self.analytic_kl_layers if exact_kl else ())
        reconstruction = (
            self.likelihood(z, batch.context)
            if layers is None
            else self.likelihood.decode_layers(layers.trace, z, batch.context)
        )
        log_likelihood = reconstruction.log_prob(batch.x)
        # in training only: new data do not pay again for what the weights have learnt
        divergence = self.likelihood.weight_kl() if self.training else None
        zero, penalty = log_likelihood.new_zeros(()), self._posterior_penalty(q, batch)
        if layers is None:
            log_prior, log_posterior, exact = (
                p.log_prob(z),
                q.log_prob(z),
                analytic_kl(q, p) if exact_kl else None,
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
            p=p,
            reconstruction=reconstruction,
            batch=batch,
            weight_kl=zero if divergence is None else divergence / self._dataset_size(batch),
            penalty=zero if penalty is None else penalty,
            layer_kl=None if layers is None else layers.layer_kl,
            enumerated=log_measure is not None,
        )

    def _posterior_penalty(self, q: Distribution, batch: Batch) -> Tensor | None:
        if batch.weight is None:  # a penalty of a user may know no weights
            return self.posterior.penalty(q)
        return self.posterior.penalty(q, batch.weight)

    def resample_weights(self) -> None:
        """Draw the random weights of the likelihood; a step calls this before ``terms``."""
        self.likelihood.resample_weights()

    def update_state(self, terms: Terms) -> None:
        """Update state that receives no gradient; a training step calls this after ``terms``.

        Args:
            terms: The terms of the step's draws.
        """
        rows = terms.batch.weight
        weights = terms.log_measure.detach().exp() if terms.enumerated or rows is not None else None
        if rows is None:
            self.posterior.update_state(terms.q, terms.z)
        else:
            assert weights is not None
            # a sum over draws and a mean over rows is the weighted mean; sums over rows count those
            # that are present
            share = rows / rows.sum().clamp(min=torch.finfo(rows.dtype).tiny)
            self.posterior.update_state(terms.q, terms.z, (share * (rows > 0).sum())[None])
            weights = weights * share * len(rows)
        self.likelihood.update_state(terms.reconstruction, terms.batch.x, weights)

    @property
    def initialisation_rows(self) -> int:
        """Largest number of rows for ``initialise_from_data``."""
        parts = [part for part in self.modules() if isinstance(part, Conditional)]
        return max(part.initialisation_rows for part in parts)

    @property
    def starts_at_gaussian(self) -> bool:
        """Whether ``initialise_from_data`` may set the networks to a density of the rows."""
        return has_linear_encoder(self.posterior)

    def initialise_from_data(self, x: Tensor, context: Tensor | None = None) -> None:
        """Initialise data-dependent parts.

        Args:
            x: Rows of data ``[N, *event]``.
            context: Context ``[N, C]`` of these rows.
        """
        for part in self.modules():
            if isinstance(part, Conditional) and not isinstance(part, Likelihood):
                part.initialise_from_data(x, context)
            elif isinstance(part, DataDependentNetwork):
                part.initialise_from_data(x)
        self.likelihood.initialise_from_data(x, context)
        with eval_mode(self):
            start_from_data(self.prior, self.posterior, self.likelihood, x, context)

    def draw_terms(self, batch: Batch, samples: int) -> Terms:
        """Return the terms of draws from the posterior, without gradients through the draws.

        Args:
            batch: The rows.
            samples: Number of draws per row, K.

        Returns:
            The terms, ``[K, B]`` each.
        """
        q = self.infer(batch)
        return self.terms(batch, q.sample((samples,)), q, exact_kl=self.uses_analytic_kl)

    @torch.no_grad()
    @share_moment_noise()
    def encode(
        self, x: Tensor, context: Tensor | None = None, *, label: Any = None, sample: bool = False
    ) -> Tensor:
        """Return latents of data: the posterior's mean, or a draw.

        Args:
            x: Rows ``[B, *event]``: a tensor or an array. ``inference.encode`` takes data of any
                kind and size.
            context: Context ``[B, C]`` of a conditional model.
            label: The context as a value for all rows, a list of ``B`` values, or a dict of these
                by name.
            sample: Whether to return a draw from the posterior instead of its mean.

        Returns:
            Latents ``[B, *latent]``.

        Raises:
            DataError: The rows have another shape, values that are not finite, or values outside
                the likelihood's support.
            IncompatibleError: The context is missing, or the posterior has parameters per row.
        """
        x = self.to_model_input(x)
        batch = Batch(x, self.resolve_context(len(x), context, label))
        check_batch(self, batch, "x")
        q = self.infer(batch)
        if not sample:
            return q.mean
        with RowNoise.from_batch(batch, None, self.constant_cells).samples():
            return q.sample()

    @torch.no_grad()
    @share_moment_noise()
    def decode(self, z: Tensor, context: Tensor | None = None, *, label: Any = None) -> Tensor:
        """Return the mean of ``p(x|z)``, in the units of the data.

        Args:
            z: Latents ``[*batch, *latent]``: a tensor or an array.
            context: As for ``encode``.
            label: As for ``encode``.

        Returns:
            Means ``[*batch, *event]``.

        Raises:
            DataError: The latents have another shape, or are not finite.
        """
        z = as_tensor(z, "z", "inference.decode")
        batch = z.shape[: z.dim() - len(self.latent_shape)]
        if tuple(z.shape[len(batch) :]) != self.latent_shape:
            raise DataError(
                f"the latents have shape {tuple(z.shape)}; this model decodes rows of shape "
                f"{self.latent_shape}",
                argument="z",
            )
        if not z.isfinite().all():
            raise DataError("`z` holds NaN or infinity", argument="z")
        like = next(self.parameters(), torch.zeros(()))
        context = self.resolve_context(batch[-1] if batch else 1, context, label)
        return self.to_data_units(
            self.likelihood(
                z.to(like.device, like.dtype), context if batch or context is None else context[0]
            ).mean
        )

    def reconstruct(self, x: Tensor, context: Tensor | None = None, *, label: Any = None) -> Tensor:
        """Return ``decode(encode(x))``.

        Args:
            x: Rows ``[B, *event]``.
            context: As for ``encode``.
            label: As for ``encode``.

        Returns:
            Means ``[B, *event]``.
        """
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
        """Draw data by ancestral sampling: ``z`` from the prior, ``x`` from the likelihood.

        Args:
            n: Number of rows.
            context: As for ``encode``, for ``n`` rows.
            label: As for ``encode``.
            mean: Whether to return the mean of the likelihood instead of a draw.
            generator: Source of random numbers on the model's device; torch's default generator if
                ``None``.

        Returns:
            Rows ``[n, *event]``.

        Raises:
            ArgumentError: ``n`` is less than 1.
        """
        check_counts(n=n)
        context = self.resolve_context(n, context, label)
        with use_generator(generator):
            _, x = self.sample_joint(n, context)
            return self.to_data_units(x.mean if mean else x.sample())

    def sample_joint(self, n: int, context: Tensor | None = None) -> tuple[Tensor, Distribution]:
        """Draw latents from the prior and return the distributions of their data.

        Args:
            n: Number of draws.
            context: Context ``[n, C]``.

        Returns:
            Latents ``[n, *latent]`` and ``p(x|z)``, in model units, with batch shape ``[n]``.
        """
        p = self.prior(None, context)
        z = p.sample((n,) if not p.batch_shape else ())
        return z, self.likelihood(z, context)

    def _dataset_size(self, batch: Batch) -> int:
        if batch.dataset_size is None:
            raise IncompatibleError(
                "the KL divergence of random weights is shared among all training rows, and this "
                "batch does not contain their number",
                argument="dataset_size",
                suggestions=("Write Batch(x, dataset_size=N)", "Give the data as an array"),
            )
        return batch.dataset_size

    def to_model_input(self, x: Tensor) -> Tensor:
        """Return data in model units, on the model's device and in its precision.

        Args:
            x: Rows ``[B, *event]`` in the units of the data.

        Returns:
            The rows as a tensor, without the model's offset.

        Raises:
            DataError: The rows have another shape.
        """
        x = as_tensor(x, "x", "inference.encode")
        if tuple(x.shape[1:]) != self.event_shape:
            raise DataError(
                f"the data have shape {tuple(x.shape)}; this model takes rows of shape "
                f"{self.event_shape}",
                argument="x",
            )
        like = next(self.parameters(), torch.zeros(()))
        return subtract_offset(x, self.data_offset).to(like.device, like.dtype)

    def to_data_units(self, x: Tensor) -> Tensor:
        """Return what the model gives in the units of the data.

        Args:
            x: Rows ``[*, *event]`` in model units.

        Returns:
            The rows with the model's offset added in float64; the same tensor without an offset.
        """
        return add_offset(x, self.data_offset)
