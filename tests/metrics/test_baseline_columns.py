"""Independent columns of a mixed table, against the likelihoods of their families."""

import math

import pytest
import torch
from torch.distributions import Normal

from aevb.data import Rows
from aevb.metrics._baselines._columns import fit_columns
from aevb.metrics._table_features import cell_units, table_features
from aevb.networks import Column

COLUMNS = (
    Column("height", "continuous", "normal", shift=170.0, scale=10.0),
    Column("sex", "binary", "bernoulli", levels=("f", "m")),
    Column("city", "categorical", "categorical", levels=("a", "b", "c")),
)


def cells(n=400):
    generator = torch.Generator().manual_seed(0)
    x = torch.stack(
        [
            0.3 + 0.8 * torch.randn(n, generator=generator),
            (torch.rand(n, generator=generator) < 0.2).float(),
            torch.randint(0, 3, (n,), generator=generator).clamp(max=1).float() * 2,
        ],
        1,
    )
    x[::5, 0] = torch.nan
    return x.double()


def test_each_column_has_the_maximum_likelihood_of_its_family():
    x = cells()
    height = x[:, 0][~x[:, 0].isnan()]
    normal = Normal(height.mean(), height.std(correction=0))
    density = normal.log_prob(x[:, 0].nan_to_num()) - math.log(10)  # in centimetres
    expected = density.masked_fill(x[:, 0].isnan(), 0.0)
    for place in (1, 2):
        shares = (x[:, place, None] == torch.arange(3)).double().mean(0)
        expected = expected + shares[x[:, place].long()].log()
    found = fit_columns(COLUMNS, x)(x).sum(1)
    assert found.mean().item() == pytest.approx(expected.mean().item(), abs=2e-3)
    torch.testing.assert_close(found, expected, atol=0.03, rtol=0)  # level b does not occur


def test_errors_of_one_are_those_of_the_simplest_guess():
    x = cells()
    units, names = cell_units(COLUMNS, Rows.from_array(x.float()))
    assert names.tolist() == [False, True, True]
    height = x[:, 0][~x[:, 0].isnan()]
    assert units[0].item() == pytest.approx(height.std(correction=0).item())
    for place in (1, 2):
        guess = x[:, place].mode().values
        wrong = (x[:, place] != guess).double().mean()
        assert units[place].square().item() == pytest.approx(wrong.item())


def test_features_are_finite_where_cells_are_missing():
    x = cells().float()
    features = table_features(COLUMNS)(x)
    assert features.shape == (400, 1 + 2 + 3 + 3) and features.isfinite().all()
    assert features[:, 1:6].sum(1).unique().tolist() == [2.0]  # a level of each name
