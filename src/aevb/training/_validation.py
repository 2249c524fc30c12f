"""What held-out rows say of the weights, and which weights are the best so far."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .._memory import default_block_size, explain_out_of_memory
from ..data import Rows
from ..metrics._blocks import iter_batches, model_dtype, seeded_evaluation
from ..metrics._rate_distortion import rate_and_distortion
from ..models import VAE
from ..objectives._objective import ValidationCriterion
from ..types import Batch
from ._checkpoint import RunProgress
from ._history import Epoch

VALIDATION_BLOCK_SIZE = 256  # rows scored at a time, of one draw each


@dataclass(frozen=True)
class ValidationScore:
    """Means over held-out rows, nats per datum."""

    bound: float  # that of the judge; ``E_q log p(x|z)`` for a posterior without a density
    log_likelihood: float
    kl: float | None


def validation_block_size(criterion: ValidationCriterion) -> int:
    """Rows that are scored at a time: as many pairs of row and draw as one draw of ``BLOCK`` rows, but for very many draws.

    >>> (
    ...     validation_block_size(ValidationCriterion()),
    ...     validation_block_size(ValidationCriterion(samples=64)),
    ... )
    (256, 16)
    """
    return max(VALIDATION_BLOCK_SIZE // criterion.samples, 16)


def validation_terms(model: VAE, batch: Batch, criterion: ValidationCriterion) -> Tensor:
    """Bound, rate and distortion of every datum of a batch, ``[3, B]`` float64, from fresh draws."""
    terms = model.draw_terms(batch, criterion.samples)
    rate, distortion = rate_and_distortion(model, terms)
    if (
        criterion.mean.is_average or not model.posterior.has_density
    ):  # by formula where there is one
        bound = -distortion - (rate if model.posterior.has_density else 0.0)
    else:
        bound = criterion.mean(terms.log_weight.double(), terms.log_measure.double())
    return torch.stack([bound, rate, distortion])


def summarise_terms(model: VAE, terms: Tensor) -> ValidationScore:
    """The means of ``validation_terms`` of all rows, ``[3, N]``."""
    bound, rate, distortion = (each.mean().item() for each in terms)
    return ValidationScore(bound, -distortion, rate if model.posterior.has_density else None)


def score_held_out(
    model: VAE, rows: Rows, criterion: ValidationCriterion, seed: int
) -> ValidationScore:
    """Held-out rows on the model's device, scored by the lower bound that the judge names, a block at a time."""
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
    return summarise_terms(model, torch.cat(terms, 1))


def with_validation_score(
    epoch: Epoch, criterion: ValidationCriterion, score: ValidationScore
) -> Epoch:
    """The epoch with what held-out rows say."""
    name = epoch.bound_name if score.kl is None else criterion.name
    return replace(
        epoch,
        validation=score.bound,
        validation_log_likelihood=score.log_likelihood,
        validation_kl=score.kl,
        validation_name=name,
    )


def update_best(progress: RunProgress, epoch: Epoch, final_schedule_step: int) -> bool:
    """Whether the epoch is the best so far; it is remembered, and waiting counts from where no schedule moves any more."""
    progress.history.append(epoch)
    if epoch.validation is None:
        return False
    if epoch.validation > (
        -math.inf if progress.best_validation is None else progress.best_validation
    ):  # NaN is no best
        progress.best_validation, progress.best_epoch, progress.epochs_without_improvement = (
            epoch.validation,
            epoch.epoch,
            0,
        )
        return True
    progress.epochs_without_improvement += epoch.step >= final_schedule_step
    return False
