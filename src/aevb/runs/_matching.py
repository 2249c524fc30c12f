"""Imputation by values that were observed: predictive mean matching."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import inference
from .._row_noise import RowNoise
from ..data import Rows
from ..inference import Imputation

if TYPE_CHECKING:
    from ._run import Run

MAX_DONORS = 500  # rows whose values are given to others
DONOR_SAMPLES = 50  # importance samples of a prediction of a donor's cell
NEIGHBOURS = 5
_PURPOSE = 7  # of the noise that chooses donors


@dataclass(frozen=True)
class Donors:
    """Rows that give their observed numbers to missing cells.

    Args:
        predictions: What the model expects of each cell given the other cells of its row, encoded,
            ``[M, D]``; NaN for categories, and where the cell is missing.
        values: The observed cells, encoded, ``[M, D]``.
    """

    predictions: Tensor
    values: Tensor


def find_donors(run: Run, rows: Rows, *, seed: int = 0) -> Donors:
    """Predict the numbers of some rows of a table from the other cells of their rows.

    Args:
        run: A run of a table of mixed columns.
        rows: Encoded rows, such as those of the training.
        seed: Seed of the draws.
    """
    count = min(len(rows), MAX_DONORS)
    cells = rows.subset([place * len(rows) // count for place in range(count)]).tensor().cpu()
    predictions = torch.full_like(cells, torch.nan)
    assert run.schema is not None
    for place, column in enumerate(run.schema.modelled):
        known = (~cells[:, place].isnan()).nonzero()[:, 0]
        if column.levels is None and len(known):
            hidden = cells[known].index_fill(1, torch.tensor([place]), torch.nan)
            found = inference.impute(run.model, hidden, DONOR_SAMPLES, seed=seed).x.cpu()
            predictions[known, place] = found[:, place].float()
    return Donors(predictions, cells)


def match_observed(found: Imputation, cells: Tensor, donors: Donors, *, seed: int) -> Imputation:
    """Replace drawn numbers by observed ones: of a donor of which the model expects about the same.

    One of the five donors with the nearest prediction is drawn for each cell (Little, Missing-data
    adjustments in large surveys, 1988). The draws of a row do not depend on other rows.

    Args:
        found: An imputation with draws.
        cells: The rows with their missing cells, encoded, ``[N, D]``.
        donors: The result of ``find_donors``.
        seed: Seed of the choice.
    """
    draws, cells = found.draws.cpu().clone(), cells.cpu()
    with RowNoise.from_rows(cells, seed=seed).fork(_PURPOSE).samples(len(draws)):
        uniform = torch.rand(len(draws), *cells.shape)
    for place in range(cells.shape[1]):
        missing, known = cells[:, place].isnan(), ~donors.predictions[:, place].isnan()
        if not missing.any() or not known.any():
            continue
        expected = found.x[missing, place].cpu().double()
        distance = (expected[:, None] - donors.predictions[known, place].double()).abs()
        near = distance.topk(min(NEIGHBOURS, int(known.sum())), largest=False).indices
        choice = (uniform[:, missing, place] * near.shape[1]).long()
        donor = near.expand(len(draws), *near.shape).gather(2, choice[..., None])[..., 0]
        draws[:, missing, place] = donors.values[known, place][donor].to(draws)
    return replace(found, draws=draws.to(found.draws.device))
