"""A posterior for each datum, improved from where the encoder put it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution

from .._random import seed_scope
from ..errors import ArgumentError, DataError
from ..gradients import Gradient, LeaveOneOut, Pathwise
from ..models import VAE
from ..networks import ParameterTable
from ..networks._parameter_table import TABLE_ENTRY_UNIT
from ..objectives import ELBO, Objective
from ..posteriors._non_amortised import NonAmortised, amortised_parameters
from ..types import Batch

REFINE_BLOCK_ROWS = 256  # rows refined together
REFINE_ADAM_BETAS = (
    0.9,
    0.95,
)  # of Adam: a memory of 1000 squared gradients would let the first, steep steps slow down all that follow
REFINE_BOUND_SAMPLES = 64  # draws per datum in the bounds before and after


@dataclass(frozen=True)
class RefinedPosterior:
    """The best posterior of its family that was found for each datum, beside the one that the encoder gave."""

    model: VAE  # a copy whose posterior is ``posteriors.NonAmortised`` over these rows: every metric takes it, with these rows in this order
    elbo_before: Tensor  # [N] float64, the ELBO with the model's own posterior
    elbo_after: Tensor  # [N] float64, the ELBO with the refined one, from the same random numbers

    @property
    def posterior(self) -> Distribution:
        """``q(z|x)`` of every datum, with batch shape ``[N]``."""
        return self.model.posterior(torch.arange(len(self.elbo_after), device=self.model.device))


def refine(
    model: VAE,
    x: Tensor,
    steps: int = 200,
    *,
    context: Tensor | None = None,
    objective: Objective | None = None,
    gradient: Gradient | None = None,
    lr: float = 0.1,
    seed: int = 0,
) -> RefinedPosterior:
    """Climb the bound of each datum ``[N, *event]`` in the parameters of its own posterior; prior and likelihood stay as they are.

    ``steps`` steps of Adam at ``rate``, falling to 0, from the parameters that the encoder gives; a model whose posterior holds parameters
    per row has none to give for other rows, and starts from its family's standard member. ``objective`` is the ELBO with 8 draws by
    default, ``gradient`` goes through the draw where that can be done. A datum whose bound has not risen keeps the parameters it had.

    Hjelm et al., Iterative refinement of the approximate posterior (2016); Kim et al., Semi-amortized variational autoencoders (2018).
    Raises ``ArgumentError`` for ``steps < 0`` or ``rate <= 0``, ``DataError`` for data of another shape, and ``IncompatibleError`` where
    gradient and objective do not fit the model.

    >>> from aevb import VAE, likelihoods, networks, posteriors, priors
    >>> net = networks.MLP(6, [8])
    >>> model = VAE(
    ...     priors.Normal(2),
    ...     posteriors.Normal(net, 2),
    ...     likelihoods.Bernoulli(networks.MLP(2, [8]), (6,)),
    ... )
    >>> found = refine(model, torch.ones(3, 6), steps=20)
    >>> bool((found.after >= found.before - 0.1).all()), found.posterior.mean.shape
    (True, torch.Size([3, 2]))
    """
    if steps < 0:
        raise ArgumentError(f"`steps` is {steps}; give 0 or more.")
    if not lr > 0:
        raise ArgumentError(f"`rate` is {lr}; give a positive number.")
    if not isinstance(x, Tensor):
        raise DataError(
            f"`x` is of type {type(x).__name__}; give a tensor [N, *event], as `data.test.tensor()`."
        )
    x, rows = model.to_model_input(x), len(x)
    if not rows:
        raise DataError("`x` has no rows: give at least one.")
    objective, gradient = _resolve_objective(model, objective, gradient)
    held = (
        copy.deepcopy(model).requires_grad_(False).eval()
    )  # a copy, so that neither model ever changes the other
    with seed_scope(seed, model.device):
        found = [
            _refine_block(held, batch, steps, lr, objective, gradient)
            for batch in _iter_batches(x, context)
        ]
        twin = VAE(held.prior, NonAmortised(held.posterior, rows).to(x), held.likelihood).eval()
    _parameter_table(twin).entries.data.copy_(torch.cat([block.entries for block in found]))
    return RefinedPosterior(
        twin.requires_grad_(True),
        torch.cat([block.elbo_before for block in found]),
        torch.cat([block.elbo_after for block in found]),
    )


@dataclass(frozen=True)
class _RefinedBlock:
    entries: Tensor
    elbo_before: Tensor
    elbo_after: Tensor


def _resolve_objective(
    model: VAE, objective: Objective | None, gradient: Gradient | None
) -> tuple[Objective, Gradient]:
    through = model.probe()[1].has_rsample
    objective = ELBO(samples=8) if objective is None else objective
    gradient = (Pathwise() if through else LeaveOneOut()) if gradient is None else gradient
    gradient.check(model, objective)
    return objective, gradient


def _iter_batches(x: Tensor, context: Tensor | None) -> Iterator[Batch]:
    for start in range(0, len(x), REFINE_BLOCK_ROWS):
        part, own = (
            x[start : start + REFINE_BLOCK_ROWS],
            None if context is None else context[start : start + REFINE_BLOCK_ROWS].to(x.device),
        )
        yield Batch(part, own, torch.arange(len(part), device=x.device), len(part))


def _refine_block(
    model: VAE, batch: Batch, steps: int, lr: float, objective: Objective, gradient: Gradient
) -> _RefinedBlock:
    twin = VAE(model.prior, _initial_posterior(model, batch), model.likelihood).eval()
    entries = _parameter_table(twin).entries
    start = entries.detach().clone()
    _optimise(twin, batch, steps, lr, objective, gradient)
    end = entries.detach().clone()
    chosen = torch.where(
        (_elbo_per_row(twin, batch, end) > _elbo_per_row(twin, batch, start))[:, None], end, start
    )
    # measured with other draws than those that chose, which would flatter their choice
    return _RefinedBlock(
        chosen,
        _elbo_per_row(twin, batch, start, seed=1),
        _elbo_per_row(twin, batch, chosen, seed=1),
    )


def _initial_posterior(model: VAE, batch: Batch) -> NonAmortised:
    """Where the model's own posterior is, as parameters per datum."""
    free = NonAmortised(model.posterior, len(batch.x)).to(batch.x)
    if model.posterior.n_rows is None:
        with torch.no_grad():
            free.table.set_all_rows(amortised_parameters(model.posterior, batch.x, batch.context))
    return free


def _optimise(
    candidate: VAE, batch: Batch, steps: int, lr: float, objective: Objective, gradient: Gradient
) -> None:
    entries = _parameter_table(candidate).entries.requires_grad_()
    optimizer = torch.optim.Adam([entries], betas=REFINE_ADAM_BETAS)
    with torch.enable_grad():
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = lr / TABLE_ENTRY_UNIT * (1 - step / steps)
            (entries.grad,) = torch.autograd.grad(
                gradient(candidate, objective, batch).loss, entries
            )
            optimizer.step()


@torch.no_grad()
def _elbo_per_row(candidate: VAE, batch: Batch, entries: Tensor, seed: int = 0) -> Tensor:
    """The ELBO of each datum with these parameters, ``[B]`` float64; the same draws for the same ``seed``."""
    _parameter_table(candidate).entries.copy_(entries)
    with seed_scope(seed, batch.x.device):
        return ELBO(samples=REFINE_BOUND_SAMPLES)(
            candidate.draw_terms(batch, REFINE_BOUND_SAMPLES), candidate
        ).bound.double()


def _parameter_table(candidate: VAE) -> ParameterTable:
    assert isinstance(candidate.posterior, NonAmortised)
    return candidate.posterior.table
