"""Independent discrete variables: states, perturbed logits and relaxations."""

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.distributions import Bernoulli, Independent, Normal, OneHotCategorical, RelaxedBernoulli
from torch.distributions.relaxed_categorical import ExpRelaxedCategorical

from aevb.distributions._discrete import Bits, OneHotCodes, as_discrete

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


def test_states_are_enumerated_once_and_sum_to_one(q):
    discrete = as_discrete(q)
    z = discrete.enumerate_states()
    assert (
        z.shape == (discrete.n_states, *q.event_shape) and len(z.unique(dim=0)) == discrete.n_states
    )
    assert torch.allclose(discrete.log_prob(z), q.log_prob(z), atol=1e-13)
    assert q.log_prob(z).exp().sum().item() == pytest.approx(1, abs=1e-13)
    assert torch.allclose(discrete.mean, q.mean, atol=1e-15)


def test_the_gradient_of_the_log_probability_in_the_logits_is_z_minus_the_mean(q):
    logits = as_discrete(q).logits.clone().requires_grad_()
    discrete = type(as_discrete(q))(logits, len(q.event_shape))
    z = q.sample()
    (slope,) = torch.autograd.grad(discrete.log_prob(z), logits)
    assert torch.allclose(slope, z - discrete.mean, atol=1e-14)


def close(draws, mean, variance):
    """First two moments, within five standard errors."""
    centred = draws - draws.mean(0)
    error = ((centred**4).mean(0) - draws.var(0) ** 2).clamp(min=0).sqrt() / math.sqrt(len(draws))
    return bool(
        ((draws.mean(0) - mean).abs() <= 5 * draws.std(0) / math.sqrt(len(draws)) + 1e-12).all()
    ) and bool(((draws.var(0) - variance).abs() <= 5 * error + 1e-12).all())


def test_the_argmax_of_perturbed_logits_is_a_draw(q):
    discrete = as_discrete(q)
    z = discrete.hard_sample(discrete.sample_perturbed((DRAWS,)))
    assert close(z, q.mean, q.variance)
    assert q.support.check(z).all()


def test_conditional_noise_reproduces_the_draw(q):
    """Perturbed logits conditioned on the hard draw have the same distribution and argmax."""
    discrete = as_discrete(q)
    first = discrete.sample_perturbed((DRAWS,))
    first = (
        first - first.logsumexp(-1, keepdim=True) if isinstance(discrete, OneHotCodes) else first
    )
    z = q.sample((DRAWS,))
    again = discrete.sample_perturbed_given(z)
    assert (discrete.hard_sample(again) == z).all()
    again = (
        again - again.logsumexp(-1, keepdim=True) if isinstance(discrete, OneHotCodes) else again
    )
    centred = first - first.mean(0)
    errors = (
        first.std(0) / math.sqrt(DRAWS),
        ((centred**4).mean(0) - first.var(0) ** 2).sqrt() / math.sqrt(DRAWS),
    )
    # both sides are estimates: sqrt(2) times the error of each
    assert ((again.mean(0) - first.mean(0)).abs() < 5 * math.sqrt(2) * errors[0]).all()
    assert ((again.var(0) - first.var(0)).abs() < 5 * math.sqrt(2) * errors[1]).all()
    # and jointly with the draw: the mean of y where a variable is 1
    joint, pair = (again * z).mean(0), (first * discrete.hard_sample(first)).mean(0)
    assert (
        (joint - pair).abs()
        < 5 * math.sqrt(2) * (first * discrete.hard_sample(first)).std(0) / math.sqrt(DRAWS)
    ).all()


def test_soft_draws_approach_hard_draws_at_low_temperature(q):
    discrete = as_discrete(q)
    y = discrete.sample_perturbed((1000,))
    away = [
        (discrete.soft_sample(y, temperature) - discrete.hard_sample(y)).abs().mean()
        for temperature in (2.0, 0.5, 0.1, 1e-3)
    ]
    assert away == sorted(away, reverse=True) and away[-1] < 1e-2
    assert discrete.soft_sample(y, 0.5).min() >= 0 and discrete.soft_sample(y, 0.5).max() <= 1


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_relaxed_densities_equal_torch(temperature):
    discrete = as_discrete(bits())
    y = discrete.sample_perturbed((5,))
    relaxed = RelaxedBernoulli(torch.tensor(temperature), logits=discrete.logits)
    assert torch.allclose(
        discrete.relaxed_log_prob(y, temperature),
        relaxed.base_dist.log_prob(y / temperature).sum(-1),
        atol=1e-12,
    )
    discrete = as_discrete(codes())
    y = discrete.sample_perturbed((5,))
    relaxed = ExpRelaxedCategorical(torch.tensor(temperature), logits=discrete.logits)
    simplex = torch.log_softmax(y / temperature, -1)
    assert torch.allclose(
        discrete.relaxed_log_prob(y, temperature), relaxed.log_prob(simplex).sum(-1), atol=1e-12
    )


def test_draws_and_densities_are_differentiable(q):
    logits = as_discrete(q).logits.clone().requires_grad_()
    family, axes = type(as_discrete(q)), len(q.event_shape)
    z = q.sample((2,))

    def everything(logits):
        torch.manual_seed(3)
        discrete = family(logits, axes)
        y, conditional = discrete.sample_perturbed((2,)), discrete.sample_perturbed_given(z)
        return (
            discrete.soft_sample(y, 0.7),
            discrete.soft_sample(conditional, 0.7),
            discrete.relaxed_log_prob(y, 0.7),
            discrete.log_prob(discrete.soft_sample(y, 0.7)),
        )

    assert gradcheck(everything, (logits,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [50.0, 1e4])
def test_extreme_logits_stay_finite(size, dtype):
    for shape, family in (((4,), Bits), ((2, 4), OneHotCodes)):
        logits = (
            (size * torch.tensor([1.0, -1.0, 1.0, -1.0])).expand(shape).to(dtype).requires_grad_()
        )
        discrete = family(logits, len(shape))
        y = discrete.sample_perturbed((200,))
        z = discrete.hard_sample(y)
        conditional = discrete.sample_perturbed_given(z)
        values = (
            discrete.soft_sample(y, 0.1),
            discrete.soft_sample(conditional, 0.1),
            discrete.log_prob(z),
            discrete.relaxed_log_prob(y, 0.1),
        )
        sum(value.sum() for value in values).backward()
        assert all(value.isfinite().all() for value in (*values, logits.grad))


def test_other_distributions_are_not_converted_to_discrete_variables():
    assert as_discrete(Normal(torch.zeros(2), 1.0)) is None
    assert as_discrete(Independent(Normal(torch.zeros(2), 1.0), 1)) is None
