"""Scores of the validation rows, and the choice of the best weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .._memory import default_block_size, explain_out_of_memory
from ..data import Rows
from ..inference._batches import iter_batches, model_dtype, rate_and_distortion, seeded_evaluation
from ..models import VAE
from ..objectives._objective import ValidationCriterion
from ..types import Batch, weighted_mean
from ._checkpoint import RunProgress
from ._history import Epoch

VALIDATION_BLOCK_SIZE = 256  # rows scored at a time, with one draw each


@dataclass(frozen=True)
class ValidationScore:
    """Means over the validation rows, in nats per row."""

    bound: float  # of the criterion; ``E_q log p(x|z)`` for a posterior without a density
    log_likelihood: float
    kl: float | None


def validation_block_size(criterion: ValidationCriterion) -> int:
    """Rows scored at a time: ``VALIDATION_BLOCK_SIZE`` pairs of row and draw, at least 16 rows.

    Example:
        >>> validation_block_size(ValidationCriterion())
        256
        >>> validation_block_size(ValidationCriterion(samples=64))
        16
    """
    return max(VALIDATION_BLOCK_SIZE // criterion.samples, 16)


def validation_terms(model: VAE, batch: Batch, criterion: ValidationCriterion) -> Tensor:
    """Bound, rate and distortion of every row of a batch, ``[3, B]`` float64."""
    terms = model.draw_terms(batch, criterion.samples)
    rate, distortion = rate_and_distortion(model, terms)
    if criterion.mean.is_average or not model.posterior.has_density:
        bound = -distortion
        if model.posterior.has_density:
            bound = bound - criterion.kl_weight * rate
    else:
        bound = criterion.mean(terms.log_weight.double(), terms.log_measure.double())
    return torch.stack([bound, rate, distortion])


def summarise_terms(model: VAE, terms: Tensor, weight: Tensor | None = None) -> ValidationScore:
    """The means over all rows of ``validation_terms``, ``[3, N]``, by the weights of the rows."""
    bound, rate, distortion = (weighted_mean(values, weight).item() for values in terms)
    return ValidationScore(bound, -distortion, rate if model.posterior.has_density else None)


def score_held_out(
    model: VAE, rows: Rows, criterion: ValidationCriterion, seed: int
) -> ValidationScore:
    """Score validation rows on the model's device by the criterion's bound, block by block."""
    block = default_block_size(
        math.prod(model.event_shape), max_rows=validation_block_size(criterion)
    )
    with (
        seeded_evaluation(model, seed),
        explain_out_of_memory("in an evaluation", samples=criterion.samples, block=block),
    ):
        terms = [
            validation_terms(model, batch, criterion)
            for batch in iter_batches(rows, block, model_dtype(model))
        ]
    return summarise_terms(model, torch.cat(terms, 1), rows.weights)


def with_validation_score(
    epoch: Epoch, criterion: ValidationCriterion, score: ValidationScore
) -> Epoch:
    """The epoch with the scores of the validation rows."""
    name = epoch.bound_name if score.kl is None else criterion.name
    return replace(
        epoch,
        validation=score.bound,
        validation_log_likelihood=score.log_likelihood,
        validation_kl=score.kl,
        validation_name=name,
    )


def update_best_with_start(progress: RunProgress, score: ValidationScore) -> bool:
    """Make the weights before the first step, as epoch 0, the best so far; false if not finite."""
    if math.isfinite(score.bound):
        progress.best_validation, progress.best_epoch = score.bound, 0
    return math.isfinite(score.bound)


def update_best(
    progress: RunProgress, epoch: Epoch, final_schedule_step: int, minutes: float | None = None
) -> bool:
    """Add the epoch to the history; return whether it is the best so far.

    Epochs without improvement count from the end of all schedules, and in the second half of a run
    that ends before them.
    """
    progress.history.append(epoch)
    if epoch.validation is None:
        return False
    best = -math.inf if progress.best_validation is None else progress.best_validation
    if epoch.validation > best:  # false for NaN
        progress.best_validation, progress.best_epoch = epoch.validation, epoch.epoch
        progress.epochs_without_improvement = 0
        return True
    planned = progress.planned_steps or math.inf
    start = final_schedule_step if final_schedule_step < planned else planned / 2
    late = minutes is not None and epoch.seconds >= 30 * minutes
    progress.epochs_without_improvement += late or epoch.step >= start
    return False
