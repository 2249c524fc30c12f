"""Cells of tables: moments and draws against sums over all values."""

import math

import pytest
import torch
from tests.catalogue import COLUMNS
from torch import nn

from aevb import likelihoods
from aevb.distributions import ColumnsDistribution
from aevb.distributions._columns import BinaryCells, GridCells

STEP, ORIGIN = torch.tensor([0.25]).double(), torch.tensor([0.1]).double()
HOURS, _, _, HALF = COLUMNS["spiky"]


def moments(values, probability):
    mean = (values * probability).sum()
    return mean.item(), (probability * (values - mean).square()).sum().item()


@pytest.mark.parametrize("scale", [0.004, 0.1, 0.249, 0.251, 2.0])  # in steps: 0.016 to 8
@pytest.mark.parametrize("loc", [0.1, 0.2249, 3.0])
def test_moments_of_a_grid_are_sums(loc, scale):
    p = GridCells(torch.tensor([loc]).double(), torch.tensor([scale]).double(), STEP, ORIGIN)
    values = ORIGIN + STEP * torch.arange(-1000, 1000).double()
    probability = p.log_prob(values[:, None])[:, 0].exp()
    assert probability.sum().item() == pytest.approx(1.0, abs=1e-12)
    # 24 terms, and from a scale of one step on Sheppard's correction, are right to 1e-6 of a step
    assert (p.mean.item(), p.variance.item()) == pytest.approx(
        moments(values, probability), abs=5e-7
    )


def spiky(column, dtype=torch.float64):
    torch.manual_seed(1)
    likelihood = likelihoods.Columns(nn.Identity(), [column]).to(dtype)
    return likelihood(torch.randn(1, 3, dtype=dtype)), likelihood


def all_values(column):
    x = column.step * torch.arange(-4000, 4000).double()
    return ((x - column.shift) / column.scale).float().double()


@pytest.mark.parametrize("column", [HOURS, HALF], ids=["hours", "half"])
def test_moments_of_atoms_and_bins_are_sums(column):
    """Atoms, uniform bins without their atoms, and geometric tails that step over atoms."""
    (p, _), values = spiky(column), all_values(column)
    probability = p.cell_log_prob(values[:, None, None])[:, 0, 0].exp()
    assert (p.expectation.item(), p.variance.item()) == pytest.approx(
        moments(values, probability),
        abs=1e-6,  # cells are rounded to float32
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("column", [HOURS, HALF], ids=["hours", "half"])
def test_draws_of_a_spiky_column_have_its_probabilities(column, dtype):
    (p, _), n = spiky(column, dtype), 20_000
    drawn = p.sample((n,))
    assert p.support.check(drawn).all()
    grid = (column.shift + column.scale * drawn.double()[:, 0, 0]) / column.step
    assert (grid - grid.round()).abs().max() < 1e-3
    counts = torch.zeros(8000).double()
    counts.scatter_add_(0, grid.round().long() + 4000, torch.ones(n).double())
    expected = p.cell_log_prob(all_values(column).to(dtype)[:, None, None])[:, 0, 0].exp().double()
    error = (expected * (1 - expected) / n).sqrt()
    common = expected * n > 20
    # five standard errors of a share of 20,000 draws
    assert ((counts / n - expected).abs() < 5 * error)[common].all()
    assert counts[~common].sum() / n < expected[~common].sum() + 5 / math.sqrt(n)


def test_cells_are_in_the_order_of_the_columns():
    logits = torch.tensor([[1.0, 2.0, 3.0]])
    p = ColumnsDistribution([BinaryCells(logits)], torch.tensor([2, 0, 1]), torch.zeros(3))
    expected = torch.sigmoid(torch.tensor([[2.0, 3.0, 1.0]]))
    assert torch.allclose(p.expectation, expected)
    assert torch.allclose(p.cell_log_prob(torch.ones(3)).exp(), expected)
    assert torch.equal(p.mean, torch.ones(1, 3)) and p.sample((2,)).shape == (2, 1, 3)
    assert p.log_prob(torch.full((3,), torch.nan)).item() == 0
