"""Cells that are empty, from those that are there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution

from ..errors import ArgumentError, DataError, IncompatibleError, NumericalError
from ..memory import enough_memory
from ..models import VAE
from ..models.mode import at_rest
from ..products import routed
from ..random import seeded
from ..types import Batch
from .importance import ROWS, Running, check_density
from .pareto import SMALLEST

BLOCK = 256  # rows encoded at once


@dataclass(frozen=True)
class Imputed:
    """Data without empty cells; what was there is as it was."""

    x: Tensor  # [N, *event]: empty cells hold their expectation E[x_missing | x_observed]
    spread: Tensor  # [N, *event]: the standard deviation of each empty cell given the others; 0 where a cell was there
    draws: Tensor  # [M, N, *event]: draws from p(x_missing | x_observed), the cells of a row together; M may be 0
    effective_sample_size: Tensor  # [N] float64, of the importance weights, between 1 and samples
    samples: int


@torch.no_grad()
def impute(
    model: VAE,
    x: Tensor,
    samples: int = 1000,
    *,
    draws: int = 0,
    context: Tensor | None = None,
    seed: int = 0,
    rows: int = ROWS,
    advance: Callable[[int], None] | None = None,
) -> Imputed:
    """Fill the empty cells (NaN) of ``x`` ``[N, *event]``, once by their mean, and ``draws`` times at random.

    ``E[x_m | x_o] = sum_k w_k E[x_m | z_k] / sum_k w_k`` with ``w_k = p(x_o|z_k) p(z_k) / q(z_k|x_o)`` for ``samples`` draws ``z_k`` from
    the posterior. Each random filling takes one of the codes with probability ``w_k / sum w`` and draws the empty cells from ``p(x_m|z)``
    (sampling importance resampling): several fillings differ as much as the data leave open. As ``samples`` grow both become exact under
    the model.

    ``rows`` bounds how many pairs of a draw and a row are decoded at once; ``advance`` is told how many have been done. The result is the
    same for the same ``seed``, and every other random stream is left as it was.

    Mattei and Frellsen, MIWAE: deep generative modelling and imputation of incomplete data sets (2019). Raises ``IncompatibleError`` for a
    model that takes no empty cells or whose posterior has no density, ``DataError`` for data that it cannot take, ``ArgumentError`` for
    counts that are none, and ``NumericalError`` for a row that has likelihood 0 at every draw.

    >>> from aevb import VAE, likelihoods, networks, posteriors, priors
    >>> encoder = networks.FillAndFlag(networks.MLP(8))
    >>> decoder = likelihoods.Missing(likelihoods.Normal(networks.MLP(2), (4,)))
    >>> model = VAE(priors.Normal(2), posteriors.Normal(encoder, 2), decoder)
    >>> x = torch.tensor([[1.0, torch.nan, 3.0, 4.0]])
    >>> found = impute(model, x, samples=50, draws=5)
    >>> found.x[0, [0, 2, 3]], found.draws.shape
    (tensor([1., 3., 4.]), torch.Size([5, 1, 4]))
    """
    for argument, count, least in (("samples", samples, 1), ("draws", draws, 0)):
        if count < least:
            raise ArgumentError(f"`{argument}` is {count}; give at least {least}.")
    x = _checked(model, x)
    with at_rest(model), seeded(seed, model.device), routed(), enough_memory("in an imputation", rows=rows):
        size = max(1, min(BLOCK, rows))
        starts = range(0, len(x), size)
        parts = [_filled(model, _batch(x, context, start, size), start, samples, draws, rows, advance) for start in starts]
    return Imputed(
        x=torch.cat([part.x for part in parts]),
        spread=torch.cat([part.spread for part in parts]),
        draws=torch.cat([part.draws for part in parts], 1),
        effective_sample_size=torch.cat([part.effective_sample_size for part in parts]),
        samples=samples,
    )


def _checked(model: VAE, x: Tensor) -> Tensor:
    check_density(model, "imputation")
    x = model.checked(x)
    if not len(x):
        raise DataError("`x` has no rows: give at least one.")
    if x.isinf().any():
        raise DataError(f"row {int(x.isinf().flatten(1).any(1).nonzero()[0])} of `x` holds infinity; write NaN for an empty cell.")
    if not model.likelihood.missing and x.isnan().any():
        raise IncompatibleError(
            f"`likelihoods.{type(model.likelihood).__name__}` takes no empty cells. "
            "Train a model with likelihoods.Missing(...), and networks.FillAndFlag(...) around the encoder's network."
        )
    return x


def _batch(x: Tensor, context: Tensor | None, start: int, size: int) -> Batch:
    index = torch.arange(start, min(start + size, len(x)), device=x.device)
    return Batch(x[index], None if context is None else context[index.to(context.device)].to(x.device), index, len(x))


def _filled(model: VAE, batch: Batch, start: int, samples: int, draws: int, rows: int, advance: Callable[[int], None] | None) -> Imputed:
    p, q = model.prior(None, batch.context), model.infer(batch)
    if q.mean.isnan().any():
        raise DataError("the posterior's network makes NaN of empty cells; put `networks.FillAndFlag(...)` around it.")
    moments, block = _Moments(batch.x, draws), max(1, rows // len(batch.x))
    for done in range(0, samples, block):
        count = min(block, samples - done)
        z = q.sample((count,))
        likelihood = model.likelihood(z, batch.context)
        moments.add(likelihood.log_prob(batch.x) + p.log_prob(z) - q.log_prob(z), likelihood, z)
        if advance is not None:
            advance(count * len(batch.x))
    moments.check(start)
    return moments.imputed(model, batch, samples)


class _Moments:
    """Weighted moments of the reconstructions, and codes drawn by their weights, one block of draws after another."""

    def __init__(self, x: Tensor, draws: int) -> None:
        self.running = Running(len(x), x.device)
        self.mean = self.square = torch.zeros_like(x, dtype=torch.float64)
        self.draws = draws
        self.codes = torch.empty(0)

    def add(self, log_weight: Tensor, likelihood: Distribution, z: Tensor) -> None:
        """Draws ``z`` ``[n, B, *latent]`` with log-weights ``[n, B]``."""
        shift, weight = self.running.add(log_weight.double())
        mean, variance = likelihood.mean, likelihood.variance
        self.mean = _along(shift, self.mean) + torch.einsum("kb,kb...->b...", weight, mean.double())
        self.square = _along(shift, self.square) + torch.einsum("kb,kb...->b...", weight, (variance + mean.square()).double())
        if self.draws:
            self.codes = self._kept(weight, z)

    def _kept(self, weight: Tensor, z: Tensor) -> Tensor:
        """Each kept code is a draw by weight from all codes so far: it gives way to one of the new ones with their share of the total."""
        total, no_axes = weight.sum(0), [1] * (z.dim() - 2)
        share = (weight / total.clamp(min=SMALLEST)).clamp(min=SMALLEST)  # where all weights are 0 so far, any code will do
        chosen = torch.multinomial(share.T, self.draws, replacement=True).T  # [M, B]
        new = z.gather(0, chosen.reshape(*chosen.shape, *no_axes).expand(-1, -1, *z.shape[2:]))
        moves = torch.rand_like(chosen, dtype=torch.float64) * self.running.first < total
        return torch.where(moves.reshape(*moves.shape, *no_axes), new, self.codes) if len(self.codes) else new

    def check(self, start: int) -> None:
        """Refuse rows that no draw can explain. Raises ``NumericalError``."""
        lost = ~(self.running.first > 0)
        if lost.any():
            raise NumericalError(
                f"row {start + int(lost.nonzero()[0])} of `x` has likelihood 0 at every draw, so nothing says how to fill it: "
                "draw more samples, or look at the row."
            )

    def imputed(self, model: VAE, batch: Batch, samples: int) -> Imputed:
        """The block with its empty cells filled."""
        x, empty = batch.x, batch.x.isnan()
        mean, square = (_along(1 / self.running.first, sums) for sums in (self.mean, self.square))
        spread = (square - mean.square()).clamp(min=0).sqrt()
        drawn = model.likelihood(self.codes, batch.context).sample() if self.draws else x.new_empty(0, *x.shape)
        return Imputed(
            x=torch.where(empty, mean.to(x), x),
            spread=torch.where(empty, spread.to(x), 0.0),
            draws=torch.where(empty, drawn, x),
            effective_sample_size=self.running.effective_sample_size(),
            samples=samples,
        )


def _along(factor: Tensor, values: Tensor) -> Tensor:
    return factor.reshape(-1, *[1] * (values.dim() - 1)) * values
