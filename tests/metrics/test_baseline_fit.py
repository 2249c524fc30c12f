"""Which baselines are fitted to which rows, at the limits of their sizes, and exact densities."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import aevb
from aevb.metrics import BaselineLimits
from aevb.metrics._baselines import _fit
from aevb.metrics._baselines._fit import _Continuous, _Discrete, _levels

LIMITS = BaselineLimits()


def rows(count: int, columns: int = 1) -> torch.Tensor:
    """Rows that differ: row i has the values i, i squared, i cubed, ..."""
    return torch.arange(count, dtype=torch.float64)[:, None] ** torch.arange(1, columns + 1)


def continuous(x, bounded=False, **limits):
    names = [f"c{i}" for i in range(x.shape[1])]
    return _Continuous(x, names, bounded, BaselineLimits(**limits))


def log_normal(x, mean, deviation):
    return torch.distributions.Normal(mean, deviation).log_prob(x)


def test_independent_columns_are_normal_with_the_moments_of_the_observed_cells():
    x = torch.tensor([[1.0, 9.0, 2.0], [3.0, 9.0, math.nan], [8.0, 9.0, 6.0]]).double()
    fit = continuous(x)
    assert fit.columns.tolist() == [True, False, True]
    # column 0 has the mean 4 and the variance (9 + 1 + 16) / 3, column 2 the mean 4 and 4
    first = log_normal(x[:, 0], 4.0, math.sqrt(26 / 3))
    expected = first + log_normal(torch.tensor([2.0, 4.0, 6.0]).double(), 4.0, 2.0)
    expected[1] = first[1]
    torch.testing.assert_close(fit._independent().log_prob(x), expected)
    (only,), reason = fit.fit()
    assert only.name == "independent" and reason


def test_constant_columns_have_no_baseline():
    assert continuous(torch.ones(30, 2).double()).fit()[0] == []
    # a difference that vanishes when squared has no scale
    assert not continuous(torch.tensor([[0.0], [1e-200]]).double()).columns.any()
    assert not continuous(torch.tensor([[math.nan], [math.nan]]).double()).columns.any()


@pytest.mark.parametrize("columns, joint", [(2, True), (3, False)])
def test_a_full_covariance_has_a_greatest_number_of_columns(columns, joint):
    members, reason = continuous(torch.randn(50, columns).double(), max_gaussian_columns=2).fit()
    assert (len(members) > 1) == joint and (reason == "") == joint


@pytest.mark.parametrize(
    "bounded, repeats, fitted", [(True, 2, True), (True, 3, False), (False, 3, True)]
)
def test_repeated_values_of_a_bounded_density_end_all_baselines(bounded, repeats, fitted):
    """2 of 20 values are a share of 0.1; one column with more is enough."""
    x = rows(20, 2).clone()
    x[:repeats, 1] = x[0, 1]
    members, reason = continuous(x, bounded).fit()
    assert bool(members) == fitted and (reason == "") == fitted


@pytest.mark.parametrize(
    "limits, columns, picked",
    [
        ({}, 1, range(30)),
        ({"max_mixture_rows": 3}, 1, [0, 14, 29]),
        ({"max_mixture_work": 12}, 2, [0, 14, 29]),  # 12 over 2 squared
        ({"max_mixture_work": 27}, 3, [0, 14, 29]),
    ],
)
def test_rows_of_a_mixture_are_spread_from_the_first_to_the_last(
    monkeypatch, limits, columns, picked
):
    seen = []
    monkeypatch.setattr(_fit, "fit_mixture", lambda x, *rest: seen.append((x, rest)))
    x = rows(30, columns)
    assert continuous(x, **limits)._mixture() == []  # where no mixture is better
    standardised = (x - x.mean(0)) / x.std(0, correction=0)
    torch.testing.assert_close(seen[0][0], standardised[list(picked)])
    assert seen[0][1] == (LIMITS.components, LIMITS.scale_floor)


def discrete(x, levels, **limits):
    return _Discrete(x, levels, BaselineLimits(**limits))


@pytest.mark.parametrize(
    "levels, columns, fitted", [(16, 2, True), (15, 2, False), (16, 3, False), (15, 3, False)]
)
def test_a_gaussian_of_levels_needs_many_levels_and_few_columns(levels, columns, fitted):
    x = rows(10, columns) % levels
    assert bool(discrete(x, levels, max_gaussian_columns=2)._gaussian(levels)) == fitted


def test_a_gaussian_of_levels_is_the_bound_by_jensen():
    """The expected log-density over a uniform step around a value, by quadrature."""
    generator = torch.Generator().manual_seed(3)
    factor = torch.tensor([[1.0, 0.0], [0.5, 0.7]])
    x = (torch.randn(100_000, 2, generator=generator) @ factor.T + 20).round().double()
    (member,) = discrete(x, 64)._gaussian(64)
    grid = (torch.arange(400).double() + 0.5) / 400 - 0.5
    covariance = torch.cov(x.T, correction=0) + torch.eye(2).double() / 12
    normal = torch.distributions.MultivariateNormal(x.mean(0), covariance)
    steps = torch.cartesian_prod(grid[::8], grid[::8])
    exact = torch.stack([normal.log_prob(row + steps).mean() for row in x[:20]])
    # noise moves the moments of the fit by about 1 / sqrt(100,000) = 0.003, at up to 3 deviations;
    # the bound is 0.1 below the density
    torch.testing.assert_close(member.log_prob(x[:20]), exact, rtol=0, atol=0.04)


@pytest.mark.parametrize(
    "limits, levels, picked",
    [
        ({}, 4, range(30)),
        ({"max_class_cells": 24}, 4, [0, 14, 29]),  # 24 over 2 columns of 4 levels
        ({"max_class_values": 8}, 4, range(30)),
        ({"max_class_values": 7}, 4, None),
    ],
)
def test_rows_of_classes_and_trees_are_spread_from_the_first_to_the_last(
    monkeypatch, limits, levels, picked
):
    seen = []

    def fit(x, *rest):
        seen.append((x, rest))
        return SimpleNamespace(log_weight=torch.zeros(5), log_prob=abs, smoothing=2.0)

    monkeypatch.setattr(_fit, "fit_latent_classes", fit)
    monkeypatch.setattr(_fit, "fit_chow_liu", fit)
    x = rows(30, 2)
    members = discrete(x, levels, **limits)._classes_and_tree(levels)
    if picked is None:
        assert members == [] and seen == []
        return
    assert all(torch.equal(used, x[list(picked)]) for used, _ in seen)
    assert [rest for _, rest in seen] == [(levels, LIMITS.classes), (levels,)]
    details = {each.name: each.details for each in members}
    assert details == {"mixture": {"classes": 5}, "tree": {"smoothing": 2.0}}


@pytest.mark.parametrize(
    "x, levels, names",
    [
        (rows(30, 2), None, ["independent"]),
        (torch.tensor([[1.0], [math.nan]]), 16, ["independent"]),
        (rows(30, 2) % 4, 4, ["independent", "mixture", "tree"]),
        (rows(30, 2) % 16, 16, ["independent", "gaussian", "mixture", "tree"]),
    ],
)
def test_baselines_of_probabilities(x, levels, names):
    members, reason = discrete(x, levels, classes=(2,)).fit()
    assert [each.name for each in members] == names and (reason == "") == (len(names) > 1)


def test_without_a_joint_baseline_of_levels_there_is_a_reason():
    members, reason = discrete(rows(30, 2) % 4, 4, max_class_values=7).fit()
    assert len(members) == 1 and reason


def test_the_number_of_levels():
    bounded, counts = (SimpleNamespace(likelihood=SimpleNamespace(unbounded=u)) for u in (0, 1))
    x = torch.tensor([[0.0, math.nan], [6.0, 2.0]])
    assert _levels(counts, None, x) is None
    assert _levels(bounded, None, x) == 7
    assert _levels(bounded, None, torch.zeros(3, 1)) == 2
    spec = replace(aevb.data.load("digits").spec, support="levels", levels=17)
    assert _levels(bounded, spec, x) == 17
    assert _levels(bounded, replace(spec, support="binary"), x) == 7
    assert _levels(bounded, replace(spec, levels=None), x) == 7
