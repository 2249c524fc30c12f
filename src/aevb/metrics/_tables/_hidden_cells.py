"""Calibration of imputation: cells that are hidden on purpose, and their predictive intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...data import Rows, Schema
from ...errors import ArgumentError, DataError, NumericalError
from ...inference import Imputation, TrainedModel, impute
from ...inference._inputs import resolve_model
from ...models import VAE
from ...networks import Column
from ...networks._column import ColumnKind
from .._intervals import Interval, proportion_interval
from .._rows import evenly_spaced_rows

HIDDEN_SHARE = 0.1
"""Share of the observed cells that are hidden."""

MAX_ROWS = 500
"""Most rows whose cells are imputed."""

SAMPLES = 500
"""Importance samples per row: intervals from few effective samples are too narrow."""

CALIBRATION_ROWS, CALIBRATION_TURNS, CALIBRATION_DRAWS = 200, 5, 200

ROUNDING = 1e-6  # relative: cells and draws on a grid differ by the rounding of float32


@dataclass(frozen=True)
class HiddenColumn:
    """How well the hidden cells of a column were imputed.

    Args:
        name: The name of the column.
        kind: What the column holds.
        n_cells: Number of hidden cells.
        coverage: Share of them inside their interval, or among their set of categories.
        relative_error: Mean squared error of the imputed numbers over that of the mean of the
            observed cells; for categories the share of wrong ones over that of the commonest
            category. 1 without any information, NaN where the observed cells are all equal.
    """

    name: str
    kind: ColumnKind
    n_cells: int
    coverage: Interval
    relative_error: float


@dataclass(frozen=True)
class HiddenCells:
    """Imputations of cells that were hidden on purpose.

    Args:
        columns: The columns with hidden cells, in the order of the schema.
        numbers: Coverage of all hidden numbers; ``None`` without any.
        categories: Coverage of all hidden categories; ``None`` without any.
        level: The probability that intervals and sets were asked to have. Those of few possible
            values have more, because no smaller set reaches it.
        hidden_share: Share of the observed cells that were hidden.
        n_rows: Number of rows.
    """

    columns: tuple[HiddenColumn, ...]
    numbers: Interval | None
    categories: Interval | None
    level: float
    hidden_share: float
    n_rows: int


def hidden_cells(
    model: VAE | TrainedModel,
    rows: Rows,
    schema: Schema,
    *,
    hidden_share: float = HIDDEN_SHARE,
    level: float = 0.9,
    samples: int = SAMPLES,
    max_rows: int = MAX_ROWS,
    seed: int = 0,
) -> HiddenCells:
    """Hide observed cells, impute them, and count how many lie in their predictive intervals.

    Cells are hidden completely at random. Intervals are those of ``inference.impute``: quantiles of
    ``p(x_hidden | x_observed)`` for numbers and ordered values on a grid, and the fewest categories
    that reach the level.

    Args:
        model: A model of rows with missing cells.
        rows: Held-out rows of encoded cells.
        schema: The schema of the cells.
        hidden_share: Share of the observed cells that are hidden, between 0 and 1.
        level: Probability of intervals and sets.
        samples: Importance samples per row.
        max_rows: Most rows, evenly spaced.
        seed: Seed of the choice of cells and of all draws.

    Returns:
        Coverage and errors by column.

    Raises:
        ArgumentError: The share or the level is not between 0 and 1.
        DataError: There are no rows, or no cell was hidden.
        IncompatibleError: The model cannot impute.
    """
    if not 0 < hidden_share < 1:
        raise ArgumentError(
            "give a number between 0 and 1", argument="hidden_share", value=hidden_share
        )
    rows = evenly_spaced_rows(rows, max_rows)
    x = rows.tensor().cpu()
    hidden = _choose_cells(x, hidden_share, seed)
    if not hidden.any():
        raise DataError("no cell is hidden: the rows have too few observed cells")
    found = impute(
        resolve_model(model),
        x.masked_fill(hidden, math.nan),
        samples,
        level=level,
        context=rows.context,
        seed=seed,
    )
    covered = _covered(x, hidden, found)
    columns = schema.modelled
    places = hidden.any(0).nonzero()[:, 0].tolist()
    is_name = torch.zeros_like(hidden)
    is_name[tuple(found.categories.cells.T.cpu())] = True
    numbers, names = (covered[hidden & kind] for kind in (~is_name, is_name))
    return HiddenCells(
        tuple(
            _column(columns[place], x[:, place], hidden[:, place], covered, place, found)
            for place in places
        ),
        proportion_interval(numbers) if len(numbers) else None,
        proportion_interval(names) if len(names) else None,
        level,
        hidden_share,
        len(x),
    )


def _choose_cells(x: Tensor, share: float, seed: int) -> Tensor:
    """A mask ``[N, D]`` of observed cells, each with the same probability."""
    generator = np.random.default_rng(seed)
    return torch.from_numpy(generator.random(tuple(x.shape)) < share) & ~x.isnan()


def _covered(x: Tensor, hidden: Tensor, found: Imputation) -> Tensor:
    """Which hidden cells lie in their interval or set, ``[N, D]``."""
    slack = ROUNDING * (1 + x.abs())
    inside = (found.low.cpu() - slack <= x) & (x <= found.high.cpu() + slack)
    cells, sets = found.categories.cells.cpu(), found.categories.sets.cpu()
    if len(cells):
        at = tuple(cells.T)
        codes = x[at].nan_to_num(nan=-1.0).long()  # -1: a cell that was missing before
        known = (codes >= 0) & (codes < sets.shape[1])
        chosen = sets.gather(1, codes.clamp(0, sets.shape[1] - 1)[:, None])[:, 0]
        inside[at] = known & chosen
    return inside & hidden


def _column(
    column: Column, x: Tensor, hidden: Tensor, covered: Tensor, place: int, found: Imputation
) -> HiddenColumn:
    """The numbers of one column."""
    truth, imputed = x[hidden].double(), found.x[:, place].cpu()[hidden].double()
    observed = x[~hidden & ~x.isnan()].double()
    return HiddenColumn(
        column.name,
        column.kind,
        int(hidden.sum()),
        proportion_interval(covered[:, place][hidden]),
        _relative_error(truth, imputed, observed, column.n_levels > 0),
    )


def _relative_error(truth: Tensor, imputed: Tensor, observed: Tensor, is_name: bool) -> float:
    """The error of imputed cells over that of the mean, or of the commonest, of observed ones."""
    if not len(observed):
        return math.nan
    if is_name:
        guess = observed.mode().values
        error, reference = ((each != truth).double().mean() for each in (imputed, guess))
    else:
        error, reference = ((each - truth).square().mean() for each in (imputed, observed.mean()))
    return (error / reference).item() if reference > 0 else math.nan


def interval_levels(
    model: VAE | TrainedModel,
    rows: Rows,
    *,
    samples: int = SAMPLES,
    max_rows: int = CALIBRATION_ROWS,
    seed: int = 0,
) -> np.ndarray:
    """The level at which the interval of each observed number would just contain it.

    Every observed cell is hidden once, together with about a fifth of its row, and ranked among
    draws of it. The quantiles of these levels say which level to ask for (split conformal
    prediction; Vovk et al., Algorithmic learning in a random world, 2005).

    Args:
        model: A model of rows with missing cells.
        rows: Held-out rows of encoded cells.
        samples: Importance samples per row.
        max_rows: Most rows, evenly spaced.
        seed: Seed of the choice of cells and of all draws.

    Returns:
        Levels from 0 to 1, ascending, one per observed number.
    """
    rows = evenly_spaced_rows(rows, max_rows)
    x = rows.tensor().cpu()
    turns = np.random.default_rng(seed).integers(0, CALIBRATION_TURNS, tuple(x.shape))
    levels = []
    for turn in range(CALIBRATION_TURNS):
        hidden = torch.from_numpy(turns == turn) & ~x.isnan()
        found = impute(
            resolve_model(model),
            x.masked_fill(hidden, math.nan),
            samples,
            draws=CALIBRATION_DRAWS,
            context=rows.context,
            seed=seed,
        )
        numbers = hidden & ~found.low.isnan().cpu()  # categories have no interval
        truth, drawn = x[numbers], found.draws.cpu()[:, numbers]
        same = (drawn - truth).abs() <= ROUNDING * (1 + truth.abs())
        below = ((drawn < truth) & ~same).double().mean(0)
        above = ((drawn > truth) & ~same).double().mean(0)
        levels.append(2 * torch.maximum(below, above).clamp(min=0.5) - 1)
    return torch.cat(levels).sort().values.numpy()


def hidden_cells_or_none(
    model: VAE, rows: Rows, schema: Schema, seed: int = 0
) -> HiddenCells | None:
    """The result of ``hidden_cells``; ``None`` for a model or for rows without imputation."""
    able = model.capabilities
    if not (able.importance_weights and able.missing_values and able.encodes_new_rows):
        return None
    try:
        return hidden_cells(model, rows, schema, seed=seed)
    except (DataError, NumericalError):
        return None
