"""Imputation of missing cells."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from .._memory import explain_out_of_memory
from .._row_noise import RowNoise
from ..distributions._base import expectation
from ..distributions._discrete import open_uniform
from ..distributions._moments import given_missing_cells
from ..errors import ArgumentError, DataError, IncompatibleError, NumericalError, check_counts
from ..likelihoods._likelihood import CellKind, Likelihood
from ..models import VAE
from ..notes import Argument, Part, message
from ..types import Batch
from ._batches import seeded_evaluation
from ._importance import (
    DEFAULT_MAX_PAIRS,
    MAX_BUFFERED_WEIGHTS,
    RunningLogSums,
    check_importance_sampling,
)
from ._inputs import TrainedModel, as_table, resolve_model
from ._pareto import SMALLEST_POSITIVE
from ._quantiles import MissingCellDraws, smallest_sets

MAX_BUFFERED_DRAWS = 1 << 24  # draws of cells that are kept for quantiles: 64 MiB
IMPUTE_BLOCK_ROWS = 256  # rows encoded together
FEW_SAMPLES = 20  # of an effective sample size: one draw for each latent would be as few draws
_FILL_MISSING = Part("networks.FillMissing")


@dataclass(frozen=True)
class Imputation:
    """Data with imputed cells; observed cells are unchanged.

    Args:
        x: Data ``[N, *event]``: missing cells hold their conditional mean, the mean direction of
            angles, or the most probable category.
        spread: Conditional standard deviation of each missing cell, ``[N, *event]``; 0 for observed
            cells. For an angle ``sqrt(-2 log R)`` with the length ``R`` of the mean direction; for
            a category the probability of all others.
        draws: Draws from ``p(x_missing | x_observed)``, ``[M, N, *event]``, joint over the cells of
            a row; ``M`` may be 0.
        effective_sample_size: Effective sample size of the importance weights, ``[N]`` float64.
        samples: Number of importance samples.
        low: Lower ends of the predictive intervals of missing cells, ``[N, *event]``: quantiles of
            ``p(x_missing | x_observed)``, for each cell on its own. The value itself for observed
            cells, NaN for missing categories. Of an angle the interval lies about its mean
            direction, and its ends may be beyond a half turn.
        high: Upper ends.
        categories: The probabilities of missing categories.
        level: Probability of an interval, and the least of a set of categories.
    """

    x: Tensor
    spread: Tensor
    draws: Tensor
    effective_sample_size: Tensor
    samples: int
    low: Tensor
    high: Tensor
    categories: MissingCategories
    level: float


@dataclass(frozen=True)
class MissingCategories:
    """Categories of missing cells.

    Args:
        cells: The row and the place in the event of each missing cell that holds a category,
            ``[M, 1 + axes]``.
        probabilities: Probability of each category, ``[M, categories]``, float64.
        sets: The fewest categories that together have at least the level, bool ``[M,
            categories]``.
    """

    cells: Tensor
    probabilities: Tensor
    sets: Tensor


@torch.no_grad()
def impute(
    model: VAE | TrainedModel,
    x: Any,
    samples: int = 1000,
    *,
    draws: int = 0,
    level: float = 0.9,
    context: Tensor | None = None,
    seed: int = 0,
    max_pairs: int = DEFAULT_MAX_PAIRS,
    on_progress: Callable[[int], None] | None = None,
) -> Imputation:
    """Impute missing cells (NaN) by their conditional mean, and by conditional draws.

    ``E[x_m | x_o] = sum_k w_k E[x_m | z_k] / sum_k w_k`` with ``w_k = p(x_o|z_k) p(z_k) /
    q(z_k|x_o)`` for draws ``z_k`` from the posterior. A conditional draw takes a latent with
    probability ``w_k / sum w`` and the missing cells from ``p(x_m|z)`` (sampling importance
    resampling). Both are exact under the model as ``samples`` grows. Angles and categories have no
    mean: a value is drawn for every latent and weighted. So are the ends of intervals, quantiles of
    weighted draws, one for every latent, and the sets of categories. In rows with fewer than 20
    effective samples as many values are drawn from latents that are resampled by weight. Mattei and
    Frellsen, MIWAE: deep generative modelling and imputation of incomplete data sets (2019).

    Args:
        model: A model of data with missing cells (``likelihoods.Missing``), or a run.
        x: Rows ``[N, *event]`` with NaN in missing cells: an array, a tensor or a list, ``Rows``, a
            data frame of numbers, a path, or a ``Dataset``, of which the test rows count.
        samples: Number of importance samples per row.
        draws: Number of conditional draws per row.
        level: Probability of the intervals and of the sets of categories, between 0 and 1.
        context: Context ``[N, C]`` or ``[C]`` of a conditional model.
        seed: Seed of all draws; other random streams are unchanged.
        max_pairs: Maximum number of pairs of a draw and a row that are decoded together.
        on_progress: Called with the number of pairs that are done.

    Returns:
        The completed data, their spread, intervals and draws.

    Raises:
        IncompatibleError: The model accepts no missing cells, or its posterior has no density.
        DataError: The model cannot take the data.
        ArgumentError: A count or the level is not possible.
        NumericalError: A row has likelihood 0 at every draw.

    Example:
        >>> from aevb import VAE, likelihoods, networks, posteriors, priors
        >>> encoder = networks.FillMissing(networks.MLP(8))
        >>> decoder = likelihoods.Missing(likelihoods.Normal(networks.MLP(2), (4,)))
        >>> model = VAE(priors.Normal(2), posteriors.Normal(encoder, 2), decoder)
        >>> x = torch.tensor([[1.0, torch.nan, 3.0, 4.0]])
        >>> imputation = impute(model, x, samples=50, draws=5)
        >>> imputation.x[0, [0, 2, 3]], imputation.draws.shape
        (tensor([1., 3., 4.]), torch.Size([5, 1, 4]))
    """
    check_counts(samples=samples, max_pairs=max_pairs)
    if not isinstance(draws, int) or draws < 0:
        raise ArgumentError("give a whole number, at least 0", argument="draws", value=draws)
    if not 0 < level < 1:
        raise ArgumentError("give a number between 0 and 1", argument="level", value=level)
    model, table = resolve_model(model), as_table(x, "x", "inference.impute")
    x = _validate_data(model, table)
    context = model.resolve_context(len(x), context)
    with seeded_evaluation(model, seed), explain_out_of_memory("in an imputation", rows=max_pairs):
        width = max(map(math.prod, (model.event_shape, model.latent_shape)))
        kept = MAX_BUFFERED_DRAWS // (samples * width)
        size = max(1, min(IMPUTE_BLOCK_ROWS, max_pairs, kept))
        starts = range(0, len(x), size)
        parts = [
            _impute_block(
                model,
                _make_batch(x, context, start, size),
                start,
                samples,
                draws,
                level,
                max_pairs,
                seed,
                on_progress,
            )
            for start in starts
        ]
    return Imputation(
        x=_complete(model, table, torch.cat([part.x for part in parts])),
        spread=torch.cat([part.spread for part in parts]),
        draws=_complete(model, table, torch.cat([part.draws for part in parts], 1)),
        effective_sample_size=torch.cat([part.effective_sample_size for part in parts]),
        samples=samples,
        low=_complete(model, table, torch.cat([part.low for part in parts])),
        high=_complete(model, table, torch.cat([part.high for part in parts])),
        categories=_join_categories([part.categories for part in parts], starts),
        level=level,
    )


def _join_categories(
    parts: Sequence[MissingCategories], starts: Sequence[int]
) -> MissingCategories:
    """The categories of all blocks, each of which begins at a row, with zeros for unseen ones."""
    most = max(part.probabilities.shape[1] for part in parts)
    shifts = [torch.zeros_like(part.cells) for part in parts]
    for shift, start in zip(shifts, starts, strict=True):
        shift[:, 0] = start

    def pad(values: Tensor) -> Tensor:
        return torch.nn.functional.pad(values, (0, most - values.shape[1]))

    return MissingCategories(
        torch.cat([part.cells + shift for part, shift in zip(parts, shifts, strict=True)]),
        torch.cat([pad(part.probabilities) for part in parts]),
        torch.cat([pad(part.sets) for part in parts]),
    )


def _complete(model: VAE, table: Tensor, x: Tensor) -> Tensor:
    """The caller's table, in its dtype, with imputed values ``[*, N, *event]`` in empty cells."""
    table = table.to(x.device)
    return torch.where(table.isnan(), model.to_data_units(x).to(table.dtype), table)


def _validate_data(model: VAE, table: Tensor) -> Tensor:
    check_importance_sampling(model, "imputation")
    x = model.to_model_input(table)
    likelihood = f"`likelihoods.{type(model.likelihood).__name__}`"
    if not len(x):
        raise DataError("`x` has no rows", argument="x", suggestions=("Give at least one row",))
    if x.isinf().any():
        row = int(x.isinf().flatten(1).any(1).nonzero()[0])
        raise DataError(
            f"row {row} of `x` holds infinity",
            argument="x",
            suggestions=("Write NaN for a missing cell",),
        )
    if not model.likelihood.allows_missing and x.isnan().any():
        raise IncompatibleError(
            f"{likelihood} accepts no missing cells",
            argument="model",
            suggestions=(
                message(
                    "Train a model with {missing}, and {fill} around the encoder's network",
                    missing=Part("likelihoods.Missing"),
                    fill=_FILL_MISSING,
                ),
            ),
        )
    z = torch.zeros(1, *model.latent_shape, dtype=x.dtype, device=x.device)
    support = model.likelihood(z, model.null_context).support
    if support is not None:
        outside = ~support.check(x).reshape(len(x), -1).all(1)
        if outside.any():
            raise DataError(
                f"row {int(outside.nonzero()[0])} of `x` holds a value outside the support of "
                f"{likelihood}",
                argument="x",
                suggestions=("Give data like the training data",),
            )
    return x


def _make_batch(x: Tensor, context: Tensor | None, start: int, size: int) -> Batch:
    index = torch.arange(start, min(start + size, len(x)), device=x.device)
    return Batch(
        x[index],
        None if context is None else context[index.to(context.device)].to(x.device),
        index,
        len(x),
    )


def _impute_block(
    model: VAE,
    batch: Batch,
    start: int,
    samples: int,
    draws: int,
    level: float,
    max_pairs: int,
    seed: int,
    on_progress: Callable[[int], None] | None,
) -> Imputation:
    noise = RowNoise.from_batch(batch, seed, model.constant_cells)
    p, q = model.prior(None, batch.context), model.infer(batch)
    if q.mean.isnan().any():
        raise DataError(
            "the posterior's network turns missing cells into NaN",
            argument="model",
            suggestions=(message("Put {fill} around the network", fill=_FILL_MISSING),),
        )
    moments = _WeightedDraws(model.likelihood, batch.x, draws)
    cells = MissingCellDraws(batch.x, samples)
    pairs = min(max_pairs, MAX_BUFFERED_WEIGHTS // max(1, draws))
    block, latents = max(1, pairs // len(batch.x)), []
    for done in range(0, samples, block):
        count = min(block, samples - done)
        with noise.samples(count, done):
            z = q.sample((count,))
            likelihood = model.likelihood(z, batch.context)
            log_weight = likelihood.log_prob(batch.x) + p.log_prob(z) - q.log_prob(z)
            values = moments.add(log_weight.double(), given_missing_cells(likelihood, batch.x), z)
            if len(cells.rows):
                cells.add(log_weight.double(), values.drawn)
                latents.append(z)
        if on_progress is not None:
            on_progress(count * len(batch.x))
    moments.check_weights(start)
    if latents:
        moments.redraw_rows(model, batch, cells, torch.cat(latents), max_pairs, noise)
    return moments.to_imputation(model, batch, cells, level, max_pairs, noise.fork(1))


class _WeightedDraws:
    """Moments of the cells, and latents resampled by weight, over blocks of weighted draws."""

    def __init__(self, likelihood: Likelihood, x: Tensor, draws: int) -> None:
        self.log_sums = RunningLogSums(len(x), x.device)
        self.empty = x.isnan()
        kinds = likelihood.cell_kinds
        self.moments = (
            [_MOMENTS_BY_KIND[kinds](slice(None))]
            if isinstance(kinds, str)
            else [_MOMENTS_BY_KIND[kind](_places(kinds, kind, x)) for kind in dict.fromkeys(kinds)]
        )
        self.draws = draws
        self.latents = torch.empty(0)
        self.best = torch.empty(0)

    def add(self, log_weight: Tensor, likelihood: Distribution, z: Tensor) -> _DecodedValues:
        """Add draws ``z`` ``[n, B, *latent]`` with log-weights ``[n, B]``, float64."""
        shift, weight = self.log_sums.add(log_weight)
        values = _DecodedValues(likelihood)
        for moments in self.moments:
            moments.add(shift, weight, values)
        if self.draws:
            self._resample_latents(log_weight, z)
        return values

    def _resample_latents(self, log_weight: Tensor, z: Tensor) -> None:
        """Keep the latents with the largest log-weight plus Gumbel noise, ``[M, B]`` of them.

        They are draws with probabilities in proportion to the weights (Gumbel, 1954).
        """
        # the axis of the draws last: in front it could be taken for that of the samples
        uniform = open_uniform((*log_weight.shape, self.draws), log_weight).movedim(-1, 0)
        best, chosen = (log_weight - (-uniform.log()).log()).max(1)
        no_axes = [1] * (z.dim() - 2)
        new = z.gather(0, chosen.reshape(*chosen.shape, *no_axes).expand(-1, -1, *z.shape[2:]))
        if not len(self.latents):
            self.best, self.latents = best, new
            return
        moves = (best > self.best).reshape(*best.shape, *no_axes)
        self.best, self.latents = (
            torch.maximum(best, self.best),
            torch.where(moves, new, self.latents),
        )

    def redraw_rows(
        self,
        model: VAE,
        batch: Batch,
        cells: MissingCellDraws,
        z: Tensor,
        max_pairs: int,
        noise: RowNoise,
    ) -> None:
        """Draw cells again where few latents have weight, from latents resampled by weight.

        A draw for each latent would leave out how much cells vary given a latent.
        """
        few = self.log_sums.effective_sample_size() < FEW_SAMPLES
        few &= self.empty.flatten(1).any(1)
        if not few.any():
            return
        x, context = batch.x[few], None if batch.context is None else batch.context[few]
        places, noise = cells.resampled_places(few), RowNoise.from_keys(noise.keys[few], 2)
        z = z[:, few]
        z = z.gather(0, places.reshape(*places.shape, *[1] * (z.dim() - 2)).expand_as(z))
        pairs = [(each, type(each)(each.cells)) for each in self.moments if each.kind != "numbers"]
        one = torch.ones(len(z), len(x), dtype=torch.float64, device=x.device)
        drawn, block = [], max(1, max_pairs // len(x))
        for start in range(0, len(z), block):
            part = z[start : start + block]
            with noise.samples(len(part), start):
                values = _DecodedValues(given_missing_cells(model.likelihood(part, context), x))
                drawn.append(values.drawn)
            for _, new in pairs:
                new.add(one[0], one[: len(part)], values)
        cells.replace_rows(few, torch.cat(drawn))
        for old, new in pairs:
            old.replace_rows(few, new, self.log_sums.weight_sum[few] / len(z))

    def check_weights(self, start: int) -> None:
        """Check that some draw explains every row.

        Raises:
            NumericalError: A row has likelihood 0 at every draw.
        """
        lost = ~(self.log_sums.weight_sum > 0)
        if lost.any():
            raise NumericalError(
                f"row {start + int(lost.nonzero()[0])} of `x` has likelihood 0 at every draw and "
                "cannot be imputed",
                argument="x",
                suggestions=(
                    message("Increase {samples}", samples=Argument("samples")),
                    "Or check the row",
                ),
            )

    def to_imputation(
        self,
        model: VAE,
        batch: Batch,
        cells: MissingCellDraws,
        level: float,
        max_pairs: int,
        noise: RowNoise,
    ) -> Imputation:
        """Fill the missing cells of the block; decodes at most ``max_pairs`` pairs together."""
        x, empty = batch.x, self.empty
        value, spread = torch.zeros(2, *x.shape, dtype=torch.float64, device=x.device)
        for moments in self.moments:
            filled = moments.fill_values(
                tuple(_scale_rows(1 / self.log_sums.weight_sum, sums) for sums in moments.sums)
            )
            for whole, part in zip((value, spread), filled, strict=True):
                whole.flatten(1)[:, moments.cells] = part
        drawn, block = [x.new_empty(0, *x.shape)], max(1, max_pairs // len(x))
        for start in range(0, self.draws, block):
            z = self.latents[start : start + block]
            with noise.samples(len(z), start):
                drawn.append(given_missing_cells(model.likelihood(z, batch.context), x).sample())
        low, high = self._intervals(x, value, cells, level)
        return Imputation(
            x=torch.where(empty, value.to(x), x),
            spread=torch.where(empty, spread.to(x), 0.0),
            draws=torch.where(empty, torch.cat(drawn), x),
            effective_sample_size=self.log_sums.effective_sample_size(),
            samples=len(cells.values),
            low=low,
            high=high,
            categories=self._categories(level),
            level=level,
        )

    def _intervals(
        self, x: Tensor, value: Tensor, cells: MissingCellDraws, level: float
    ) -> tuple[Tensor, Tensor]:
        """The ends of the intervals ``[B, *event]``; NaN for missing categories."""
        kinds = {kind: torch.zeros_like(self.empty) for kind in _MOMENTS_BY_KIND}
        for moments in self.moments:
            kinds[moments.kind].flatten(1)[:, moments.cells] = True
        ends = torch.stack([x, x])
        found = cells.intervals(level, value[self.empty], kinds["angles"][self.empty]).to(x)
        ends[:, self.empty] = found.masked_fill(kinds["names"][self.empty], math.nan)
        return ends[0], ends[1]

    def _categories(self, level: float) -> MissingCategories:
        """The probabilities of the categories of missing cells."""
        shape = self.empty.shape
        named = torch.zeros(shape, dtype=torch.bool, device=self.empty.device)
        probabilities = named.new_zeros(0, 0, dtype=torch.float64)
        for moments in self.moments:
            if isinstance(moments, _CategoricalMoments):
                (sums,) = moments.sums
                named.flatten(1)[:, moments.cells] = True
                empty = self.empty.flatten(1)[:, moments.cells]
                probabilities = _scale_rows(1 / self.log_sums.weight_sum, sums)[empty]
        cells = (named & self.empty).nonzero()
        return MissingCategories(cells, probabilities, smallest_sets(probabilities, level))


class _DecodedValues:
    """Mean, variance and draws of ``p(x|z)`` as ``[n, B, cells]``, each computed where needed."""

    def __init__(self, likelihood: Distribution) -> None:
        self.likelihood = likelihood

    @cached_property
    def mean(self) -> Tensor:
        """The mean, float64."""
        return expectation(self.likelihood).flatten(2).double()

    @cached_property
    def variance(self) -> Tensor:
        """The variance, float64."""
        return self.likelihood.variance.flatten(2).double()

    @cached_property
    def drawn(self) -> Tensor:
        """One draw of each row."""
        return self.likelihood.sample().flatten(2)


class _CellMoments(ABC):
    """Weighted sums of the statistics of the cells of one kind."""

    kind: CellKind

    def __init__(self, cells: slice | Tensor) -> None:
        self.cells = cells
        self.sums: tuple[Tensor, ...] = ()

    def add(self, shift: Tensor, weight: Tensor, values: _DecodedValues) -> None:
        """Add a block of draws with weights ``[n, B]``; earlier sums are scaled by ``shift``."""
        found = self.statistics(values)
        sums = self.sums or tuple(torch.zeros_like(value[0]) for value in found)
        self.sums = tuple(
            _scale_rows(shift, total) + torch.einsum("kb,kb...->b...", weight, value)
            for total, value in zip(sums, found, strict=True)
        )

    def replace_rows(self, rows: Tensor, other: _CellMoments, factor: Tensor) -> None:
        """Replace the sums of rows by those of other draws, times a factor of each row."""
        pairs = [_pad_to_same(old, new) for old, new in zip(self.sums, other.sums, strict=True)]
        for old, new in pairs:
            old[rows] = _scale_rows(factor, new)
        self.sums = tuple(old for old, _ in pairs)

    @abstractmethod
    def statistics(self, values: _DecodedValues) -> tuple[Tensor, ...]:
        """The statistics to average, ``[n, B, cells]`` each, float64."""

    @abstractmethod
    def fill_values(self, averages: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Values for missing cells, and their spread, ``[B, cells]`` each."""


class _NumericMoments(_CellMoments):
    """Mean and standard deviation relative to a first guess: large values do not cancel."""

    kind: CellKind = "numbers"
    centre: Tensor | None = None

    def statistics(self, values: _DecodedValues) -> tuple[Tensor, ...]:
        mean, variance = (each[..., self.cells] for each in (values.mean, values.variance))
        self.centre = mean.mean(0) if self.centre is None else self.centre
        away = mean - self.centre
        return away, variance + away.square()

    def fill_values(self, averages: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        assert self.centre is not None
        away, square = averages
        return self.centre + away, (square - away.square()).clamp(min=0).sqrt()


class _CircularMoments(_CellMoments):
    """Mean direction, and ``sqrt(-2 log R)`` with the length ``R`` of the mean vector."""

    kind: CellKind = "angles"

    def statistics(self, values: _DecodedValues) -> tuple[Tensor, ...]:
        drawn = values.drawn[..., self.cells].double()
        return drawn.sin(), drawn.cos()

    def fill_values(self, averages: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        sine, cosine = averages
        length = torch.hypot(sine, cosine).clamp(min=SMALLEST_POSITIVE, max=1.0)
        return torch.atan2(sine, cosine), (-2 * length.log()).sqrt()


class _CategoricalMoments(_CellMoments):
    """The most probable category, and the probability of all others.

    There are as many categories as the greatest code that was drawn, in any cell, asks for.
    """

    kind: CellKind = "names"

    def add(self, shift: Tensor, weight: Tensor, values: _DecodedValues) -> None:
        codes = values.drawn[..., self.cells].long()
        (before,) = self.sums or (weight.new_zeros(*codes.shape[1:], 0),)
        new = max(0, int(codes.max()) + 1 - before.shape[-1])
        shares = torch.nn.functional.pad(_scale_rows(shift, before), (0, new))
        each = weight.T[:, None].expand(codes.movedim(0, -1).shape)
        self.sums = (shares.scatter_add(-1, codes.movedim(0, -1), each),)

    def statistics(self, values: _DecodedValues) -> tuple[Tensor, ...]:
        return ()

    def fill_values(self, averages: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        (shares,) = averages
        most, value = shares.max(-1)
        return value.double(), 1 - most


_MOMENTS_BY_KIND: dict[CellKind, type[_CellMoments]] = {
    each.kind: each for each in (_NumericMoments, _CircularMoments, _CategoricalMoments)
}


def _places(kinds: Sequence[CellKind], kind: CellKind, x: Tensor) -> Tensor:
    """The numbers of the cells of a kind."""
    return torch.tensor([i for i, each in enumerate(kinds) if each == kind], device=x.device)


def _pad_to_same(*values: Tensor) -> list[Tensor]:
    """Tensors with zeros up to the same size of the last axis."""
    width = max(each.shape[-1] for each in values)
    return [torch.nn.functional.pad(each, (0, width - each.shape[-1])) for each in values]


def _scale_rows(factor: Tensor, values: Tensor) -> Tensor:
    return factor.reshape(-1, *[1] * (values.dim() - 1)) * values
