"""Cells that are empty, from those that are there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from ..distributions.observed import OrMissing
from ..distributions.support import core
from ..errors import ArgumentError, DataError, IncompatibleError, NumericalError, check_counts
from ..memory import enough_memory
from ..models import VAE
from ..models.mode import at_rest
from ..products import routed
from ..random import seeded
from ..types import Batch
from .importance import ROWS, Running, check_weighable
from .pareto import SMALLEST

BLOCK = 256  # rows encoded at once


@dataclass(frozen=True)
class Imputed:
    """Data without empty cells; what was there is as it was."""

    x: Tensor  # [N, *event]: empty cells hold their expectation given the others, the mean direction of angles, the likeliest of categories
    spread: Tensor  # [N, *event]: the standard deviation of each empty cell given the others; 0 where a cell was there. Of an angle it is
    # sqrt(-2 log R), R being the length of the mean direction; of a category the probability that it is another one
    draws: Tensor  # [M, N, *event]: draws from p(x_missing | x_observed), the cells of a row together; M may be 0
    effective_sample_size: Tensor  # [N] float64, of the importance weights, between 1 and samples
    samples: int


@torch.no_grad()
def impute(
    model: VAE,
    x: Any,
    samples: int = 1000,
    *,
    draws: int = 0,
    context: Tensor | None = None,
    seed: int = 0,
    rows: int = ROWS,
    advance: Callable[[int], None] | None = None,
) -> Imputed:
    """Fill the empty cells (NaN) of ``x`` ``[N, *event]``, a tensor or an array, once by their mean, and ``draws`` times at random.

    ``E[x_m | x_o] = sum_k w_k E[x_m | z_k] / sum_k w_k`` with ``w_k = p(x_o|z_k) p(z_k) / q(z_k|x_o)`` for ``samples`` draws ``z_k`` from
    the posterior. Each random filling takes one of the codes with probability ``w_k / sum w`` and draws the empty cells from ``p(x_m|z)``
    (sampling importance resampling): several fillings differ as much as the data leave open. As ``samples`` grow both become exact under
    the model. Angles and categories have no mean: of these one value is drawn for each code, which counts by its weight.

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
    check_counts(samples=samples, rows=rows)
    if not isinstance(draws, int) or draws < 0:
        raise ArgumentError(f"`draws` is {draws!r}; give a whole number, at least 0.")
    x = _checked(model, x)
    context = model.told(len(x), context)
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


def _checked(model: VAE, x: Any) -> Tensor:
    check_weighable(model, "imputation")
    try:
        table = torch.as_tensor(x)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"`x` is {type(x).__name__}, which holds no array of numbers; give a tensor or an array [N, *event].") from error
    x = model.checked(table)
    if not len(x):
        raise DataError("`x` has no rows: give at least one.")
    if x.isinf().any():
        raise DataError(f"row {int(x.isinf().flatten(1).any(1).nonzero()[0])} of `x` holds infinity; write NaN for an empty cell.")
    if not model.likelihood.missing and x.isnan().any():
        raise IncompatibleError(
            f"`likelihoods.{type(model.likelihood).__name__}` takes no empty cells. "
            "Train a model with likelihoods.Missing(...), and networks.FillAndFlag(...) around the encoder's network."
        )
    codes = torch.zeros(1, *model.latent_shape, dtype=x.dtype, device=x.device)
    support = model.likelihood(codes, model.blank).support
    outside = torch.zeros(len(x), dtype=torch.bool) if support is None else ~support.check(x).reshape(len(x), -1).all(1)
    if outside.any():
        raise DataError(
            f"row {int(outside.nonzero()[0])} of `x` holds a value outside the support of "
            f"`likelihoods.{type(model.likelihood).__name__}`: give data like those that the model was trained on."
        )
    return x


def _batch(x: Tensor, context: Tensor | None, start: int, size: int) -> Batch:
    index = torch.arange(start, min(start + size, len(x)), device=x.device)
    return Batch(x[index], None if context is None else context[index.to(context.device)].to(x.device), index, len(x))


def _filled(model: VAE, batch: Batch, start: int, samples: int, draws: int, rows: int, advance: Callable[[int], None] | None) -> Imputed:
    p, q = model.prior(None, batch.context), model.infer(batch)
    if q.mean.isnan().any():
        raise DataError("the posterior's network makes NaN of empty cells; put `networks.FillAndFlag(...)` around it.")
    moments, block = _MOMENTS[model.likelihood.values](batch.x, draws), max(1, rows // len(batch.x))
    for done in range(0, samples, block):
        count = min(block, samples - done)
        z = q.sample((count,))
        likelihood = model.likelihood(z, batch.context)
        moments.add(likelihood.log_prob(batch.x) + p.log_prob(z) - q.log_prob(z), likelihood, z)
        if advance is not None:
            advance(count * len(batch.x))
    moments.check(start)
    return moments.imputed(model, batch, samples, rows)


class _Moments(ABC):
    """Weighted sums of what the likelihood says of cells, and codes drawn by their weights, one block of draws after another."""

    def __init__(self, x: Tensor, draws: int) -> None:
        self.running = Running(len(x), x.device)
        self.sums: tuple[Tensor, ...] = ()
        self.draws = draws
        self.codes = torch.empty(0)

    def add(self, log_weight: Tensor, likelihood: Distribution, z: Tensor) -> None:
        """Draws ``z`` ``[n, B, *latent]`` with log-weights ``[n, B]``."""
        shift, weight = self.running.add(log_weight.double())
        values = self.values(likelihood)
        sums = self.sums or tuple(torch.zeros_like(value[0]) for value in values)
        self.sums = tuple(
            _along(shift, total) + torch.einsum("kb,kb...->b...", weight, value) for total, value in zip(sums, values, strict=True)
        )
        if self.draws:
            self.codes = self._kept(weight, z)

    @abstractmethod
    def values(self, likelihood: Distribution) -> tuple[Tensor, ...]:
        """What is averaged, ``[n, B, *event, ...]`` each, float64."""

    @abstractmethod
    def filled(self, averages: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """What to fill cells with, and its spread, ``[B, *event]`` each."""

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

    def imputed(self, model: VAE, batch: Batch, samples: int, rows: int) -> Imputed:
        """The block with its empty cells filled; ``rows`` pairs of a draw and a row are decoded at once."""
        x, empty = batch.x, batch.x.isnan()
        value, spread = self.filled(tuple(_along(1 / self.running.first, sums) for sums in self.sums))
        pieces = self.codes.split(max(1, rows // len(x))) if self.draws else ()
        drawn = torch.cat([x.new_empty(0, *x.shape), *(model.likelihood(codes, batch.context).sample() for codes in pieces)])
        return Imputed(
            x=torch.where(empty, value.to(x), x),
            spread=torch.where(empty, spread.to(x), 0.0),
            draws=torch.where(empty, drawn, x),
            effective_sample_size=self.running.effective_sample_size(),
            samples=samples,
        )


class _Numbers(_Moments):
    """Mean and deviation. Sums are of what lies around a first guess: squares of large numbers would leave nothing of their difference."""

    centre: Tensor | None = None

    def values(self, likelihood: Distribution) -> tuple[Tensor, ...]:
        mean, variance = likelihood.mean.double(), likelihood.variance.double()
        self.centre = mean.mean(0) if self.centre is None else self.centre
        away = mean - self.centre
        return away, variance + away.square()

    def filled(self, averages: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        assert self.centre is not None
        away, square = averages
        return self.centre + away, (square - away.square()).clamp(min=0).sqrt()


class _Angles(_Moments):
    """The mean direction, and ``sqrt(-2 log R)`` with ``R`` the length of the mean vector."""

    def values(self, likelihood: Distribution) -> tuple[Tensor, ...]:
        drawn = likelihood.sample().double()
        return drawn.sin(), drawn.cos()

    def filled(self, averages: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        sine, cosine = averages
        length = torch.hypot(sine, cosine).clamp(min=SMALLEST, max=1.0)
        return torch.atan2(sine, cosine), (-2 * length.log()).sqrt()


class _Names(_Moments):
    """The likeliest category, and the probability of all others."""

    def values(self, likelihood: Distribution) -> tuple[Tensor, ...]:
        drawn = likelihood.sample().long()
        return (torch.nn.functional.one_hot(drawn, self._count(likelihood)).double(),)

    def filled(self, averages: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        (shares,) = averages
        most, value = shares.max(-1)
        return value.double(), 1 - most

    @staticmethod
    def _count(likelihood: Distribution) -> int:
        """Categories there are: values are 0 to one less."""
        support: Any = core(likelihood.support)
        bounds: Any = support.inside if isinstance(support, OrMissing) else support
        return int(torch.as_tensor(bounds.upper_bound).max()) + 1


_MOMENTS: dict[str, type[_Moments]] = {"numbers": _Numbers, "angles": _Angles, "names": _Names}


def _along(factor: Tensor, values: Tensor) -> Tensor:
    return factor.reshape(-1, *[1] * (values.dim() - 1)) * values
