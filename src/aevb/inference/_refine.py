"""Refinement: a separate posterior for each row, optimised from the encoder's result."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from .._grad_mode import differentiable, gradients_enabled, make_differentiable
from .._loop import Journal, Loop, Position
from .._random import seed_scope
from .._row_noise import RowNoise
from .._skipped_steps import learning_rate_limit, overflow_error
from ..errors import ArgumentError, DataError
from ..gradients import Gradient, LeaveOneOut, Pathwise
from ..models import VAE
from ..models._ensemble import check_single
from ..models._input_checks import check_batch
from ..networks import ParameterTable
from ..networks._parameter_table import TABLE_ENTRY_UNIT
from ..objectives import ELBO, Objective
from ..posteriors._non_amortised import NonAmortised, amortised_parameters
from ..types import Batch
from ._inputs import TrainedModel, as_table, resolve_model

REFINE_BLOCK_ROWS = 256  # rows refined together
# the default memory of 1000 squared gradients would let the first, steep steps slow down all others
REFINE_ADAM_BETAS = (0.9, 0.95)
REFINE_BOUND_SAMPLES = 64  # draws per row for the bounds before and after


@dataclass(frozen=True)
class RefinedPosterior:
    """The best posterior of the model's family that was found for each row.

    Args:
        model: A copy of the model with the posterior ``posteriors.NonAmortised`` over these rows;
            metrics accept it with these rows in this order.
        elbo_before: ELBO of each row with the model's own posterior, ``[N]`` float64.
        elbo_after: ELBO of each row with the refined posterior, ``[N]`` float64, with the same
            random numbers.
        skipped_steps: Number of steps that each row skipped because its gradient was not finite,
            ``[N]`` int64.
    """

    model: VAE
    elbo_before: Tensor
    elbo_after: Tensor
    skipped_steps: Tensor

    @property
    def posterior(self) -> Distribution:
        """``q(z|x)`` of every row, with batch shape ``[N]``."""
        return self.model.posterior(torch.arange(len(self.elbo_after), device=self.model.device))


@gradients_enabled()
def refine(
    model: VAE | TrainedModel,
    x: Any,
    steps: int = 200,
    *,
    context: Tensor | None = None,
    objective: Objective | None = None,
    gradient: Gradient | None = None,
    lr: float = 0.1,
    seed: int = 0,
) -> RefinedPosterior:
    """Optimise the bound of each row over the parameters of its own posterior.

    Prior and likelihood do not change. Adam takes ``steps`` steps from the encoder's parameters,
    with a learning rate that decreases to 0; a model with per-row parameters starts from the
    standard member of its family. A row whose bound did not increase keeps its initial parameters.
    A row skips a step in which its gradient is not finite. Hjelm et al., Iterative refinement of
    the approximate posterior (2016); Kim et al., Semi-amortized variational autoencoders (2018).

    Args:
        model: The model, or a run; it is not changed.
        x: Rows ``[N, *event]`` of any kind that ``encode`` takes.
        steps: Number of optimisation steps.
        context: Context ``[N, C]`` of a conditional model.
        objective: Objective to maximise; the ELBO with 8 draws by default.
        gradient: Gradient estimator; pathwise where the posterior allows it.
        lr: Initial learning rate.
        seed: Seed of all draws; other random streams are unchanged.

    Returns:
        The refined posterior, with the ELBO before and after, measured with fresh draws that took
        no part in the choice between both.

    Raises:
        ArgumentError: ``steps`` is negative or ``lr`` is not positive.
        DataError: The data have another shape, or there are no rows.
        IncompatibleError: Gradient or objective do not fit the model.
        NumericalError: Updates with this learning rate would overflow.

    Example:
        >>> from aevb import VAE, likelihoods, networks, posteriors, priors
        >>> net = networks.MLP(6, [8])
        >>> model = VAE(
        ...     priors.Normal(2),
        ...     posteriors.Normal(net, 2),
        ...     likelihoods.Bernoulli(networks.MLP(2, [8]), (6,)),
        ... )
        >>> refined = refine(model, torch.ones(3, 6), steps=20)
        >>> (
        ...     bool((refined.elbo_after >= refined.elbo_before - 0.1).all()),
        ...     refined.posterior.mean.shape,
        ... )
        (True, torch.Size([3, 2]))
    """
    if steps < 0:
        raise ArgumentError("it must be at least 0", argument="steps", value=steps)
    if not lr > 0:
        raise ArgumentError("give a positive number", argument="lr", value=lr)
    model, x = resolve_model(model), as_table(x, "x", "inference.refine")
    check_single(model, "refining a posterior")
    x, rows = model.to_model_input(differentiable(x)), len(x)
    if not rows:
        raise DataError("`x` has no rows", argument="x", suggestions=("Give at least one row",))
    check_batch(model, Batch(x, context), "x")
    objective, gradient = _resolve_objective(model, objective, gradient)
    frozen = copy.deepcopy(model).requires_grad_(False).eval()  # models share no parameters
    make_differentiable(frozen)
    with seed_scope(seed, model.device):
        blocks = [
            _refine_block(frozen, batch, steps, lr, objective, gradient, seed)
            for batch in _iter_batches(x, context)
        ]
        posterior = NonAmortised(frozen.posterior, rows).to(x)
        refined = VAE(frozen.prior, posterior, frozen.likelihood).eval()
    _parameter_table(refined).entries.data.copy_(torch.cat([block.entries for block in blocks]))
    return RefinedPosterior(
        refined.requires_grad_(True),
        torch.cat([block.elbo_before for block in blocks]),
        torch.cat([block.elbo_after for block in blocks]),
        torch.cat([block.skipped_steps for block in blocks]),
    )


@dataclass(frozen=True)
class _RefinedBlock:
    entries: Tensor
    elbo_before: Tensor
    elbo_after: Tensor
    skipped_steps: Tensor


def _resolve_objective(
    model: VAE, objective: Objective | None, gradient: Gradient | None
) -> tuple[Objective, Gradient]:
    objective = ELBO(samples=8) if objective is None else objective
    if gradient is None:
        gradient = Pathwise() if model.probe()[1].has_rsample else LeaveOneOut()
    gradient.check(model, objective)
    return objective, gradient


def _iter_batches(x: Tensor, context: Tensor | None) -> Iterator[Batch]:
    for start in range(0, len(x), REFINE_BLOCK_ROWS):
        rows = slice(start, start + REFINE_BLOCK_ROWS)
        block_context = None if context is None else context[rows].to(x.device)
        index = torch.arange(len(x[rows]), device=x.device)
        yield Batch(x[rows], block_context, index, len(index))


def _refine_block(
    model: VAE,
    batch: Batch,
    steps: int,
    lr: float,
    objective: Objective,
    gradient: Gradient,
    seed: int,
) -> _RefinedBlock:
    """Refine a block of rows."""
    noise = RowNoise.from_batch(batch, seed, model.constant_cells)
    candidate = VAE(model.prior, _initial_posterior(model, batch), model.likelihood).eval()
    entries = _parameter_table(candidate).entries
    start = entries.detach().clone()
    skipped = _optimise(candidate, batch, steps, lr, objective, gradient, noise)
    end = entries.detach().clone()
    choice, fresh = noise.fork(1), noise.fork(2)
    improved = _elbo_per_row(candidate, batch, end, choice) > _elbo_per_row(
        candidate, batch, start, choice
    )
    chosen = torch.where(improved[:, None], end, start)
    # fresh draws: the draws that chose would overestimate the gain
    return _RefinedBlock(
        chosen,
        _elbo_per_row(candidate, batch, start, fresh),
        _elbo_per_row(candidate, batch, chosen, fresh),
        skipped,
    )


def _initial_posterior(model: VAE, batch: Batch) -> NonAmortised:
    """The model's posterior as per-row parameters."""
    posterior = NonAmortised(model.posterior, len(batch.x)).to(batch.x)
    if model.posterior.n_rows is None:
        with torch.no_grad():
            parameters = amortised_parameters(model.posterior, batch.x, batch.context)
            posterior.table.set_all_rows(parameters)
    return posterior


def _optimise(
    candidate: VAE,
    batch: Batch,
    steps: int,
    lr: float,
    objective: Objective,
    gradient: Gradient,
    noise: RowNoise,
) -> Tensor:
    """Run Adam on the per-row parameters; returns the number of skipped steps of each row."""
    refinement = _Refinement(candidate, batch, lr, objective, gradient, noise, steps)
    Loop(refinement, Journal(), Position(), steps=steps).run()
    return refinement.skipped_steps


@dataclass
class _Refinement:
    """Steps of Adam on the per-row parameters.

    Args:
        candidate: The model with a posterior per row.
        batch: The rows.
        lr: Initial learning rate.
        objective: What is maximised.
        gradient: The gradient estimator.
        noise: The random numbers of each row.
        steps: Steps in all.
    """

    candidate: VAE
    batch: Batch
    lr: float
    objective: Objective
    gradient: Gradient
    noise: RowNoise
    steps: int

    def __post_init__(self) -> None:
        self.entries = _parameter_table(self.candidate).entries.requires_grad_()
        self.optimizer = torch.optim.Adam([self.entries], betas=REFINE_ADAM_BETAS)
        if self.lr / TABLE_ENTRY_UNIT > (learning_rate_limit(self.optimizer) or math.inf):
            raise overflow_error(self.lr)
        x = self.batch.x
        self.skipped_steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)  # of each row

    def iter_chunks(self, epoch: int, step_in_epoch: int) -> Iterator[Batch]:
        return repeat(self.batch, self.steps - step_in_epoch)

    def __call__(self, chunk: Batch, step: int, total: float) -> int:
        entries, samples = self.entries, self.objective.samples
        self.optimizer.param_groups[0]["lr"] = self.lr / TABLE_ENTRY_UNIT * (1 - step / self.steps)
        with torch.enable_grad():
            with self.noise.samples(samples, step * samples):
                loss = self.gradient(self.candidate, self.objective, chunk).loss
            # the sum over rows: the step of a row does not depend on their number
            (slope,) = torch.autograd.grad(loss * len(chunk.x), entries)
        finite, before = slope.isfinite().all(1), entries.detach().clone()
        entries.grad = torch.where(finite[:, None], slope, 0.0)
        self.optimizer.step()
        entries.data.copy_(torch.where(finite[:, None], entries.data, before))
        self.skipped_steps += ~finite
        return 1


@torch.no_grad()
def _elbo_per_row(candidate: VAE, batch: Batch, entries: Tensor, noise: RowNoise) -> Tensor:
    """ELBO of each row with these parameters, ``[B]`` float64.

    The same noise gives the same draws.
    """
    _parameter_table(candidate).entries.copy_(entries)
    with noise.samples(REFINE_BOUND_SAMPLES):
        return ELBO(samples=REFINE_BOUND_SAMPLES)(
            candidate.draw_terms(batch, REFINE_BOUND_SAMPLES), candidate
        ).bound.double()


def _parameter_table(candidate: VAE) -> ParameterTable:
    assert isinstance(candidate.posterior, NonAmortised)
    return candidate.posterior.table
