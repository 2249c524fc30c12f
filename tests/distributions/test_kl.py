"""Kullback-Leibler divergences: published values, other formulas, draws."""

import math

import pytest
import torch
from tests import catalogue
from torch.distributions import (
    Beta,
    Exponential,
    Gamma,
    Independent,
    Laplace,
    LogNormal,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    StudentT,
)
from torch.distributions import kl_divergence as torch_kl_divergence

from aevb import testing
from aevb.distributions import (
    UniformSphere,
    VonMisesFisher,
    Weibull,
    analytic_kl,
    detach_distribution,
    has_analytic_kl,
    kl_divergence,
)

pytestmark = pytest.mark.usefixtures("float64")

EXACT = [name for name in catalogue.WITH_DENSITY if catalogue.POSTERIORS[name].exact]
PAIRS = [(posterior, prior) for posterior in EXACT for prior in catalogue.PRIORS]
PAIRS = [
    (q, p)
    for q, p in PAIRS
    if catalogue.PRIORS[catalogue.POSTERIORS[q].prior]()().event_shape
    == catalogue.PRIORS[p]()().event_shape
]
# bits and reals may share a shape
PAIRS = [
    (q, p)
    for q, p in PAIRS
    if q.split("-")[0] == p.split("-")[0] or p == catalogue.POSTERIORS[q].prior
]


def t(*values):
    return torch.tensor(values, dtype=torch.float64)


GOLDEN = {
    "normal": (Normal(t(1.0), t(0.5)), Normal(t(-0.25), t(2.0)), 1.11285686111989),
    "diagonal": (
        Independent(Normal(t(1.0, -2.0), t(0.5, 2.0)), 1),
        Independent(Normal(t(0.0, 0.0), 1.0), 1),
        3.625,
    ),
    "full": (
        MultivariateNormal(t(0.3, -1.0), t([2.0, 0.6], [0.6, 1.0])),
        MultivariateNormal(t(-0.5, 0.25), t([1.0, -0.2], [-0.2, 0.5])),
        2.41058313650636,
    ),
    "laplace": (Laplace(t(0.7), 0.5), Laplace(t(-0.4), 1.5), 0.868880008122221),
    "gamma": (Gamma(t(2.5), t(1.5)), Gamma(t(1.2), t(0.7)), 0.125281401485524),
    "exponential": (Exponential(t(1.5)), Exponential(t(0.4)), 0.588422506648986),
    "log-normal": (LogNormal(t(0.2), t(0.6)), LogNormal(t(-0.3), t(1.1)), 0.358201919272795),
    "beta": (Beta(t(2.0), t(3.0)), Beta(t(1.5), t(0.8)), 0.536994635592963),
    "weibull to gamma": (Weibull(t(0.9), t(1.7)), Gamma(t(1.3), t(0.8)), 0.356109319852404),
    "sphere, kappa 0.5": (
        VonMisesFisher(t(0.0, 0.0, 1.0), t(0.5)[0]),
        UniformSphere(t(0.0, 0.0, 0.0)),
        0.0406518522564072,
    ),
    "sphere, kappa 5": (
        VonMisesFisher(t(0.0, 0.0, 1.0), t(5.0)[0]),
        UniformSphere(t(0.0, 0.0, 0.0)),
        1.30308451386451,
    ),
    "sphere, kappa 50": (
        VonMisesFisher(t(0.0, 0.0, 1.0), t(50.0)[0]),
        UniformSphere(t(0.0, 0.0, 0.0)),
        3.60517018598808,
    ),
    "sphere, kappa 500": (
        VonMisesFisher(t(0.0, 0.0, 1.0), t(500.0)[0]),
        UniformSphere(t(0.0, 0.0, 0.0)),
        5.90775527898215,
    ),
    "sphere in 11": (
        VonMisesFisher(torch.eye(11).double()[0], t(30.0)[0]),
        UniformSphere(torch.zeros(11).double()),
        6.52928870494177,
    ),
    "categorical": (
        OneHotCategorical(t(0.7, 0.2, 0.1)),
        OneHotCategorical(t(1.0, 1.0, 1.0) / 3),
        0.296793736124773,
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_published_values(name):
    q, p, value = GOLDEN[name]
    # the values have 15 digits; at kappa 500 the sum of numbers of that size rounds to 1e-13
    assert analytic_kl(q, p).item() == pytest.approx(
        value, abs=1e-12 if "sphere" in name else 1e-14
    )


@pytest.mark.parametrize("kappa", [0.1, 0.5, 5.0, 50.0, 500.0])
def test_in_three_dimensions_the_sphere_has_an_elementary_divergence(kappa):
    """``kappa coth kappa - 1 + log(kappa / sinh kappa)``, with ``log sinh`` to avoid overflow."""
    log_sinh = kappa + math.log(-math.expm1(-2 * kappa)) - math.log(2)
    value = kappa / math.tanh(kappa) - 1 + math.log(kappa) - log_sinh
    q = VonMisesFisher(t(0.0, 0.0, 1.0), t(kappa)[0])
    assert analytic_kl(q, UniformSphere(t(0.0, 0.0, 0.0))).item() == pytest.approx(value, abs=1e-11)


def test_gaussian_to_standard_normal_is_the_textbook_sum():
    """1/2 sum(exp(s) + mu^2 - 1 - s) with s = log sigma^2."""
    mu, s = torch.randn(7, 5), torch.randn(7, 5)
    q = Independent(Normal(mu, (0.5 * s).exp()), 1)
    p = Independent(Normal(torch.zeros(5), torch.ones(5)), 1)
    assert torch.allclose(analytic_kl(q, p), 0.5 * (s.exp() + mu**2 - 1 - s).sum(-1), atol=1e-13)


@pytest.mark.parametrize("name", catalogue.GAUSSIAN)
def test_structured_covariance_agrees_with_the_formula_for_any_two_gaussians(name):
    q = catalogue.make_posterior(name)(torch.randn(5, *catalogue.EVENT))
    p = Independent(Normal(torch.randn(2), torch.rand(2) + 0.5), 1)
    covariance = torch.diag_embed(q.variance) if isinstance(q, Independent) else q.covariance_matrix
    expected = torch_kl_divergence(
        MultivariateNormal(q.mean, covariance), MultivariateNormal(p.mean, torch.diag(p.variance))
    )
    # two Cholesky factorisations of well-conditioned 2 x 2 matrices
    assert torch.allclose(analytic_kl(q, p), expected, atol=1e-12)


@pytest.mark.parametrize("posterior, prior", PAIRS)
def test_registered_pairs_obey_the_law_of_divergences(posterior, prior):
    """Never negative, the mean of draws, the sum of their elements, differentiable."""
    q, p = catalogue.make_posterior(posterior), catalogue.PRIORS[prior]()
    x = catalogue.posterior_input(q, torch.randn(4, *catalogue.EVENT))
    assert testing.check_posterior(q, x, p, laws=["divergence"]).passed_laws == ("divergence",)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in EXACT
        if catalogue.POSTERIORS[name].prior.split("-")[0] == name.split("-")[0]
    ],
)
def test_divergence_of_equal_distributions_is_zero(name):
    q = catalogue.make_posterior(name)(torch.randn(4, *catalogue.EVENT))
    # low rank goes through a Cholesky factor of the full matrix
    assert torch.allclose(analytic_kl(q, detach_distribution(q)), torch.zeros(4), atol=1e-13)


@pytest.mark.parametrize("name", [name for name in catalogue.GAUSSIAN if name != "normal-diagonal"])
def test_structured_gaussian_equal_to_the_prior_has_zero_divergence(name):
    module = catalogue.make_posterior(name)
    with torch.no_grad():
        module.heads.head.weight.zero_()
        module.heads.head.bias.zero_()
    # 0 up to the rounding of factors and logarithms
    assert (
        analytic_kl(module(torch.zeros(3, *catalogue.EVENT)), catalogue.PRIORS["normal"]()())
        .abs()
        .max()
        < 1e-13
    )


def test_unregistered_pairs_are_sampled_with_a_standard_error():
    q, p = Normal(t(0.3), t(0.5)), StudentT(t(4.0))
    assert not has_analytic_kl(q, p)
    estimate = kl_divergence(q, p, samples=20_000)
    nodes = torch.linspace(-6, 6, 200_001)
    integrand = q.log_prob(nodes).exp() * (q.log_prob(nodes) - p.log_prob(nodes))
    assert not estimate.is_analytic
    assert abs(estimate.value - torch.trapezoid(integrand, nodes)) < 5 * estimate.standard_error
    assert kl_divergence(q, Normal(0.0, 1.0)).standard_error is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logit", [-1e4, -100.0, 100.0, 1e4])
def test_discrete_divergences_are_finite_at_certain_codes(logit, dtype):
    """A certain bit or category costs log 2 or log 3 nats, with a finite gradient."""
    bits, codes = (
        catalogue.make_posterior("bernoulli").to(dtype),
        catalogue.make_posterior("categorical").to(dtype),
    )
    for module, prior, value in [
        (bits, "bernoulli", 2 * math.log(2)),
        (codes, "categorical", 2 * math.log(3)),
    ]:
        with torch.no_grad():
            module.heads.head.weight.zero_()
            module.heads.head.bias.zero_()
            module.heads.head.bias[:: 3 if prior == "categorical" else 1] = (
                abs(logit) if prior == "categorical" else logit
            )
        divergence = analytic_kl(
            module(torch.zeros(1, *catalogue.EVENT, dtype=dtype)),
            catalogue.PRIORS[prior]().to(dtype)(),
        )
        divergence.sum().backward()
        # float32 holds logits of 1e4 to 1e-3
        assert divergence.item() == pytest.approx(
            value, abs=2e-3 if dtype == torch.float32 else 1e-10
        )
        assert all(p.grad.isfinite().all() for p in module.parameters() if p.grad is not None)
