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
from ..latent import ActiveUnits, active_units, encodings, information, kl_per_dimension
from ..likelihood import LogLikelihood, log_likelihood
from ..measured import Measured
from ..rate import RateDistortion, rate_of_rows
from ..sweep import blocks, dtype_of, evaluating

ROWS = 2000  # looked at, of the data and of the training rows
WEIGHED = 200  # rows whose importance weights are drawn
SAMPLES = 100  # of each of them
PAIRS = 200  # rows whose posteriors are held against each other's draws
AT_ONCE = 16  # of these draws
FEW = 20  # rows of which nothing is said of the model
SILENCE = 100  # rows that a hidden unit must be silent for


class Epoch(Protocol):
    """What the doctor asks of an epoch of the history, as ``aevb.training.Epoch`` has it."""

    @property
    def bound(self) -> float: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def beta(self) -> float | None: ...
    @property
    def skipped(self) -> int: ...
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
    def settled(self) -> bool: ...


@dataclass(frozen=True, eq=False)
class Patient:
    """``rows``, ``train`` and ``reference`` are at most ``ROWS`` rows on the model's device; ``None`` where nobody gave them."""

    model: VAE
    rows: Rows
    train: Rows | None
    reference: Rows | None  # held out, and of the training rows' origin
    history: Sequence[Epoch]
    whole: tuple[Rows, Rows | None]  # all rows, for what is asked of each
    spec: Spec | None = None  # of a data set
    seed: int = 0

    @property
    def few(self) -> bool:
        """Whether there are so few rows that what is seen is theirs and not the model's."""
        return len(self.rows) < FEW

    @property
    def known(self) -> Rows:
        """The rows that the model should be at home with: those of training, or these where nobody gave them."""
        return self.rows if self.train is None else self.train

    @property
    def best(self) -> Epoch | None:
        """The epoch whose weights were kept, by validation."""
        scored = [(epoch.validation, epoch) for epoch in self.history if epoch.validation is not None and math.isfinite(epoch.validation)]
        return max(scored, key=lambda pair: pair[0], default=(None, None))[1]

    @cached_property
    def terms(self) -> RateDistortion:
        return rate_of_rows(self.model, self.rows, 4, seed=self.seed)

    @cached_property
    def training_terms(self) -> RateDistortion | None:
        return None if self.train is None else rate_of_rows(self.model, self.train, 4, seed=self.seed)

    @cached_property
    def reference_terms(self) -> RateDistortion | None:
        return None if self.reference is None else rate_of_rows(self.model, self.reference, 4, seed=self.seed)

    @cached_property
    def kl(self) -> Tensor | None:
        return kl_per_dimension(self.model, self.rows)

    @cached_property
    def active(self) -> ActiveUnits | None:
        return active_units(self.model, self.rows) if len(self.rows) > 1 else None

    @cached_property
    def codes(self) -> Tensor:
        """Posterior means ``[N, latent]``."""
        return encodings(self.model, self.rows)

    @cached_property
    def training_codes(self) -> Tensor | None:
        return None if self.train is None else encodings(self.model, self.train)

    @cached_property
    def weighed(self) -> LogLikelihood | None:
        """Importance weights of some rows, where the posterior has a density."""
        if not self.model.posterior.density:
            return None
        try:
            return log_likelihood(self.model, some(self.rows, WEIGHED), SAMPLES, seed=self.seed)
        except IncompatibleError:
            return None

    @cached_property
    def information(self) -> tuple[Measured, Measured] | None:
        """``I(x; z)`` and ``KL(q(z) || p(z))`` in nats, of some rows; ``None`` where posteriors know their own draws only."""
        try:
            found = information(self.model, some(self.rows, PAIRS), seed=self.seed, block=AT_ONCE)
        except (IncompatibleError, NotImplementedError):
            return None
        return found.mutual, found.aggregate

    @cached_property
    def decoded(self) -> Distribution:
        """``p(x|z)`` at the posterior means of some rows, batch shape ``[n]``."""
        batch = self.batch(PAIRS)
        with evaluating(self.model, self.seed):
            return self.model.likelihood(self.model.infer(batch).mean, batch.context)

    @cached_property
    def gradients(self) -> dict[str, float]:
        """Norms of the gradient of the ELBO of a batch in prior, posterior and likelihood; of those with parameters that are not frozen."""
        parts = {name: [p for p in part.parameters() if p.requires_grad] for name, part in self.model.named_children()}
        parts = {name: parameters for name, parameters in parts.items() if parameters}
        batch = self.batch(128)
        with evaluating(self.model, self.seed), torch.enable_grad():
            terms = self.model.draw(batch, 1)
            every = [parameter for parameters in parts.values() for parameter in parameters]
            found = torch.autograd.grad(terms.log_weight.mean(), every, allow_unused=True)
        norms, start = {}, 0
        for name, parameters in parts.items():
            piece = [gradient for gradient in found[start : start + len(parameters)] if gradient is not None]
            norms[name] = torch.nn.utils.get_total_norm(piece).item() if piece else 0.0
            start += len(parameters)
        return norms

    @cached_property
    def silent(self) -> float | None:
        """The share of hidden rectified units that no row moves, where the model has any, and there are rows enough to move them."""
        if len(self.known) < SILENCE:
            return None
        seen: dict[nn.Module, Tensor] = {}

        def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            units = output.movedim(1, -1) if output.dim() == 4 else output  # channels of an image
            moved = (units > 0).flatten(0, -2).any(0)
            seen[module] = seen.get(module, torch.zeros_like(moved)) | moved

        hooks = [module.register_forward_hook(note) for module in self.model.modules() if isinstance(module, nn.ReLU)]
        try:
            with evaluating(self.model, self.seed):
                self.model.draw(self.batch(PAIRS, self.known), 1)
        finally:
            for hook in hooks:
                hook.remove()
        moved = torch.cat([one.flatten() for one in seen.values()]) if seen else None
        return None if moved is None else 1 - moved.double().mean().item()

    def batch(self, count: int, among: Rows | None = None) -> Batch:
        """At most that many rows as one batch in the numbers of the model."""
        rows = some(self.rows if among is None else among, count)
        return next(blocks(rows, len(rows), dtype_of(self.model)))


def some(rows: Rows, count: int) -> Rows:
    """At most ``count`` rows, evenly spread."""
    return rows if len(rows) <= count else rows.subset(torch.linspace(0, len(rows) - 1, count).long())
