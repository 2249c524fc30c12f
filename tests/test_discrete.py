"""Independent discrete variables: their states, the noise behind a draw, and what is left of it in a soft one."""

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.distributions import (
    Bernoulli,
    Beta,
    Exponential,
    Gamma,
    Independent,
    LogNormal,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    RelaxedBernoulli,
    Uniform,
)
from torch.distributions.relaxed_categorical import ExpRelaxedCategorical

from aevb.distributions._discrete import Bits, OneHotCodes, as_discrete
from aevb.distributions._support import has_mass_outside

pytestmark = pytest.mark.usefixtures("float64")

DRAWS = 40_000


def bits(shape=(3,)):
    return Independent(Bernoulli(logits=torch.randn(shape)), len(shape), validate_args=False)


def codes(shape=(2, 3)):
    return Independent(
        OneHotCategorical(logits=torch.randn(shape)), len(shape) - 1, validate_args=False
    )


FAMILIES = {
    "bits": bits,
    "bits with axes": lambda: bits((2, 2)),
    "codes": codes,
    "codes with axes": lambda: codes((2, 1, 3)),
}


@pytest.fixture(params=FAMILIES)
def q(request):
    return FAMILIES[request.param]()


def test_all_states_are_listed_once_and_have_all_the_mass(q):
    found = as_discrete(q)
    z = found.enumerate_states()
    assert z.shape == (found.n_states, *q.event_shape) and len(z.unique(dim=0)) == found.n_states
    assert torch.allclose(found.log_prob(z), q.log_prob(z), atol=1e-13)
    assert q.log_prob(z).exp().sum().item() == pytest.approx(1, abs=1e-13)
    assert torch.allclose(found.mean, q.mean, atol=1e-15)


def test_the_slope_of_the_log_probability_in_the_logits_is_z_minus_the_mean(q):
    logits = as_discrete(q).logits.clone().requires_grad_()
    held = type(as_discrete(q))(logits, len(q.event_shape))
    z = q.sample()
    (slope,) = torch.autograd.grad(held.log_prob(z), logits)
    assert torch.allclose(slope, z - held.mean, atol=1e-14)


def close(draws, mean, variance):
    """First two moments, within five standard errors."""
    centred = draws - draws.mean(0)
    error = ((centred**4).mean(0) - draws.var(0) ** 2).clamp(min=0).sqrt() / math.sqrt(len(draws))
    return bool(
        ((draws.mean(0) - mean).abs() <= 5 * draws.std(0) / math.sqrt(len(draws)) + 1e-12).all()
    ) and bool(((draws.var(0) - variance).abs() <= 5 * error + 1e-12).all())


def test_the_largest_of_the_perturbed_logits_is_a_draw(q):
    found = as_discrete(q)
    z = found.hard_sample(found.sample_perturbed((DRAWS,)))
    assert close(z, q.mean, q.variance)
    assert q.support.check(z).all()


def test_noise_given_the_draw_is_the_noise_that_led_to_it(q):
    """Drawn again given the hard draw, the perturbed logits have the law that they had, and the same largest one."""
    found = as_discrete(q)
    first = found.sample_perturbed((DRAWS,))
    first = first - first.logsumexp(-1, keepdim=True) if isinstance(found, OneHotCodes) else first
    z = q.sample((DRAWS,))
    again = found.sample_perturbed_given(z)
    assert (found.hard_sample(again) == z).all()
    again = again - again.logsumexp(-1, keepdim=True) if isinstance(found, OneHotCodes) else again
    centred = first - first.mean(0)
    errors = (
        first.std(0) / math.sqrt(DRAWS),
        ((centred**4).mean(0) - first.var(0) ** 2).sqrt() / math.sqrt(DRAWS),
    )
    # both sides are estimates: sqrt(2) times the error of one
    assert ((again.mean(0) - first.mean(0)).abs() < 5 * math.sqrt(2) * errors[0]).all()
    assert ((again.var(0) - first.var(0)).abs() < 5 * math.sqrt(2) * errors[1]).all()
    # and jointly with the draw: the mean of y where a variable is 1
    joint, pair = (again * z).mean(0), (first * found.hard_sample(first)).mean(0)
    assert (
        (joint - pair).abs()
        < 5 * math.sqrt(2) * (first * found.hard_sample(first)).std(0) / math.sqrt(DRAWS)
    ).all()


def test_soft_draws_become_hard_ones_as_the_temperature_falls(q):
    found = as_discrete(q)
    y = found.sample_perturbed((1000,))
    away = [
        (found.soft_sample(y, temperature) - found.hard_sample(y)).abs().mean()
        for temperature in (2.0, 0.5, 0.1, 1e-3)
    ]
    assert away == sorted(away, reverse=True) and away[-1] < 1e-2
    assert found.soft_sample(y, 0.5).min() >= 0 and found.soft_sample(y, 0.5).max() <= 1


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_relaxed_densities_are_those_of_torch(temperature):
    made = as_discrete(bits())
    y = made.sample_perturbed((5,))
    relaxed = RelaxedBernoulli(torch.tensor(temperature), logits=made.logits)
    assert torch.allclose(
        made.relaxed_log_prob(y, temperature),
        relaxed.base_dist.log_prob(y / temperature).sum(-1),
        atol=1e-12,
    )
    made = as_discrete(codes())
    y = made.sample_perturbed((5,))
    relaxed = ExpRelaxedCategorical(torch.tensor(temperature), logits=made.logits)
    simplex = torch.log_softmax(y / temperature, -1)
    assert torch.allclose(
        made.relaxed_log_prob(y, temperature), relaxed.log_prob(simplex).sum(-1), atol=1e-12
    )


def test_draws_and_densities_are_differentiable(q):
    logits = as_discrete(q).logits.clone().requires_grad_()
    family, axes = type(as_discrete(q)), len(q.event_shape)
    z = q.sample((2,))

    def everything(logits):
        torch.manual_seed(3)
        held = family(logits, axes)
        y, given = held.sample_perturbed((2,)), held.sample_perturbed_given(z)
        return (
            held.soft_sample(y, 0.7),
            held.soft_sample(given, 0.7),
            held.relaxed_log_prob(y, 0.7),
            held.log_prob(held.soft_sample(y, 0.7)),
        )

    assert gradcheck(everything, (logits,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [50.0, 1e4])
def test_extreme_logits_stay_finite(size, dtype):
    for shape, family in (((4,), Bits), ((2, 4), OneHotCodes)):
        logits = (
            (size * torch.tensor([1.0, -1.0, 1.0, -1.0])).expand(shape).to(dtype).requires_grad_()
        )
        made = family(logits, len(shape))
        y = made.sample_perturbed((200,))
        z = made.hard_sample(y)
        given = made.sample_perturbed_given(z)
        values = (
            made.soft_sample(y, 0.1),
            made.soft_sample(given, 0.1),
            made.log_prob(z),
            made.relaxed_log_prob(y, 0.1),
        )
        sum(value.sum() for value in values).backward()
        assert all(value.isfinite().all() for value in (*values, logits.grad))


def test_what_is_not_made_of_independent_discrete_variables_is_not_taken_for_it():
    assert as_discrete(Normal(torch.zeros(2), 1.0)) is None
    assert as_discrete(Independent(Normal(torch.zeros(2), 1.0), 1)) is None


def one(distribution):
    return Independent(distribution, 1)


ZERO, ONE = torch.zeros(2), torch.ones(2)
SUPPORTS = {
    "reals on reals": (one(Normal(ZERO, ONE)), MultivariateNormal(ZERO, torch.eye(2)), False),
    "positive on reals": (one(LogNormal(ZERO, ONE)), one(Normal(ZERO, ONE)), False),
    "reals on positive": (one(Normal(5 * ONE, 0.01 * ONE)), one(Exponential(ONE)), True),
    "positive on positive": (one(Gamma(ONE, ONE)), one(LogNormal(ZERO, ONE)), False),
    "positive on the unit interval": (one(Exponential(ONE)), one(Beta(ONE, ONE)), True),
    "the unit interval on positive": (one(Beta(ONE, ONE)), one(Exponential(ONE)), False),
    "one interval on a larger one": (one(Uniform(ZERO, ONE)), one(Uniform(-ONE, 2 * ONE)), False),
    "one interval on a smaller one": (one(Uniform(ZERO, ONE)), one(Uniform(ZERO, 0.5 * ONE)), True),
    "bits on reals": (bits((2,)), one(Normal(ZERO, ONE)), True),
    "bits on bits": (bits((2,)), bits((2,)), False),
    "bits on codes": (bits((1, 2)), codes((1, 2)), True),
    "codes on bits": (codes((1, 2)), bits((1, 2)), False),
}


@pytest.mark.parametrize("name", SUPPORTS)
def test_mass_outside_of_another_support(name):
    q, p, beyond = SUPPORTS[name]
    before = torch.get_rng_state()
    assert has_mass_outside(q, p) == beyond
    assert torch.equal(before, torch.get_rng_state())
