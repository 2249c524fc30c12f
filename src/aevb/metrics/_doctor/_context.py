"""What the checks of the doctor compute from; results that several checks share are cached."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ...data import Rows, Spec
from ...errors import IncompatibleError
from ...inference._batches import iter_batches, model_dtype, seeded_evaluation
from ...models import VAE
from ...types import Batch
from .._baselines._fit import Baselines
from .._estimate import Estimate
from .._latent import (
    ActiveUnits,
    active_units,
    kl_per_dimension,
    latent_information,
    posterior_means,
)
from .._log_likelihood import LogLikelihood, log_likelihood
from .._rate_distortion import RateDistortion, rate_distortion_of_rows
from .._rows import evenly_spaced_rows
from ._thresholds import DoctorThresholds


class EpochLike(Protocol):
    """The fields of an epoch of the history that the doctor reads; ``training.Epoch`` has them."""

    @property
    def bound(self) -> float: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def beta(self) -> float | None: ...
    @property
    def skipped_steps(self) -> int: ...
    @property
    def step(self) -> int: ...
    @property
    def validation(self) -> float | None: ...
    @property
    def validation_name(self) -> str: ...
    @property
    def target(self) -> float: ...
    @property
    def epoch(self) -> int: ...
    @property
    def schedules_finished(self) -> bool: ...
    @property
    def targets_elbo(self) -> bool: ...
    @property
    def relative_update(self) -> float | None: ...


@dataclass(frozen=True, eq=False)
class DiagnosticContext:
    """What checks compute from; results that several checks share are computed once.

    Args:
        model: The model.
        rows: At most ``thresholds.max_rows`` held-out rows on the model's device.
        train: As many training rows, where they are known.
        reference: As many other held-out rows of the origin of the training rows.
        history: The epochs of the training.
        all_rows: All held-out rows and all training rows.
        spec: Description of the data, where there is one.
        seed: Seed of every check.
        thresholds: Sizes and thresholds of the checks.
        baselines: Classical models fitted to the training rows.
    """

    model: VAE
    rows: Rows
    train: Rows | None
    reference: Rows | None
    history: Sequence[EpochLike]
    all_rows: tuple[Rows, Rows | None]
    spec: Spec | None = None
    seed: int = 0
    thresholds: DoctorThresholds = field(default_factory=DoctorThresholds)
    baselines: Baselines | None = None

    @property
    def has_few_rows(self) -> bool:
        """Whether there are too few rows to judge the model by them."""
        return len(self.rows) < self.thresholds.min_rows

    @property
    def fitted_rows(self) -> Rows:
        """The rows that the model should know: the training rows, else the held-out rows."""
        return self.rows if self.train is None else self.train

    @property
    def best_epoch(self) -> EpochLike | None:
        """The epoch with the best validation, whose weights were kept."""
        scored = [
            (epoch.validation, epoch)
            for epoch in self.history
            if epoch.validation is not None and math.isfinite(epoch.validation)
        ]
        return max(scored, key=lambda pair: pair[0], default=(None, None))[1]

    @cached_property
    def rate_distortion(self) -> RateDistortion:
        """Rate and distortion of the held-out rows."""
        return self._rate_distortion(self.rows)

    @cached_property
    def train_rate_distortion(self) -> RateDistortion | None:
        """Rate and distortion of the training rows."""
        return None if self.train is None else self._rate_distortion(self.train)

    @cached_property
    def reference_rate_distortion(self) -> RateDistortion | None:
        """Rate and distortion of the reference rows."""
        return None if self.reference is None else self._rate_distortion(self.reference)

    @cached_property
    def kl_per_dimension(self) -> Tensor | None:
        """Mean KL divergence of each latent variable."""
        return kl_per_dimension(self.model, self.rows)

    @cached_property
    def active_units(self) -> ActiveUnits | None:
        """Latent variables in use, ``None`` for a single row."""
        return active_units(self.model, self.rows) if len(self.rows) > 1 else None

    @cached_property
    def posterior_means(self) -> Tensor:
        """Posterior means ``[N, latent]``."""
        return posterior_means(self.model, self.rows)

    @cached_property
    def train_posterior_means(self) -> Tensor | None:
        """Posterior means of the training rows ``[N, latent]``."""
        return None if self.train is None else posterior_means(self.model, self.train)

    @cached_property
    def importance_rows(self) -> Rows:
        """The rows for which ``log p(x)`` is estimated."""
        return evenly_spaced_rows(self.rows, self.thresholds.importance_rows)

    @cached_property
    def reference_importance_rows(self) -> Rows | None:
        """Reference rows that join these where they are few, ``None`` for none."""
        missing = self.thresholds.importance_rows - len(self.rows)
        if self.reference is None or missing <= 0:
            return None
        return evenly_spaced_rows(self.reference, missing)

    @cached_property
    def log_likelihood(self) -> LogLikelihood | None:
        """The estimate of ``log p(x)`` of some rows, where the model has one."""
        return self._log_likelihood(self.importance_rows)

    @cached_property
    def reference_log_likelihood(self) -> LogLikelihood | None:
        """The estimate of ``log p(x)`` of reference rows that join few rows."""
        rows = self.reference_importance_rows
        return None if rows is None else self._log_likelihood(rows)

    @cached_property
    def mutual_information_and_marginal_kl(self) -> tuple[Estimate, Estimate] | None:
        """``I(x; z)`` and ``KL(q(z) || p(z))`` of some rows, in nats.

        ``None`` where a posterior only has the density of its own draws.
        """
        try:
            found = latent_information(
                self.model,
                evenly_spaced_rows(self.rows, self.thresholds.latent_rows),
                seed=self.seed,
                block_size=self.thresholds.latent_block_size,
            )
        except (IncompatibleError, NotImplementedError):
            return None
        return found.mutual_information, found.marginal_kl

    @cached_property
    def decoded_distribution(self) -> Distribution:
        """``p(x|z)`` at the posterior means of some rows, batch shape ``[n]``."""
        batch = self.batch(self.thresholds.latent_rows)
        with seeded_evaluation(self.model, self.seed):
            return self.model.likelihood(self.model.infer(batch).mean, batch.context)

    @cached_property
    def gradient_norms(self) -> dict[str, float]:
        """Norm of the ELBO's gradient in prior, posterior and likelihood, where not frozen."""
        parts = {
            name: [p for p in part.parameters() if p.requires_grad]
            for name, part in self.model.named_children()
        }
        parts = {name: parameters for name, parameters in parts.items() if parameters}
        batch = self.batch(self.thresholds.gradient_rows)
        with seeded_evaluation(self.model, self.seed), torch.enable_grad():
            terms = self.model.draw_terms(batch, 1)
            every = [parameter for parameters in parts.values() for parameter in parameters]
            found = torch.autograd.grad(terms.log_weight.mean(), every, allow_unused=True)
        norms, start = {}, 0
        for name, parameters in parts.items():
            piece = [
                gradient
                for gradient in found[start : start + len(parameters)]
                if gradient is not None
            ]
            norms[name] = torch.nn.utils.get_total_norm(piece).item() if piece else 0.0
            start += len(parameters)
        return norms

    @cached_property
    def dead_unit_share(self) -> float | None:
        """Share of rectified hidden units that no row activates; ``None`` for too few rows."""
        if len(self.fitted_rows) < self.thresholds.min_dead_unit_rows:
            return None
        seen: dict[nn.Module, Tensor] = {}

        def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            units = output.movedim(1, -1) if output.dim() == 4 else output  # channels of an image
            moved = (units > 0).flatten(0, -2).any(0)
            seen[module] = seen.get(module, torch.zeros_like(moved)) | moved

        hooks = [
            module.register_forward_hook(record)
            for module in self.model.modules()
            if isinstance(module, nn.ReLU)
        ]
        try:
            with seeded_evaluation(self.model, self.seed):
                self.model.draw_terms(self.batch(self.thresholds.latent_rows, self.fitted_rows), 1)
        finally:
            for hook in hooks:
                hook.remove()
        moved = torch.cat([one.flatten() for one in seen.values()]) if seen else None
        return None if moved is None else 1 - moved.double().mean().item()

    def _log_likelihood(self, rows: Rows) -> LogLikelihood | None:
        if not self.model.posterior.has_density:
            return None
        try:
            samples = self.thresholds.importance_samples
            return log_likelihood(self.model, rows, samples, seed=self.seed)
        except IncompatibleError:
            return None

    def _rate_distortion(self, rows: Rows) -> RateDistortion:
        return rate_distortion_of_rows(self.model, rows, self.thresholds.elbo_draws, seed=self.seed)

    def batch(self, count: int, from_rows: Rows | None = None) -> Batch:
        """At most ``count`` rows as one batch in the model's precision."""
        rows = evenly_spaced_rows(self.rows if from_rows is None else from_rows, count)
        return next(iter_batches(rows, len(rows), model_dtype(self.model)))

    def varying_cells(self, x: Tensor) -> Tensor:
        """The cells ``[n, D]`` of events, float64 on the CPU, without those that are constant."""
        x, constant = x.flatten(1).double().cpu(), self.model.constant_cells
        return x if constant is None else x[:, constant.flatten().cpu().isnan()]
