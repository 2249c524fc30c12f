"""What held-out rows say of the weights, and which weights are the best so far."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..data import Rows
from ..memory import enough_memory, rows_at_once
from ..metrics.rate import both_terms
from ..metrics.sweep import blocks, dtype_of, evaluating
from ..models import VAE
from ..objectives.objective import Judge
from ..types import Batch
from .checkpoint import Progress
from .history import Epoch

BLOCK = 256  # rows scored at a time, of one draw each


@dataclass(frozen=True)
class Held:
    """Means over held-out rows, nats per datum."""

    bound: float  # that of the judge; ``E_q log p(x|z)`` for a posterior without a density
    log_likelihood: float
    kl: float | None


def block_for(judge: Judge) -> int:
    """Rows that are scored at a time: as many pairs of row and draw as one draw of ``BLOCK`` rows, but for very many draws.

    >>> block_for(Judge()), block_for(Judge(samples=64))
    (256, 16)
    """
    return max(BLOCK // judge.samples, 16)


def held_terms(model: VAE, batch: Batch, judge: Judge) -> Tensor:
    """Bound, rate and distortion of every datum of a batch, ``[3, B]`` float64, from fresh draws."""
    terms = model.draw(batch, judge.samples)
    rate, distortion = both_terms(model, terms)
    if judge.mean.plain or not model.posterior.density:  # by formula where there is one
        bound = -distortion - (rate if model.posterior.density else 0.0)
    else:
        bound = judge.mean(terms.log_weight.double(), terms.log_measure.double())
    return torch.stack([bound, rate, distortion])


def summed_up(model: VAE, terms: Tensor) -> Held:
    """The means of ``held_terms`` of all rows, ``[3, N]``."""
    bound, rate, distortion = (each.mean().item() for each in terms)
    return Held(bound, -distortion, rate if model.posterior.density else None)


def score(model: VAE, rows: Rows, judge: Judge, seed: int) -> Held:
    """Held-out rows on the model's device, scored by the lower bound that the judge names, a block at a time."""
    block = rows_at_once(math.prod(model.event_shape), most=block_for(judge))
    with evaluating(model, seed), enough_memory("in an evaluation", samples=judge.samples, block=block):
        terms = [held_terms(model, batch, judge) for batch in blocks(rows, block, dtype_of(model))]
    return summed_up(model, torch.cat(terms, 1))


def validated(epoch: Epoch, judge: Judge, held: Held) -> Epoch:
    """The epoch with what held-out rows say."""
    name = epoch.bound_name if held.kl is None else judge.name
    return replace(epoch, validation=held.bound, validation_log_likelihood=held.log_likelihood, validation_kl=held.kl, validation_name=name)


def judged(state: Progress, epoch: Epoch, settled: int) -> bool:
    """Whether the epoch is the best so far; it is remembered, and waiting counts from where no schedule moves any more."""
    state.history.append(epoch)
    if epoch.validation is None:
        return False
    if epoch.validation > (-math.inf if state.best is None else state.best):  # NaN is no best
        state.best, state.best_epoch, state.waited = epoch.validation, epoch.epoch, 0
        return True
    state.waited += epoch.step >= settled
    return False
