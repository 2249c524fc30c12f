"""Hamiltonian Monte Carlo: conserved quantities of the flow, and moments of the chains."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from aevb.distributions._hmc import (
    PhasePoint,
    hmc_state_fn,
    hmc_transition,
    leapfrog,
    sample_hmc,
    tune_step_size,
)
from aevb.errors import ArgumentError


def phase(density, z, momentum):
    return PhasePoint(hmc_state_fn(density)(z), momentum)


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
def test_reversing_the_momentum_reverses_the_flow(density, size, step):
    start = phase(density, torch.randn(5, size), torch.randn(5, size))
    steps = step * (1 + torch.arange(5.0) / 5)
    there = leapfrog(hmc_state_fn(density), start, steps, 20)
    back = leapfrog(hmc_state_fn(density), phase(density, there.z, -there.momentum), steps, 20)
    assert (there.z - start.z).abs().max() > 0.05
    assert torch.allclose(back.z, start.z, atol=1e-10) and torch.allclose(
        -back.momentum, start.momentum, atol=1e-10
    )


@pytest.mark.parametrize("density, size", [(gaussian, 3), (bent, 2)])
def test_the_flow_preserves_volume(density, size):
    """The determinant of its Jacobian is 1, by central differences of a polynomial map."""
    where, width = torch.randn(2 * size), 1e-4

    def flow(points):
        z, momentum = points.split(size, -1)
        there = leapfrog(hmc_state_fn(density), phase(density, z, momentum), torch.tensor(0.15), 7)
        return torch.cat([there.z, there.momentum], -1)

    # fourth-order differences: errors of width^4 = 1e-16 times a fifth derivative, and rounding
    shifts = [(1, 8 / 12), (-1, -8 / 12), (2, -1 / 12), (-2, 1 / 12)]
    columns = (
        sum(weight * flow(where + times * width * torch.eye(2 * size)) for times, weight in shifts)
        / width
    )
    assert abs(torch.linalg.det(columns).item() - 1) < 1e-10


def test_the_energy_error_is_quadratic_in_the_step_size():
    start = phase(gaussian, torch.randn(50, 3), torch.randn(50, 3))
    errors = [
        (
            leapfrog(hmc_state_fn(gaussian), start, torch.tensor(step), round(0.8 / step)).energy
            - start.energy
        )
        .abs()
        .mean()
        for step in (0.02, 0.01)
    ]
    # half the step over the same time: a quarter of the error, up to 1e-4 of the next order
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.02)


def test_chains_have_any_batch_shape_and_their_own_step_sizes():
    z, momentum = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    steps = torch.rand(4) / 10
    together = leapfrog(hmc_state_fn(gaussian), phase(gaussian, z, momentum), steps, 5)
    alone = leapfrog(hmc_state_fn(gaussian), phase(gaussian, z[1, 2], momentum[1, 2]), steps[2], 5)
    assert together.state.log_density.shape == (2, 4)
    assert torch.allclose(together.z[1, 2], alone.z, atol=1e-14) and torch.allclose(
        together.energy[1, 2], alone.energy, atol=1e-13
    )


# the kernel


def test_draws_have_the_moments_of_a_correlated_gaussian():
    """400 independent chains: the error of a moment follows from their spread."""
    samples = sample_hmc(gaussian, torch.zeros(400, 3), draws=30, warmup=100).z
    covariance = FACTOR @ FACTOR.T
    centred = samples - MEAN
    second = torch.einsum("nci,ncj->cij", centred, centred) / len(samples)
    for per_chain, truth in ((samples.mean(0), MEAN), (second, covariance)):
        error = per_chain.std(0) / math.sqrt(400)
        assert ((per_chain.mean(0) - truth).abs() < 5 * error).all()
        assert (
            error.max() < 0.15
        )  # the largest variance is 4.3: the test detects an error of a fifth


def test_draws_have_the_moments_of_a_curved_density():
    """E y = E x^2 = 1, var y = 0.25 + 2, and x is standard normal."""
    samples = sample_hmc(bent, torch.zeros(400, 2), draws=60, warmup=150, leapfrogs=15).z
    x, y = samples.unbind(-1)
    for per_chain, truth in ((x, 0.0), (x**2, 1.0), (y, 1.0), (y**2, 0.25 + 3), (x * y, 0.0)):
        mean = per_chain.mean(0)
        assert abs(mean.mean() - truth) < 5 * mean.std() / math.sqrt(400)


def test_a_transition_leaves_the_target_invariant():
    """Transitions are exact for any step size; long steps are accepted less often."""
    start = MultivariateNormal(MEAN, scale_tril=FACTOR).sample((40_000,))
    for step in (0.1, 0.9):
        moved = hmc_transition(
            hmc_state_fn(gaussian), hmc_state_fn(gaussian)(start), torch.tensor(step), 5
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
    """The step size, shared by all chains or by each pair, starts far too small or too large."""
    begin = torch.full(shape, 10.0 if target == 0.65 else 1e-3)
    result = sample_hmc(
        gaussian,
        torch.zeros(2, 30, 3),
        draws=40,
        warmup=200,
        target_acceptance=target,
        step_size=begin,
    )
    assert result.step_size.shape == shape
    # the log-step of a pair fluctuates by a tenth, and so does its acceptance
    assert result.acceptance.mean().item() == pytest.approx(target, abs=0.05)


def test_non_finite_proposals_are_rejected():
    """Beyond 1 the density is NaN, below -1 it is zero, and its logarithm -inf."""

    def walled(z):
        value = -0.5 * z.square().sum(-1)
        value = torch.where(z[..., 0] > 1, torch.nan, value)
        return torch.where(z[..., 0] < -1, -torch.inf, value)

    result = sample_hmc(walled, torch.zeros(200, 2), draws=50, warmup=50)
    assert result.z.isfinite().all() and result.z[..., 0].abs().max() <= 1
    inside = result.z[..., 0].square().mean(0)
    # a standard normal between -1 and 1 has the variance 1 - 2 phi(1) / (2 Phi(1) - 1)
    assert abs(inside.mean() - 0.2911251) < 5 * inside.std() / math.sqrt(200)
    assert (result.acceptance < 1).all()


def test_a_chain_leaves_a_point_of_zero_density():
    def half(z):
        return torch.where(z[..., 0] > 0, -0.5 * z.square().sum(-1), torch.nan)

    z = torch.full((30, 1), -0.05)
    for _ in range(200):
        z = hmc_transition(hmc_state_fn(half), hmc_state_fn(half)(z), torch.tensor(0.3), 3).state.z
    assert (z > 0).all()


def test_a_shared_step_size_follows_the_mean_acceptance():
    acceptance = torch.tensor([[1.0, 0.2], [0.6, 0.4]])
    assert torch.allclose(
        tune_step_size(torch.ones(2), acceptance, 0.5, gain=1.0),
        torch.exp(torch.tensor([0.3, -0.2])),
    )
    assert tune_step_size(torch.tensor(1.0), acceptance, 0.5, gain=1.0).item() == pytest.approx(
        math.exp(0.05)
    )


@pytest.mark.parametrize(
    "setting",
    [{"draws": 0}, {"warmup": -1}, {"leapfrogs": 0}, {"thin": 0}, {"target_acceptance": 1.0}],
)
def test_invalid_settings_are_refused_by_name(setting):
    with pytest.raises(ArgumentError, match=rf"`{next(iter(setting))}`"):
        sample_hmc(gaussian, torch.zeros(2, 3), **({"draws": 3} | setting))
