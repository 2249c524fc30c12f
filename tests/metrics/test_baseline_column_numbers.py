"""Gaussians of the numbers of a mixed table, against plain formulas and laws."""

import math

import numpy as np
import polars
import pytest
import torch

import aevb
from aevb.data import Schema
from aevb.metrics._baselines._column_numbers import ColumnNumbers
from aevb.metrics._baselines._fit import BaselineLimits, _Mixed

N = 2000


def fitted(frame):
    """The baselines of a frame with their mean log-densities, by name."""
    schema = Schema.of(frame)
    x = schema.encode(frame).tensor().double()
    members, _ = _Mixed(schema.modelled, x, BaselineLimits()).fit()
    return {each.name: each.log_prob(x).mean().item() for each in members}


def table(unit=1.0):
    """A number of two kinds of rows, what follows from it, and a name that is independent."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=N)
    return polars.DataFrame(
        {
            "a": unit * (a + 3),
            "b": np.exp(0.9 * a + 0.3 * rng.normal(size=N)),
            "steps": np.rint(20 * a + 6 * rng.normal(size=N)).astype(int),
            "sex": rng.choice(["f", "m"], N),
        }
    )


def test_a_gaussian_finds_the_density_of_dependent_numbers_in_the_units_of_the_data():
    """The entropy of ``a``, of ``log b`` and ``steps`` given ``a``, and of a coin."""
    entropy = 3 * 0.5 * math.log(2 * math.pi * math.e) + math.log(0.3) + math.log(6) + math.log(2)
    values = fitted(table())
    # log b has the mean 0; a standard error of 4 numbers over 2,000 rows is 0.03
    assert values["gaussian"] == pytest.approx(-entropy, abs=0.06)
    assert values["independent"] < values["gaussian"] - 2
    other = fitted(table(unit=100.0))
    assert other["gaussian"] == pytest.approx(values["gaussian"] - math.log(100), abs=1e-3)


def test_the_probabilities_of_a_grid_sum_to_one():
    frame = polars.DataFrame({"n": [1, 2, 3, 4, 5, 2, 3, 4, 3] * 40, "m": [3, 1, 2] * 120})
    schema = Schema.of(frame)
    assert {column.measure for column in schema.modelled} == {"probability"}
    x = schema.encode(frame).tensor().double()
    member = _Mixed(schema.modelled, x, BaselineLimits()).fit()[0][1]
    grid = torch.cartesian_prod(torch.arange(-9.0, 15.0), torch.arange(-9.0, 13.0)).double()
    numbers = ColumnNumbers.of(schema.modelled, x)
    total = numbers.log_prob(lambda z: -0.5 * z.square().sum(1) - math.log(2 * math.pi), grid)
    assert total.exp().sum().item() == pytest.approx(1.0, abs=1e-3)
    assert member.log_prob(x).isfinite().all()


def test_columns_with_missing_cells_stay_independent():
    frame = table().with_columns(polars.Series("steps", [None, *table()["steps"][1:]]))
    schema = Schema.of(frame)
    x = schema.encode(frame).tensor().double()
    numbers = ColumnNumbers.of(schema.modelled, x)
    assert numbers.names == ["a", "b"]
    values = fitted(frame)
    assert values["gaussian"] > values["independent"] + 0.5


def test_a_table_whose_rows_a_gaussian_describes_better_is_the_first_finding():
    data = aevb.data.load(table())
    recipe = aevb.presets.table_vae(data.spec, latent=1, hidden=[4])
    result = aevb.fit(recipe, data, epochs=1, progress=False, device="cpu")
    diagnosis = aevb.runs.Run.from_fit(result, data).diagnose()
    assert diagnosis.findings[0].code == "baseline_better"
