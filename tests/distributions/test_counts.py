"""Densities of counts against float64 and scipy, from rates of 1e-3 to 1e8."""

import pytest
import scipy.stats
import torch

from aevb.distributions import NegativeBinomial, Poisson, ZeroInflated

RATES = torch.logspace(-3, 8, 12)
CONCENTRATIONS = torch.logspace(-3, 8, 12)


def exact(build, parameters, x):
    """Log-densities in float64 of float32 parameters, and their gradients, scaled by them."""
    wide = [value.detach().double().requires_grad_() for value in parameters]
    density = build(*wide).log_prob(x.double())
    slopes = torch.autograd.grad(density.sum(), wide)
    return density.detach(), [s * value.detach() for s, value in zip(slopes, wide, strict=True)]


def check(build, parameters, x):
    """In float32, to 1e-4 nats per cell, and so the gradients in the logarithms of parameters."""
    narrow = [value.clone().requires_grad_() for value in parameters]
    density = build(*narrow).log_prob(x)
    assert density.dtype == torch.float32
    truth, slopes = exact(build, parameters, x)
    # beside 1e-4: float32 cannot show more digits
    torch.testing.assert_close(density.detach().double(), truth, atol=1e-4, rtol=2e-7)
    found = torch.autograd.grad(density.sum(), narrow)
    for slope, value, expected in zip(found, narrow, slopes, strict=True):
        scaled = (slope * value).detach().double()
        torch.testing.assert_close(scaled, expected, atol=1e-4, rtol=1e-6)
    return truth


def test_poisson_in_float32():
    x = Poisson(RATES).sample((50,))
    rate = RATES.expand(50, -1).contiguous()
    truth = check(Poisson, [rate], x)
    theirs = scipy.stats.poisson(rate.double().numpy()).logpmf(x.double().numpy())
    # scipy's own terms of 1e9 are rounded to 1e-7
    torch.testing.assert_close(truth, torch.tensor(theirs), atol=1e-6, rtol=1e-9)


def test_negative_binomial_in_float32():
    mean, concentration = (
        each.flatten() for each in torch.meshgrid(RATES, CONCENTRATIONS, indexing="ij")
    )
    x = NegativeBinomial(mean, concentration).sample((20,))
    parameters = [each.expand(20, -1).contiguous() for each in (mean, concentration)]
    truth = check(NegativeBinomial, parameters, x)
    m, c = (each.double().numpy() for each in parameters)
    theirs = scipy.stats.nbinom(c, c / (c + m)).logpmf(x.double().numpy())
    plain = torch.tensor((m < 1e5) & (c < 1e5))  # beyond, scipy's probability is rounded
    torch.testing.assert_close(truth[plain], torch.tensor(theirs)[plain], atol=1e-6, rtol=1e-9)


def test_zero_inflated_counts_in_float32():
    mean, logits = RATES.expand(50, -1).contiguous(), torch.full((50, 12), -1.0)

    def build(mean, logits):
        return ZeroInflated(NegativeBinomial(mean, torch.full_like(mean, 1e3)), logits)

    check(build, [mean, logits], build(mean, logits).sample())


@pytest.mark.parametrize("rate", [1e5, 1e6, 1e8])
def test_a_shared_rate_has_no_systematic_error(rate):
    """The mean error over cells, which a sum over a large event would add up."""
    p = Poisson(torch.full((2000,), rate))
    x = p.sample()
    error = p.log_prob(x).double() - Poisson(p.rate.double()).log_prob(x.double())
    assert error.mean().abs() < 1e-6  # the rounding of a result of about 10 is 5e-7


def test_moments_are_those_of_scipy():
    p = NegativeBinomial(torch.tensor(4.0), torch.tensor(2.0))
    theirs = scipy.stats.nbinom(2, 2 / 6)
    assert p.mean.item() == pytest.approx(theirs.mean())
    assert p.variance.item() == pytest.approx(theirs.var())
