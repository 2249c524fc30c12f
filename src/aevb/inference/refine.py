"""A posterior for each datum, improved from where the encoder put it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution

from ..errors import ArgumentError, DataError
from ..gradients import Gradient, LeaveOneOut, Pathwise
from ..models import VAE
from ..networks import Table
from ..networks.table import UNIT
from ..objectives import ELBO, Objective
from ..posteriors.free import Free, parameters_of
from ..random import seeded
from ..types import Batch

BLOCK = 256  # rows refined together
BETAS = (0.9, 0.95)  # of Adam: a memory of 1000 squared gradients would let the first, steep steps slow down all that follow
MEASURED = 64  # draws per datum in the bounds before and after


@dataclass(frozen=True)
class Refined:
    """The best posterior of its family that was found for each datum, beside the one that the encoder gave."""

    model: VAE  # a copy whose posterior is ``posteriors.Free`` over these rows: every metric takes it, with these rows in this order
    before: Tensor  # [N] float64, the ELBO with the model's own posterior
    after: Tensor  # [N] float64, the ELBO with the refined one, from the same random numbers

    @property
    def posterior(self) -> Distribution:
        """``q(z|x)`` of every datum, with batch shape ``[N]``."""
        return self.model.posterior(torch.arange(len(self.after), device=self.model.device))


def refine(
    model: VAE,
    x: Tensor,
    steps: int = 200,
    *,
    context: Tensor | None = None,
    objective: Objective | None = None,
    gradient: Gradient | None = None,
    rate: float = 0.1,
    seed: int = 0,
) -> Refined:
    """Climb the bound of each datum ``[N, *event]`` in the parameters of its own posterior; prior and likelihood stay as they are.

    ``steps`` steps of Adam at ``rate``, falling to 0, from the parameters that the encoder gives; a model whose posterior holds parameters
    per row has none to give for other rows, and starts from its family's standard member. ``objective`` is the ELBO with 8 draws by
    default, ``gradient`` goes through the draw where that can be done. A datum whose bound has not risen keeps the parameters it had.

    Hjelm et al., Iterative refinement of the approximate posterior (2016); Kim et al., Semi-amortized variational autoencoders (2018).
    Raises ``ArgumentError`` for ``steps < 0`` or ``rate <= 0``, ``DataError`` for data of another shape, and ``IncompatibleError`` where
    gradient and objective do not fit the model.

    >>> from aevb import VAE, likelihoods, networks, posteriors, priors
    >>> net = networks.MLP(6, [8])
    >>> model = VAE(priors.Normal(2), posteriors.Normal(net, 2), likelihoods.Bernoulli(networks.MLP(2, [8]), (6,)))
    >>> found = refine(model, torch.ones(3, 6), steps=20)
    >>> bool((found.after >= found.before - 0.1).all()), found.posterior.mean.shape
    (True, torch.Size([3, 2]))
    """
    if steps < 0:
        raise ArgumentError(f"`steps` is {steps}; give 0 or more.")
    if not rate > 0:
        raise ArgumentError(f"`rate` is {rate}; give a positive number.")
    if not isinstance(x, Tensor):
        raise DataError(f"`x` is of type {type(x).__name__}; give a tensor [N, *event], as `data.test.tensor()`.")
    x, rows = model.checked(x), len(x)
    if not rows:
        raise DataError("`x` has no rows: give at least one.")
    objective, gradient = _rule(model, objective, gradient)
    held = copy.deepcopy(model).requires_grad_(False).eval()  # a copy, so that neither model ever changes the other
    with seeded(seed, model.device):
        found = [_search(held, batch, steps, rate, objective, gradient) for batch in _blocks(x, context)]
        twin = VAE(held.prior, Free(held.posterior, rows).to(x), held.likelihood).eval()
    _table(twin).entries.data.copy_(torch.cat([block.entries for block in found]))
    return Refined(twin.requires_grad_(True), torch.cat([block.before for block in found]), torch.cat([block.after for block in found]))


@dataclass(frozen=True)
class _Found:
    entries: Tensor
    before: Tensor
    after: Tensor


def _rule(model: VAE, objective: Objective | None, gradient: Gradient | None) -> tuple[Objective, Gradient]:
    through = model.probe()[1].has_rsample
    objective = ELBO(samples=8) if objective is None else objective
    gradient = (Pathwise() if through else LeaveOneOut()) if gradient is None else gradient
    gradient.check(model, objective)
    return objective, gradient


def _blocks(x: Tensor, context: Tensor | None) -> Iterator[Batch]:
    for start in range(0, len(x), BLOCK):
        part, own = x[start : start + BLOCK], None if context is None else context[start : start + BLOCK].to(x.device)
        yield Batch(part, own, torch.arange(len(part), device=x.device), len(part))


def _search(model: VAE, batch: Batch, steps: int, rate: float, objective: Objective, gradient: Gradient) -> _Found:
    twin = VAE(model.prior, _start(model, batch), model.likelihood).eval()
    entries = _table(twin).entries
    start = entries.detach().clone()
    _climb(twin, batch, steps, rate, objective, gradient)
    end = entries.detach().clone()
    chosen = torch.where((_bound(twin, batch, end) > _bound(twin, batch, start))[:, None], end, start)
    # measured with other draws than those that chose, which would flatter their choice
    return _Found(chosen, _bound(twin, batch, start, again=1), _bound(twin, batch, chosen, again=1))


def _start(model: VAE, batch: Batch) -> Free:
    """Where the model's own posterior is, as parameters per datum."""
    free = Free(model.posterior, len(batch.x)).to(batch.x)
    if model.posterior.rows is None:
        with torch.no_grad():
            free.table.set(parameters_of(model.posterior, batch.x, batch.context))
    return free


def _climb(twin: VAE, batch: Batch, steps: int, rate: float, objective: Objective, gradient: Gradient) -> None:
    entries = _table(twin).entries.requires_grad_()
    optimizer = torch.optim.Adam([entries], betas=BETAS)
    with torch.enable_grad():
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = rate / UNIT * (1 - step / steps)
            (entries.grad,) = torch.autograd.grad(gradient(twin, objective, batch).loss, entries)
            optimizer.step()


@torch.no_grad()
def _bound(twin: VAE, batch: Batch, entries: Tensor, again: int = 0) -> Tensor:
    """The ELBO of each datum with these parameters, ``[B]`` float64; the same draws for the same ``again``."""
    _table(twin).entries.copy_(entries)
    with seeded(again, batch.x.device):
        return ELBO(samples=MEASURED)(twin.draw(batch, MEASURED), twin).bound.double()


def _table(twin: VAE) -> Table:
    assert isinstance(twin.posterior, Free)
    return twin.posterior.table
