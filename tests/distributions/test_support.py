"""Comparison of the supports of two distributions."""

import pytest
import torch
from tests import catalogue
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
    Uniform,
)

from aevb.distributions._support import has_mass_outside, has_real_support

pytestmark = pytest.mark.usefixtures("float64")


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
def test_mass_outside_another_support_is_detected(name):
    q, p, beyond = SUPPORTS[name]
    before = torch.get_rng_state()
    assert has_mass_outside(q, p) == beyond
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", catalogue.PRIORS)
def test_real_supports_are_recognised(name):
    bounded = (
        "bernoulli",
        "categorical",
        "log-normal",
        "exponential",
        "gamma",
        "beta",
        "dirichlet",
        "logistic-normal",
        "sphere",
        "ball",
    )
    bounded += ("wrapped", "autoregressive", "product")
    assert has_real_support(catalogue.PRIORS[name]()(None)) == (not name.startswith(bounded))
