"""Families against other libraries and closed forms, and combinations that are refused."""

import math

import numpy as np
import pytest
import torch
from tests import catalogue
from tests.catalogue import EVENT, LATENT, make_posterior, make_vae
from tests.refusals import refused_by_name
from torch.autograd.functional import jacobian

from aevb import distributions, gradients, objectives, posteriors, priors
from aevb.distributions._sphere import log_sphere_area
from aevb.errors import ArgumentError, IncompatibleError

pytestmark = pytest.mark.usefixtures("float64")

NET = torch.nn.Identity()
FLOWS = [
    name
    for name in catalogue.POSTERIORS
    if name.startswith(("flow", "planar", "radial", "sylvester"))
]


def t(*values):
    return torch.tensor(values, dtype=torch.float64)


OTHERS = {
    "logistic": (distributions.Logistic(t(0.3), t(0.7)), lambda stats: stats.logistic(0.3, 0.7)),
    "weibull": (
        distributions.Weibull(t(0.9), t(1.7)),
        lambda stats: stats.weibull_min(1.7, scale=0.9),
    ),
    "kumaraswamy": (
        distributions.Kumaraswamy(t(1.7), t(1.0)),
        lambda stats: stats.beta(1.7, 1.0),
    ),  # the families coincide at b = 1
}


@pytest.mark.parametrize("name", OTHERS)
def test_density_and_moments_agree_with_scipy(name):
    stats = pytest.importorskip("scipy.stats")
    ours, theirs = OTHERS[name][0], OTHERS[name][1](stats)
    z = t(0.05, 0.3, 0.8, 0.99)
    assert torch.allclose(ours.log_prob(z), torch.from_numpy(theirs.logpdf(z.numpy())), atol=1e-13)
    assert ours.mean.item() == pytest.approx(
        theirs.mean(), abs=1e-13
    ) and ours.variance.item() == pytest.approx(theirs.var(), abs=1e-13)


@pytest.mark.parametrize("m", [2, 3, 5, 11, 40])
@pytest.mark.parametrize("kappa", [1e-3, 0.5, 5.0, 50.0, 500.0, 3000.0])
def test_the_normaliser_on_the_sphere_equals_the_bessel_formula(m, kappa):
    special = pytest.importorskip("scipy.special")
    v = m / 2 - 1
    q = distributions.VonMisesFisher(torch.eye(m)[0], torch.tensor(kappa))
    constant = (
        v * math.log(kappa) - m / 2 * math.log(2 * math.pi) - np.log(special.ive(v, kappa)) - kappa
    )
    assert q.log_prob(torch.eye(m)[1]).item() == pytest.approx(constant, abs=1e-10)
    ratio = special.ive(v + 1, kappa) / special.ive(v, kappa)
    assert q.mean[0].item() == pytest.approx(ratio, abs=1e-11)


def test_draws_on_the_sphere_invert_the_distribution_function():
    """In three dimensions ``F(t) = (e^(kt) - e^-k) / (e^k - e^-k)``.

    Levels of draws are uniform, and their derivatives in kappa are exact.
    """
    kappa = torch.tensor([0.01, 3.0, 200.0], requires_grad=True)
    q = distributions.VonMisesFisher(torch.eye(3)[:1].expand(3, 3), kappa)
    cosine = q.rsample((4000,))[..., 0]
    k = kappa.detach()
    level = (
        torch.exp(k * (cosine.detach() - 1))
        * -torch.expm1(-k * (cosine.detach() + 1))
        / -torch.expm1(-2 * k)
    )
    distance = (level.sort(0).values - torch.linspace(0, 1, 4000)[:, None]).abs().max(0).values
    assert (distance < 2.3 / math.sqrt(4000)).all()  # Kolmogorov: exceeded once in 20,000
    t0 = cosine[0].detach()
    numeric = []
    for step in (1e-5, -1e-5):  # the same level at another kappa, by the inverse of F
        moved = k * (1 + step)
        numeric.append(1 + torch.log(level[0] + (1 - level[0]) * torch.exp(-2 * moved)) / moved)
    slope = torch.autograd.grad(cosine[0].sum(), kappa)[0]
    # central differences of step 1e-5: squares of that, and rounding over the step
    assert (
        torch.allclose(slope, (numeric[0] - numeric[1]) / (2e-5 * k), rtol=1e-4, atol=1e-6)
        and t0.abs().max() <= 1
    )


@pytest.mark.parametrize("m", [2, 3, 7])
def test_power_spherical_divergence_is_its_integral(m):
    q = distributions.PowerSpherical(torch.eye(m)[0], torch.tensor(4.0))
    angle = math.pi * (torch.arange(20_000.0) + 0.5) / 20_000
    z = torch.zeros(len(angle), m)
    z[:, 0], z[:, 1] = angle.cos(), angle.sin()
    log_prob = q.log_prob(z)
    ring = log_sphere_area(m - 1) + (m - 2) * angle.sin().log()
    value = ((ring + log_prob).exp() * (log_prob + log_sphere_area(m))).sum() * math.pi / 20_000
    # the midpoint rule's square of its step
    assert q.kl_to_uniform().item() == pytest.approx(value.item(), abs=1e-6)


def test_at_its_centre_the_ball_is_the_gaussian_and_distances_are_hyperbolic():
    q = distributions.WrappedNormal(torch.zeros(1), t(0.8))
    z = t(0.3)
    far, volume = 2 * math.atanh(0.3), 2 / (1 - 0.09)
    expected = torch.distributions.Normal(0.0, 0.8).log_prob(torch.tensor(far)) + math.log(volume)
    assert q.log_prob(z).item() == pytest.approx(expected.item(), abs=1e-12)


@pytest.mark.parametrize("name", FLOWS)
def test_the_jacobian_of_a_flow_equals_autograd_and_its_inverse_is_exact(name):
    q = make_posterior(name)(torch.randn(1, *EVENT))
    noise = torch.randn(1, LATENT)
    y, log_jacobian = q.transform.call_and_ladj(noise)
    full = jacobian(lambda e: q.transform.call_and_ladj(e)[0].sum(0), noise)[:, 0]
    # a spline's and a network's rounding
    assert log_jacobian.sum().item() == pytest.approx(
        torch.linalg.slogdet(full).logabsdet.item(), abs=1e-9
    )
    back, opposite = q.transform.inv.call_and_ladj(y)
    assert torch.allclose(back, noise, atol=1e-8) and torch.allclose(
        opposite, -log_jacobian, atol=1e-7
    )


@pytest.mark.parametrize("name", FLOWS)
def test_cached_densities_of_draws_equal_those_by_inversion(name):
    posterior = make_posterior(name)
    x = torch.randn(3, *EVENT)
    q = posterior(x)
    z = q.rsample((2,))
    other = posterior(x).log_prob(z.clone())
    assert torch.allclose(q.log_prob(z), other, atol=1e-8)
    slopes = [
        torch.autograd.grad(value.sum(), list(posterior.parameters()), retain_graph=True)
        for value in (q.log_prob(z), other)
    ]
    # inverse maps are solved to 1e-8
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*slopes, strict=True))


@pytest.mark.parametrize(
    "prior, line", [("normal", "priors.Sphere"), ("dirichlet", "priors.Sphere")]
)
def test_priors_with_another_support_are_refused_with_an_alternative(prior, line):
    model = make_vae("von-mises-fisher", prior=prior)
    with pytest.raises(IncompatibleError, match=line):
        gradients.Pathwise().check(model, objectives.ELBO())


REFUSED = {
    "a sphere of one dimension": lambda: posteriors.VonMisesFisher(NET, 1),
    "one proportion": lambda: posteriors.Dirichlet(NET, 1),
    "a flow of one number": lambda: posteriors.Flow(NET, 1),
    "an unknown flow": lambda: priors.Flow(2, kind="glow"),
    "a flow of no map": lambda: posteriors.Flow(NET, 2, transforms=0),
    "no step": lambda: posteriors.Planar(NET, 2, steps=0),
    "too many columns": lambda: posteriors.Sylvester(NET, 2, columns=3),
    "no component": lambda: posteriors.Mixture(NET, 2, components=0),
    "no part": lambda: priors.Product([]),
    "two degrees of freedom": lambda: priors.StudentT(2, dof=2.0),
    "a rate of 0": lambda: priors.Gamma(2, rate=0.0),
    "a scale that leaves no room": lambda: priors.WrappedNormal(2, scale=5.0),
}


@pytest.mark.parametrize("name", REFUSED)
def test_invalid_arguments_are_refused_by_name(name):
    with refused_by_name(ArgumentError):
        REFUSED[name]()
