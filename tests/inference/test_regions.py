"""Cells restricted to a set, against distributions of scipy and against draws."""

import math

import pytest
import scipy.stats
import torch
from tests.catalogue import COLUMNS
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal

from aevb import likelihoods
from aevb.distributions import IntegerCategorical
from aevb.distributions._families import Logistic
from aevb.inference._regions import contains, find_cell, restrict_cell

pytestmark = pytest.mark.usefixtures("float64")
N = 20_000
REGIONS = [
    ((1.0, math.inf),),
    ((-math.inf, -0.3),),
    ((-0.5, 0.2), (0.9, 1.4)),
    ((6.0, math.inf),),
    ((-9.0, -8.0),),
]


def numbers(values):
    return torch.tensor(values, dtype=torch.float64)


def rows(cells):
    """The same independent cells in N rows, of which the second is asked for."""
    return Independent(cells.expand((N, 2)), 1)


@pytest.mark.parametrize("intervals", REGIONS)
@pytest.mark.parametrize(
    "cells, exact",
    [
        (Normal(numbers([9.0, 0.4]), numbers([1.0, 1.3])), scipy.stats.norm(0.4, 1.3)),
        (
            Logistic(numbers([9.0, 0.4]).expand(N, 2), numbers([1.0, 0.8]).expand(N, 2)),
            scipy.stats.logistic(0.4, 0.8),
        ),
    ],
)
def test_numbers_are_drawn_from_the_set_in_proportion_to_the_density(cells, exact, intervals):
    p = Independent(cells, 1) if cells.batch_shape == (N, 2) else rows(cells)
    log_mass, drawn = restrict_cell(p, 1, intervals)
    masses = [
        exact.sf(low) - exact.sf(high) if low > 0 else exact.cdf(high) - exact.cdf(low)
        for low, high in intervals
    ]
    assert log_mass[0].item() == pytest.approx(math.log(sum(masses)), rel=1e-9)
    assert contains(intervals, drawn).all()

    def below(x):
        parts = [
            exact.sf(low) - exact.sf(min(max(x, low), high))
            if low > 0
            else exact.cdf(min(max(x, low), high)) - exact.cdf(low)
            for low, high in intervals
        ]
        return sum(parts) / sum(masses)

    found = [below(x) for x in drawn[:2000].tolist()]
    assert scipy.stats.kstest(found, "uniform").pvalue > 1e-4


@pytest.mark.parametrize(
    "cells, probabilities",
    [
        (IntegerCategorical(numbers([[0.2, 0.3, 0.5], [0.1, 0.6, 0.3]]).log()), [0.1, 0.6, 0.3]),
        (Bernoulli(numbers([0.9, 0.2])), [0.8, 0.2]),
    ],
)
@pytest.mark.parametrize("intervals", [((0.0, 0.0), (2.0, 2.0)), ((0.5, math.inf),)])
def test_codes_are_drawn_from_the_set(cells, probabilities, intervals):
    log_mass, drawn = restrict_cell(rows(cells), 1, intervals)
    inside = contains(intervals, torch.arange(len(probabilities)))
    target = torch.where(inside, numbers(probabilities), 0.0)
    assert log_mass[0].exp().item() == pytest.approx(target.sum().item(), rel=1e-12)
    shares = torch.bincount(drawn.long(), minlength=len(target)) / N
    # five deviations of a share
    assert ((shares - target / target.sum()).abs() < 5 * 0.5 / math.sqrt(N)).all()


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_every_column_of_a_table_agrees_with_its_draws(name):
    """A formula and the rejection of draws estimate the same probability and the same mean."""
    columns = COLUMNS[name]
    likelihood = likelihoods.Columns(nn.Identity(), columns)
    likelihood(torch.zeros(1, 1))
    nn.init.constant_(likelihood.heads.head.bias, 0.2)
    nn.init.zeros_(likelihood.heads.head.weight)
    with torch.no_grad():
        p = likelihood(torch.zeros(4000, 1))
        draws = p.sample()
        for cell in range(len(columns)):
            middle = draws[:, cell].quantile(0.7).item()
            intervals = ((middle, math.inf),)
            hit = contains(intervals, draws[:, cell])
            log_mass, drawn = restrict_cell(p, cell, intervals)
            share = hit.double().mean()
            error = 5 * math.sqrt(share * (1 - share) / 4000) + 1e-9
            # of rejection with 32 draws for each of the rows too
            assert abs(log_mass.exp().mean() - share) < 1.1 * error, columns[cell].likelihood
            drawn = drawn[log_mass > -math.inf]
            assert contains(intervals, drawn).all()
            spread = draws[hit, cell].std().nan_to_num() + 1e-9
            away = (drawn.mean() - draws[hit, cell].mean()).abs()
            assert away < 5 * spread * math.sqrt(1 / hit.sum() + 1 / len(drawn)) + 1e-6


def test_formulas_are_used_through_wrappers():
    """Missing cells, and cells that are shifted and scaled."""
    normal = likelihoods.Scaled(likelihoods.Normal(nn.Identity(), (2,), scale=0.5), [10.0], [4.0])
    p = likelihoods.Missing(normal)(torch.zeros(1, 3))
    log_mass, _ = restrict_cell(p, 0, ((12.0, math.inf),))
    mean = p.mean[0, 0].item()
    assert log_mass.exp().item() == pytest.approx(scipy.stats.norm(mean, 2.0).sf(12.0), rel=1e-6)


def test_other_families_are_drawn_until_they_hit():
    laplace = Independent(torch.distributions.Laplace(torch.zeros(N, 2), 1.0), 1)
    assert find_cell(laplace, 1) is None
    log_mass, drawn = restrict_cell(laplace, 1, ((1.0, math.inf),))
    assert log_mass.exp().mean().item() == pytest.approx(0.5 * math.exp(-1), abs=2e-3)
    hits = drawn[log_mass > -math.inf]
    assert (hits >= 1).all() and hits.mean().item() == pytest.approx(2.0, abs=0.05)


def test_the_probability_of_a_distant_set_does_not_underflow():
    log_mass, drawn = restrict_cell(rows(Normal(torch.zeros(2), 1.0)), 1, ((200.0, math.inf),))
    assert log_mass[0].item() == pytest.approx(scipy.stats.norm.logsf(200.0), rel=1e-9)
    assert (drawn == 200).all()  # all digits of the mass are lost, the bound is the nearest value
