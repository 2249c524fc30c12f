"""What the doctor looks at: a model, rows of data, perhaps the rows it was trained on, perhaps its history. Nothing is measured twice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ...data import Rows, Spec
from ...errors import IncompatibleError
from ...models import VAE
from ...types import Batch
from .._blocks import iter_batches, model_dtype, seeded_evaluation
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

MAX_DOCTOR_ROWS = 2000  # looked at, of the data and of the training rows
IMPORTANCE_CHECK_ROWS = 200  # rows whose importance weights are drawn
IMPORTANCE_CHECK_SAMPLES = 100  # of each of them
INFORMATION_CHECK_ROWS = 200  # rows whose posteriors are held against each other's draws
INFORMATION_CHECK_BLOCK_SIZE = 16  # of these draws
MIN_MODEL_CHECK_ROWS = 20  # rows of which nothing is said of the model
MIN_DEAD_UNIT_ROWS = 100  # rows that a hidden unit must be silent for


class EpochLike(Protocol):
    """What the doctor asks of an epoch of the history, as ``aevb.training.Epoch`` has it."""

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


@dataclass(frozen=True, eq=False)
class DiagnosticContext:
    """``rows``, ``train`` and ``reference`` are at most ``ROWS`` rows on the model's device; ``None`` where nobody gave them."""

    model: VAE
    rows: Rows
    train: Rows | None
    reference: Rows | None  # held out, and of the training rows' origin
    history: Sequence[EpochLike]
    all_rows: tuple[Rows, Rows | None]  # all rows, for what is asked of each
    spec: Spec | None = None  # of a data set
    seed: int = 0

    @property
    def has_few_rows(self) -> bool:
        """Whether there are so few rows that what is seen is theirs and not the model's."""
        return len(self.rows) < MIN_MODEL_CHECK_ROWS

    @property
    def fitted_rows(self) -> Rows:
        """The rows that the model should be at home with: those of training, or these where nobody gave them."""
        return self.rows if self.train is None else self.train

    @property
    def best_epoch(self) -> EpochLike | None:
        """The epoch whose weights were kept, by validation."""
        scored = [
            (epoch.validation, epoch)
            for epoch in self.history
            if epoch.validation is not None and math.isfinite(epoch.validation)
        ]
        return max(scored, key=lambda pair: pair[0], default=(None, None))[1]

    @cached_property
    def rate_distortion(self) -> RateDistortion:
        return rate_distortion_of_rows(self.model, self.rows, 4, seed=self.seed)

    @cached_property
    def train_rate_distortion(self) -> RateDistortion | None:
        return (
            None
            if self.train is None
            else rate_distortion_of_rows(self.model, self.train, 4, seed=self.seed)
        )

    @cached_property
    def reference_rate_distortion(self) -> RateDistortion | None:
        return (
            None
            if self.reference is None
            else rate_distortion_of_rows(self.model, self.reference, 4, seed=self.seed)
        )

    @cached_property
    def kl_per_dimension(self) -> Tensor | None:
        return kl_per_dimension(self.model, self.rows)

    @cached_property
    def active_units(self) -> ActiveUnits | None:
        return active_units(self.model, self.rows) if len(self.rows) > 1 else None

    @cached_property
    def posterior_means(self) -> Tensor:
        """Posterior means ``[N, latent]``."""
        return posterior_means(self.model, self.rows)

    @cached_property
    def train_posterior_means(self) -> Tensor | None:
        return None if self.train is None else posterior_means(self.model, self.train)

    @cached_property
    def log_likelihood(self) -> LogLikelihood | None:
        """Importance weights of some rows, where the posterior has a density."""
        if not self.model.posterior.has_density:
            return None
        try:
            return log_likelihood(
                self.model,
                evenly_spaced_rows(self.rows, IMPORTANCE_CHECK_ROWS),
                IMPORTANCE_CHECK_SAMPLES,
                seed=self.seed,
            )
        except IncompatibleError:
            return None

    @cached_property
    def mutual_information_and_marginal_kl(self) -> tuple[Estimate, Estimate] | None:
        """``I(x; z)`` and ``KL(q(z) || p(z))`` in nats, of some rows; ``None`` where posteriors know their own draws only."""
        try:
            found = latent_information(
                self.model,
                evenly_spaced_rows(self.rows, INFORMATION_CHECK_ROWS),
                seed=self.seed,
                block_size=INFORMATION_CHECK_BLOCK_SIZE,
            )
        except (IncompatibleError, NotImplementedError):
            return None
        return found.mutual_information, found.marginal_kl

    @cached_property
    def decoded_distribution(self) -> Distribution:
        """``p(x|z)`` at the posterior means of some rows, batch shape ``[n]``."""
        batch = self.batch(INFORMATION_CHECK_ROWS)
        with seeded_evaluation(self.model, self.seed):
            return self.model.likelihood(self.model.infer(batch).mean, batch.context)

    @cached_property
    def gradient_norms(self) -> dict[str, float]:
        """Norms of the gradient of the ELBO of a batch in prior, posterior and likelihood; of those with parameters that are not frozen."""
        parts = {
            name: [p for p in part.parameters() if p.requires_grad]
            for name, part in self.model.named_children()
        }
        parts = {name: parameters for name, parameters in parts.items() if parameters}
        batch = self.batch(128)
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
        """The share of hidden rectified units that no row moves, where the model has any, and there are rows enough to move them."""
        if len(self.fitted_rows) < MIN_DEAD_UNIT_ROWS:
            return None
        seen: dict[nn.Module, Tensor] = {}

        def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            units = output.movedim(1, -1) if output.dim() == 4 else output  # channels of an image
            moved = (units > 0).flatten(0, -2).any(0)
            seen[module] = seen.get(module, torch.zeros_like(moved)) | moved

        hooks = [
            module.register_forward_hook(note)
            for module in self.model.modules()
            if isinstance(module, nn.ReLU)
        ]
        try:
            with seeded_evaluation(self.model, self.seed):
                self.model.draw_terms(self.batch(INFORMATION_CHECK_ROWS, self.fitted_rows), 1)
        finally:
            for hook in hooks:
                hook.remove()
        moved = torch.cat([one.flatten() for one in seen.values()]) if seen else None
        return None if moved is None else 1 - moved.double().mean().item()

    def batch(self, count: int, from_rows: Rows | None = None) -> Batch:
        """At most that many rows as one batch in the numbers of the model."""
        rows = evenly_spaced_rows(self.rows if from_rows is None else from_rows, count)
        return next(iter_batches(rows, len(rows), model_dtype(self.model)))


def evenly_spaced_rows(rows: Rows, count: int) -> Rows:
    """At most ``count`` rows, evenly spread."""
    return (
        rows if len(rows) <= count else rows.subset(torch.linspace(0, len(rows) - 1, count).long())
    )
