"""Weights, floors and capacities of the KL divergence against sums that are written out."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal

from aevb.errors import ArgumentError
from aevb.objectives import ELBO, Linear
from aevb.types import Batch, Terms

MEAN = torch.tensor([[0.1, 2.0], [0.2, -1.0], [0.0, 0.5]], dtype=torch.float64)
SCALE = torch.tensor([[0.9, 0.5], [1.1, 0.3], [1.0, 0.8]], dtype=torch.float64)
KL = (0.5 * (SCALE**2 + MEAN**2 - 1) - SCALE.log()).numpy()  # [3, 2]
WEIGHT = np.array([[0.2, 0.5, 0.3], [0.8, 0.5, 0.7]])


def terms(exact: bool, scale: float = 1.0, rows: int = 3) -> Terms:
    """K = 2 draws of 3 rows with unequal weights."""
    q = Independent(Normal(MEAN[:rows], SCALE[:rows]), 1)
    p = Independent(Normal(torch.zeros(2).double(), torch.ones(2).double()), 1)
    z = MEAN[:rows] + SCALE[:rows] * torch.tensor([[[0.3, -0.8]], [[-1.2, 0.4]]]).double() * scale
    likelihood = torch.tensor([[-1.0, -2.5, 0.5], [-4.0, 1.0, -0.25]]).double()[:, :rows]
    zero = torch.zeros((), dtype=torch.float64)
    return Terms(
        likelihood,
        p.log_prob(z),
        q.log_prob(z),
        torch.from_numpy(WEIGHT[:, :rows]).log(),
        torch.from_numpy(KL[:rows].sum(1)) if exact else None,
        z,
        q,
        p,
        q,
        Batch(torch.zeros(rows, 1)),
        zero + 0.125,
        zero + 0.75,
    )


def reference(t: Terms) -> tuple[np.ndarray, np.ndarray]:
    """Mean log-likelihood, and the rate of each draw ``[2, 3]``."""
    rate = (t.log_posterior - t.log_prior).numpy()
    return (WEIGHT * t.log_likelihood.numpy()).sum(0), rate


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("beta", [0.0, 1.0, 2.5])
def test_the_bound_is_plain_and_the_target_weighs_the_divergence(exact, beta):
    t = terms(exact)
    likelihood, rate = reference(t)
    mean_rate = KL.sum(1) if exact else (WEIGHT * rate).sum(0)
    value = ELBO(beta=beta)(t, None)
    np.testing.assert_allclose(value.bound.numpy(), likelihood - mean_rate - 0.125, rtol=1e-10)
    expected = likelihood - beta * mean_rate - 0.125
    np.testing.assert_allclose(value.target.numpy(), expected, rtol=1e-10)
    assert value.penalty.item() == 0.75


@pytest.mark.parametrize("floor", [0.01, 0.5, 1.0, 5.0])
def test_the_floor_of_each_variable_is_compared_with_the_mean_over_rows(floor):
    likelihood, _ = reference(terms(True))
    rate = sum(KL[:, j] if KL[:, j].mean() > floor else np.full(3, floor) for j in range(2))
    value = ELBO(beta=2.0, free_bits=floor)(terms(True), None)
    np.testing.assert_allclose(value.target.numpy(), likelihood - 2 * rate - 0.125, rtol=1e-10)
    np.testing.assert_allclose(value.bound.numpy(), likelihood - KL.sum(1) - 0.125, rtol=1e-10)


@pytest.mark.parametrize("floor", [0.1, 0.3, 0.6, 5.0])
def test_a_sampled_rate_is_compared_by_the_other_rows_and_the_floor_of_all_variables(floor):
    t = terms(False)
    likelihood, rate = reference(t)
    per_row = (WEIGHT * rate).sum(0)
    penalised = np.empty((2, 3))
    for i in range(3):
        others = np.delete(per_row, i).mean()
        penalised[:, i] = rate[:, i] if others > 2 * floor else 2 * floor
    expected = likelihood - (WEIGHT * penalised).sum(0) - 0.125
    value = ELBO(free_bits=floor)(t, None)
    np.testing.assert_allclose(value.target.numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("floor, above", [(0.1, True), (5.0, False)])
def test_a_single_row_is_compared_by_further_draws(floor, above):
    t = terms(False, rows=1)
    rate = (t.log_posterior - t.log_prior).numpy()
    penalised = rate if above else np.full((2, 1), 2 * floor)
    likelihood = (WEIGHT[:, :1] * t.log_likelihood.numpy()).sum(0)
    expected = likelihood - (WEIGHT[:, :1] * penalised).sum(0) - 0.125
    np.testing.assert_allclose(ELBO(free_bits=floor)(t, None).target.numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("capacity", [0.0, 0.05, 1.2, 9.0])
def test_a_capacity_penalises_the_distance(exact, capacity):
    """A sampled rate lies on the side that 16 further draws say."""
    t = terms(exact)
    likelihood, rate = reference(t)
    rates = np.stack([KL.sum(1)] * 2) if exact else rate
    sign = np.sign(KL.sum(1) - capacity)
    if not exact:
        torch.manual_seed(3)
        z = t.q.sample((16,))
        sign = np.sign((t.q.log_prob(z) - t.p.log_prob(z)).mean(0).numpy() - capacity)
    torch.manual_seed(3)
    value = ELBO(beta=3.0, capacity=capacity)(t, None)
    expected = likelihood - 3 * sign * (WEIGHT * (rates - capacity)).sum(0) - 0.125
    np.testing.assert_allclose(
        value.target.numpy(), expected, rtol=1e-6, atol=1e-6
    )  # a float32 capacity


@pytest.mark.parametrize("name", ["beta", "free_bits", "capacity"])
@pytest.mark.parametrize("bad", [-0.5, math.inf, math.nan])
def test_numbers_below_0_or_without_a_size_are_refused(name, bad):
    with pytest.raises(ArgumentError) as caught:
        ELBO(**{name: bad})
    assert caught.value.argument == name
    assert ELBO(**{name: 0.0}).name == "ELBO"


def test_schedules_that_go_below_0_are_refused_at_either_end():
    for schedule in (Linear(-1.0, 1.0, 5), Linear(1.0, -1.0, 5)):
        with pytest.raises(ArgumentError):
            ELBO(beta=schedule)
    with pytest.raises(ArgumentError) as caught:
        ELBO(free_bits=0.1, capacity=1.0)
    assert caught.value.argument == "free_bits"


def test_gradients_in_log_weights_need_a_plain_target():
    made = (ELBO(), ELBO(beta=3.0), ELBO(free_bits=0.1), ELBO(capacity=1.0), ELBO(capacity=0.0))
    assert [each.uses_log_weights for each in made] == [True, True, False, False, False]
    assert [set(each.schedules) for each in made[:4]] == [{"beta"}] * 3 + [{"beta", "capacity"}]
