"""Hamiltonian Monte Carlo: the flow keeps what it must keep, and the chains have the moments of what they draw from."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from aevb.distributions._hmc import (
    PhasePoint,
    hmc_transition,
    leapfrog,
    make_state_fn,
    sample_hmc,
    tune_step_size,
)
from aevb.errors import ArgumentError


def phase(density, z, momentum):
    return PhasePoint(make_state_fn(density)(z), momentum)


pytestmark = pytest.mark.usefixtures("float64")

MEAN = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
FACTOR = torch.tensor([[1.0, 0.0, 0.0], [0.9, 0.5, 0.0], [-0.4, 0.3, 2.0]], dtype=torch.float64)


def gaussian(z):
    """A correlated Gaussian in three variables, with scales between 0.4 and 2."""
    return MultivariateNormal(MEAN, scale_tril=FACTOR).log_prob(z)


def bent(z):
    """Not Gaussian, not symmetric: the second variable follows the square of the first."""
    return -0.5 * z[..., 0] ** 2 - 0.5 * ((z[..., 1] - z[..., 0] ** 2) / 0.5) ** 2


# the flow


@pytest.mark.parametrize("density, size", [(gaussian, 3), (bent, 2)])
@pytest.mark.parametrize("step", [0.01, 0.03, 0.1])
def test_the_flow_runs_back_when_the_momentum_is_turned(density, size, step):
    start = phase(density, torch.randn(5, size), torch.randn(5, size))
    steps = step * (1 + torch.arange(5.0) / 5)
    there = leapfrog(make_state_fn(density), start, steps, 20)
    back = leapfrog(make_state_fn(density), phase(density, there.z, -there.momentum), steps, 20)
    assert (there.z - start.z).abs().max() > 0.05
    assert torch.allclose(back.z, start.z, atol=1e-10) and torch.allclose(
        -back.momentum, start.momentum, atol=1e-10
    )


@pytest.mark.parametrize("density, size", [(gaussian, 3), (bent, 2)])
def test_the_flow_preserves_volume(density, size):
    """The determinant of its Jacobian in position and momentum together is 1, by central differences of a polynomial map."""
    where, width = torch.randn(2 * size), 1e-4

    def flow(points):
        z, momentum = points.split(size, -1)
        there = leapfrog(make_state_fn(density), phase(density, z, momentum), torch.tensor(0.15), 7)
        return torch.cat([there.z, there.momentum], -1)

    # fourth-order differences: the error is about width^4 = 1e-16 times a fifth derivative, and 1e-16 / width of rounding
    shifts = [(1, 8 / 12), (-1, -8 / 12), (2, -1 / 12), (-2, 1 / 12)]
    columns = (
        sum(weight * flow(where + times * width * torch.eye(2 * size)) for times, weight in shifts)
        / width
    )
    assert abs(torch.linalg.det(columns).item() - 1) < 1e-10


def test_the_energy_is_kept_to_the_square_of_the_step():
    start = phase(gaussian, torch.randn(50, 3), torch.randn(50, 3))
    errors = [
        (
            leapfrog(make_state_fn(gaussian), start, torch.tensor(step), round(0.8 / step)).energy
            - start.energy
        )
        .abs()
        .mean()
        for step in (0.02, 0.01)
    ]
    # half the step over the same time: a quarter of the error, up to the next order, which is 1e-4 of it
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.02)


def test_chains_may_have_any_axes_and_steps_of_their_own():
    z, momentum = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    steps = torch.rand(4) / 10
    together = leapfrog(make_state_fn(gaussian), phase(gaussian, z, momentum), steps, 5)
    alone = leapfrog(make_state_fn(gaussian), phase(gaussian, z[1, 2], momentum[1, 2]), steps[2], 5)
    assert together.state.log_density.shape == (2, 4)
    assert torch.allclose(together.z[1, 2], alone.z, atol=1e-14) and torch.allclose(
        together.energy[1, 2], alone.energy, atol=1e-13
    )


# the kernel


def test_draws_have_the_moments_of_a_correlated_gaussian():
    """400 independent chains: the error of each moment comes from their spread, so no autocorrelation is to be estimated."""
    found = sample_hmc(gaussian, torch.zeros(400, 3), draws=30, warmup=100).z
    covariance = FACTOR @ FACTOR.T
    centred = found - MEAN
    second = torch.einsum("nci,ncj->cij", centred, centred) / len(found)
    for per_chain, truth in ((found.mean(0), MEAN), (second, covariance)):
        error = per_chain.std(0) / math.sqrt(400)
        assert ((per_chain.mean(0) - truth).abs() < 5 * error).all()
        assert (
            error.max() < 0.15
        )  # the largest variance is 4.3: the test would see it wrong by a fifth


def test_draws_follow_a_bent_density():
    """E y = E x^2 = 1, var y = 0.25 + 2, and x is standard normal."""
    found = sample_hmc(bent, torch.zeros(400, 2), draws=60, warmup=150, leapfrogs=15).z
    x, y = found.unbind(-1)
    for per_chain, truth in ((x, 0.0), (x**2, 1.0), (y, 1.0), (y**2, 0.25 + 3), (x * y, 0.0)):
        mean = per_chain.mean(0)
        assert abs(mean.mean() - truth) < 5 * mean.std() / math.sqrt(400)


def test_one_transition_leaves_the_target_as_it_is():
    """Started in equilibrium, whatever the step: too long a one is accepted less often, and is never wrong."""
    start = MultivariateNormal(MEAN, scale_tril=FACTOR).sample((40_000,))
    for step in (0.1, 0.9):
        moved = hmc_transition(
            make_state_fn(gaussian), make_state_fn(gaussian)(start), torch.tensor(step), 5
        )
        z = moved.state.z
        error = z.std(0) / math.sqrt(40_000)
        assert ((z.mean(0) - MEAN).abs() < 5 * error).all()
        spread = z.var(0) - (FACTOR @ FACTOR.T).diagonal()
        # of a Gaussian's variance: sqrt(2 / n) of itself
        assert (spread.abs() < 5 * math.sqrt(2 / 40_000) * z.var(0)).all()
    assert moved.acceptance.mean() < 0.7 and (moved.is_accepted == (z != start).any(-1)).all()


@pytest.mark.parametrize("shape, target", [((), 0.65), ((), 0.9), ((30,), 0.9), ((1, 30), 0.65)])
def test_the_acceptance_reaches_its_target(shape, target):
    """One step for all chains, or one for each pair that shares it; begun far too small or far too large."""
    begin = torch.full(shape, 10.0 if target == 0.65 else 1e-3)
    found = sample_hmc(
        gaussian,
        torch.zeros(2, 30, 3),
        draws=40,
        warmup=200,
        target_acceptance=target,
        step_size=begin,
    )
    assert found.step_size.shape == shape
    # a step of one pair's own keeps a wander of a tenth in its logarithm, and acceptance bends with it
    assert found.acceptance.mean().item() == pytest.approx(target, abs=0.05)


def test_what_is_not_finite_is_rejected():
    """Beyond 1 the density is NaN, below -1 it is zero, and its logarithm -inf."""

    def walled(z):
        value = -0.5 * z.square().sum(-1)
        value = torch.where(z[..., 0] > 1, torch.nan, value)
        return torch.where(z[..., 0] < -1, -torch.inf, value)

    found = sample_hmc(walled, torch.zeros(200, 2), draws=50, warmup=50)
    assert found.z.isfinite().all() and found.z[..., 0].abs().max() <= 1
    inside = found.z[..., 0].square().mean(0)
    # a standard normal between -1 and 1 has the variance 1 - 2 phi(1) / (2 Phi(1) - 1)
    assert abs(inside.mean() - 0.2911251) < 5 * inside.std() / math.sqrt(200)
    assert (found.acceptance < 1).all()


def test_a_chain_that_stands_on_no_density_leaves_it_at_the_first_chance():
    def half(z):
        return torch.where(z[..., 0] > 0, -0.5 * z.square().sum(-1), torch.nan)

    z = torch.full((30, 1), -0.05)
    for _ in range(200):
        z = hmc_transition(
            make_state_fn(half), make_state_fn(half)(z), torch.tensor(0.3), 3
        ).state.z
    assert (z > 0).all()


def test_a_step_shared_by_chains_follows_their_mean_acceptance():
    acceptance = torch.tensor([[1.0, 0.2], [0.6, 0.4]])
    assert torch.allclose(
        tune_step_size(torch.ones(2), acceptance, 0.5, gain=1.0),
        torch.exp(torch.tensor([0.3, -0.2])),
    )
    assert tune_step_size(torch.tensor(1.0), acceptance, 0.5, gain=1.0).item() == pytest.approx(
        math.exp(0.05)
    )


@pytest.mark.parametrize(
    "setting", [{"draws": 0}, {"warmup": -1}, {"leapfrogs": 0}, {"thin": 0}, {"target": 1.0}]
)
def test_settings_that_no_run_could_use_are_refused_by_name(setting):
    with pytest.raises(ArgumentError, match=rf"`{next(iter(setting))}`"):
        sample_hmc(gaussian, torch.zeros(2, 3), **({"draws": 3} | setting))
