"""The contribution of each cell to the score of its row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from .._memory import explain_out_of_memory
from .._row_noise import RowNoise
from ..distributions._moments import conditional_log_prob
from ..errors import check_counts
from ..likelihoods._likelihood import Likelihood
from ..models import VAE
from ..types import Batch
from ._batches import iter_batches, model_dtype, seeded_evaluation
from ._condition import check_independent_cells
from ._importance import DEFAULT_MAX_PAIRS, Proposal, check_importance_sampling, log_mean_error
from ._inputs import TrainedModel, resolve_input

EXPLAIN_BLOCK_ROWS = 256  # rows explained together
MAX_BUFFERED_SCORES = 1 << 22  # log-densities of cells that are kept: 32 MiB


@dataclass(frozen=True)
class Explanation:
    """Which cells make a row likely or unlikely, in nats.

    A cell counts in two ways. ``conditional`` is ``log p(x_d | all other cells)``: how well the
    others predict it. It does not sum to ``log_p``. ``expected`` does, up to ``kl``: ``log_p =
    expected.sum - kl``, with the mean of ``log p(x_d | z)`` over the posterior of the row. Where
    cells depend on each other given ``z``, ``expected`` is the mean of ``log p(x_d | z, x_<d)``:
    each cell given those before it.

    Args:
        log_p: The estimate of ``log p(x)``, ``[N]`` float64.
        log_p_error: Its standard error, ``[N]``.
        conditional: ``log p(x_d | x_-d)``, ``[N, *event]``; 0 for missing cells, as below.
        conditional_error: Its standard error, ``[N, *event]``.
        expected: ``E[log p(x_d | z)]`` over ``p(z | x)``, ``[N, *event]``.
        expected_error: Its standard error, ``[N, *event]``.
        kl: ``KL(p(z | x) || p(z))``, ``[N]``: what all cells together tell about ``z``.
        typical: What ``log p(x_d | z)`` would be on average if the cell were drawn by the model
            given all others, ``[N, *event]``.
        observed: Which cells are not missing, ``[N, *event]``.
        effective_sample_size: That of the weights, ``[N]``.
        samples: Number of importance samples.
    """

    log_p: Tensor
    log_p_error: Tensor
    conditional: Tensor
    conditional_error: Tensor
    expected: Tensor
    expected_error: Tensor
    kl: Tensor
    typical: Tensor
    observed: Tensor
    effective_sample_size: Tensor
    samples: int

    @property
    def surprise(self) -> Tensor:
        """``typical - conditional``, ``[N, *event]``: how much less likely a cell is than usual.

        It has no unit: the unit of a density cancels. Over rows of the model it averages the mutual
        information of the cell and ``z`` given the other cells, which is not negative: ``typical``
        knows the ``z`` that drew the cell, and ``conditional`` does not.
        """
        return self.typical - self.conditional

    def top(self, count: int = 3) -> Tensor:
        """The cells with the largest surprise; missing cells come last.

        Args:
            count: Number of cells; at most those of a row.

        Returns:
            Their places in row-major order, ``[N, count]``, the largest first.
        """
        missing = ~self.observed.flatten(1)
        cells = self.surprise.flatten(1).masked_fill(missing, -math.inf)
        return cells.topk(min(count, cells.shape[1])).indices


@torch.no_grad()
def explain(
    model: VAE | TrainedModel,
    x: Any = None,
    samples: int = 1000,
    *,
    context: Tensor | None = None,
    seed: int = 0,
    max_pairs: int = DEFAULT_MAX_PAIRS,
    on_progress: Callable[[int], None] | None = None,
) -> Explanation:
    """Explain the score ``log p(x)`` of rows by their cells.

    One set of draws from the posterior serves all cells: ``log p(x_d | x_-d) = log p(x) -
    log p(x_-d)``, where the weights of a row without a cell are the weights of the row divided by
    ``p(x_d | z)``. The draws are those of ``metrics.log_likelihood`` with the same seed and number
    of samples.

    Args:
        model: A model whose cells are independent or jointly normal given ``z``, or a run.
        x: Rows ``[N, *event]``, as for ``encode``; missing cells are NaN.
        samples: Number of importance samples per row.
        context: Context ``[N, C]`` or ``[C]`` of a conditional model.
        seed: Seed of all draws; other random streams are unchanged.
        max_pairs: Maximum number of pairs of a draw and a row that are decoded together.
        on_progress: Called with the number of pairs that are done.

    Returns:
        The score of each row, and the contribution of each cell.

    Raises:
        IncompatibleError: Cells depend on each other given ``z``, or the posterior has no density.
        DataError: The model cannot take the data.
        ArgumentError: A count is not possible.

    Example:
        >>> from aevb import VAE, likelihoods, networks, posteriors, priors
        >>> model = VAE(
        ...     priors.Normal(2),
        ...     posteriors.Normal(networks.MLP(3), 2),
        ...     likelihoods.Normal(networks.MLP(2), (3,)),
        ... )
        >>> found = explain(model, torch.tensor([[0.0, 9.0, 0.0]]))
        >>> found.top(1).tolist(), (found.expected.sum(1) - found.kl - found.log_p).abs() < 1e-9
        ([[1]], tensor([True]))
    """
    check_counts(samples=samples, max_pairs=max_pairs)
    net, rows = resolve_input(model, x, needs_context=context is None)
    check_importance_sampling(net, "explaining a row")
    check_independent_cells(net)
    whole = net.resolve_context(len(rows), rows.context if context is None else context)
    kept = MAX_BUFFERED_SCORES // (samples * math.prod(net.event_shape))
    size = max(1, min(EXPLAIN_BLOCK_ROWS, max_pairs, kept))

    def batches() -> Iterator[Batch]:
        for number, batch in enumerate(iter_batches(rows, size, model_dtype(net))):
            part = slice(number * size, number * size + len(batch.x))
            yield Batch(batch.x, None if whole is None else whole[part])

    with seeded_evaluation(net, seed), explain_out_of_memory("explaining rows", rows=max_pairs):
        parts = [
            _explain_block(net, each, samples, max_pairs, seed, on_progress) for each in batches()
        ]
    return _join(parts, samples)


def _join(parts: list[Explanation], samples: int) -> Explanation:
    names = [each.name for each in fields(Explanation) if each.name != "samples"]
    return Explanation(
        **{name: torch.cat([getattr(part, name) for part in parts]) for name in names},
        samples=samples,
    )


def _explain_block(
    model: VAE,
    batch: Batch,
    samples: int,
    max_pairs: int,
    seed: int,
    on_progress: Callable[[int], None] | None,
) -> Explanation:
    noise = RowNoise.from_batch(batch, seed, model.constant_cells)
    p, q = model.prior(None, batch.context), model.infer(batch)
    proposal, redraw = Proposal(q, p, 0, samples), noise.fork(2)
    there = ~batch.x.isnan()
    parts = []
    for start, z in proposal.blocks(noise, max(1, max_pairs // len(batch.x))):
        with redraw.samples(len(z), start):
            scores = _score_cells(model.likelihood, z, batch)
        cells = [torch.where(there, each, 0.0).double() for each in scores]
        parts.append((*cells, (p.log_prob(z) - proposal.log_prob(z)).double()))
        if on_progress is not None:
            on_progress(len(z) * len(batch.x))
    cells, given_others, usual, outer = map(torch.cat, zip(*parts, strict=True))
    return _contributions(cells, given_others, usual, outer, there)


def _score_cells(likelihood: Likelihood, z: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Parts of ``log p(x | z)``, ``log p(x_d | x_-d, z)``, and the same for redrawn cells."""
    cells = likelihood.cells(z, batch.x, batch.context)
    p = likelihood(z, batch.context)
    if likelihood.factorises:
        return cells, cells, likelihood.cells(z, p.sample(), batch.context)
    given_others, usual = conditional_log_prob(p, batch.x)
    return cells, given_others, usual


def _contributions(
    cells: Tensor, given_others: Tensor, usual: Tensor, outer: Tensor, there: Tensor
) -> Explanation:
    """The explanation from all draws.

    Args:
        cells: Parts of ``log p(x | z)``, ``[K, B, *event]``.
        given_others: ``log p(x_d | x_-d, z)``, which are the parts where cells are independent.
        usual: The same for redrawn cells.
        outer: ``log p(z) - log q(z)``, ``[K, B]``.
        there: Which cells are observed, ``[B, *event]``.
    """
    samples, axes = len(cells), [1] * (cells.dim() - 2)
    log_weight = outer + cells.flatten(2).sum(2)
    log_p = log_weight.logsumexp(0) - math.log(samples)
    share = log_weight.softmax(0)
    size = 1 / share.square().sum(0)
    share = share.reshape(*share.shape, *axes)
    without = log_weight.reshape(share.shape) - given_others
    log_without = without.logsumexp(0) - math.log(samples)
    share_without = without.softmax(0)
    expected = (share * cells).sum(0)
    return Explanation(
        log_p=log_p,
        log_p_error=log_mean_error(size, samples),
        conditional=log_p.reshape(-1, *axes) - log_without,
        # of a ratio of two means over the same draws
        conditional_error=(share - share_without).square().sum(0).sqrt(),
        expected=expected,
        expected_error=(share * (cells - expected)).square().sum(0).sqrt(),
        kl=expected.flatten(1).sum(1) - log_p,
        typical=(share_without * usual).sum(0),
        observed=there,
        effective_sample_size=size,
        samples=samples,
    )
