"""Densities of large concentrations in float32, where log-gammas of 1e7 cancel."""

import pytest
import torch
from torch.distributions import Independent, kl_divergence

from aevb.distributions import (
    Beta,
    Dirichlet,
    Gamma,
    Kumaraswamy,
    LowRankNormal,
    PowerSpherical,
    StudentT,
    VonMises,
    Weibull,
    WrappedNormal,
    analytic_kl,
)
from aevb.distributions._detach import map_tensors

N = 200


def ones(value):
    return torch.full((N,), value)


def directions(size):
    return torch.nn.functional.normalize(torch.randn(N, size), dim=-1)


DENSITIES = {
    "gamma": lambda: Gamma(ones(1e6), ones(2e6), validate_args=False),
    "beta": lambda: Beta(ones(1e6), ones(3e5), validate_args=False),
    "dirichlet": lambda: Dirichlet(1e5 * torch.rand(N, 3), validate_args=False),
    "low-rank": lambda: LowRankNormal(
        torch.zeros(N, 3), 10 * torch.randn(N, 3, 1), torch.full((N, 3), 1e-4), validate_args=False
    ),
    "power-spherical": lambda: PowerSpherical(directions(3), ones(1e5)),
    "student-t": lambda: StudentT(ones(0.0), ones(1.0), ones(1e6)),
    "von-mises": lambda: VonMises(ones(1e4), ones(-3e3)),
    "weibull": lambda: Weibull(ones(30.0), ones(1e3)),
    "wrapped-normal": lambda: WrappedNormal(0.99 * directions(2), torch.full((N, 2), 0.3)),
}


@pytest.mark.parametrize("name", DENSITIES)
def test_large_concentrations_in_float32(name):
    """Against the same parameters in float64."""
    torch.manual_seed(0)
    p = DENSITIES[name]()
    x = p.sample()
    truth = map_tensors(torch.Tensor.double, p).log_prob(x.double())
    # the rounding of a result of about 10
    torch.testing.assert_close(p.log_prob(x).double(), truth, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(
    "q, p",
    [
        (Gamma(ones(1e6), ones(1e6)), Gamma(ones(1.001e6), ones(1e6))),
        (Beta(ones(1e6), ones(1e6)), Beta(ones(1.001e6), ones(1e6))),
        (Dirichlet(torch.full((N, 3), 1e6)), Dirichlet(torch.full((N, 3), 1.001e6))),
    ],
)
def test_divergences_of_near_distributions_in_float32(q, p):
    wide = [map_tensors(torch.Tensor.double, each) for each in (q, p)]
    torch.testing.assert_close(analytic_kl(q, p).double(), kl_divergence(*wide), rtol=1e-6, atol=0)
    if not q.event_shape:
        both = [Independent(each, 1) for each in (q, p)]
        torch.testing.assert_close(analytic_kl(*both), analytic_kl(q, p).sum(-1))


@pytest.mark.parametrize(
    "p",
    [
        Kumaraswamy(ones(400.0), ones(400.0)),
        Weibull(ones(400.0), ones(400.0)),
        VonMises(ones(1e4), ones(1e4)),
        PowerSpherical(torch.eye(3)[:1], torch.tensor([1e4])),
    ],
)
def test_small_variances_in_float32(p):
    wide = map_tensors(torch.Tensor.double, p)
    torch.testing.assert_close(p.variance.double(), wide.variance, rtol=1e-5, atol=0)
