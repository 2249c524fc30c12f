"""Laws that every prior, posterior and likelihood obeys, alone and in every combination."""

import copy
import functools
import io
import itertools
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests import catalogue
from tests.catalogue import CODES, EVENT, LATENT, given, make_batch, make_likelihood, make_posterior, make_vae
from torch import nn
from torch.autograd import gradcheck
from torch.distributions import Independent, constraints

import aevb
from aevb import VAE, Batch, gradients, likelihoods, networks, objectives, posteriors, priors
from aevb.conditional import detached, stop
from aevb.distributions import Affine, Product
from aevb.distributions.ball import ball
from aevb.distributions.estimated import DRAWS, Estimated
from aevb.distributions.sphere import sphere
from aevb.errors import ArgumentError, DataError, IncompatibleError

LATENTS = {"reals": (LATENT,), "codes": CODES}


def test_the_catalogue_lists_everything():
    """A family, an objective or a gradient that is public has a line in the catalogue."""
    made = [build() for build in catalogue.PRIORS.values()]
    made += [make_posterior(name) for name in catalogue.POSTERIORS] + [make_likelihood(name) for name in catalogue.LIKELIHOODS]
    made += [build() for build in (*catalogue.OBJECTIVES.values(), *catalogue.GRADIENTS.values())]
    made += [penalty for name in catalogue.PENALISED for penalty in catalogue.OBJECTIVES[name]().penalties]
    present = {type(part) for part in made}
    for module in (priors, posteriors, likelihoods, objectives, gradients):
        for name in module.__all__:
            member = getattr(module, name)
            if isinstance(member, type) and issubclass(member, nn.Module) and not getattr(member, "__abstractmethods__", None):
                assert member in present, f"{module.__name__}.{name} has no line in tests/catalogue.py"


# densities integrate or sum to 1


MOST = 2000  # counts: the tails of this catalogue's end long before


def elements(distribution):
    """Points ``[n, *event]`` and logarithms of weights that integrate, or sum, over each element of a factorised distribution at once."""
    support = innermost(distribution.support)
    ends = (getattr(support, name, None) for name in ("lower_bound", "upper_bound"))
    low, high = (0, 1) if support is constraints.boolean else ends
    if support.is_discrete:
        points = torch.arange(low, (MOST if high is None else high) + 1).double()
        return points.reshape(-1, *[1] * len(EVENT)).expand(-1, *EVENT), torch.zeros(len(points), *EVENT)
    node, weight = double_exponential()
    shape = (-1, *[1] * len(EVENT))
    if low is not None and high < math.inf:  # a / (1 + a) has the slope 1 / (1 + a)^2
        node, weight = node - whole(node), weight - 2 * whole(node)
        inside = node.exp() < 1  # in rounding: what is nearer to the end has no mass that counts
        points = low + (high - low) * node[inside].exp().reshape(shape).expand(-1, *EVENT)
        return points, (weight[inside] + math.log(high - low)).reshape(shape)
    size = torch.full(EVENT, 1.0) if low is not None else distribution.stddev
    points, weights = size * node.exp().reshape(shape), weight.reshape(shape) + size.log()
    if low is not None:
        return points, weights
    # both sides of the centre, where a Laplace has its corner
    return torch.cat([distribution.mean + points, distribution.mean - points]), torch.cat([weights, weights])


def whole(node):
    """``log(1 + a)``; torch's softplus drops what is below 2e-9."""
    return torch.logaddexp(node, torch.zeros(()))


def innermost(support):
    """The constraint on one element."""
    inner = getattr(support, "base_constraint", getattr(support, "inside", None))
    return support if inner is None else innermost(inner)


def double_exponential(step=1 / 64):
    """``log a`` and the logarithms of weights that integrate over ``a`` in (0, inf): ``a = exp(pi sinh t)`` (Takahasi and Mori 1974).

    Exact to rounding for whatever is smooth inside, also for tails that are powers and for densities that are infinite at an end.
    """
    t = torch.arange(-3.9, 3.9, step)
    return math.pi * t.sinh(), math.pi * t.sinh() + torch.log(math.pi * t.cosh() * step)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", catalogue.LIKELIHOODS)
def test_likelihoods_integrate_to_one(name):
    """If the density is a product of n densities, the product of the n integrals, each over one element, is ``p(x)^(n-1)``."""
    p = make_likelihood(name)(torch.randn(LATENT))
    x = p.sample()
    points, weights = elements(p)
    total = 0.0
    for place in itertools.product(*map(range, EVENT)):
        line = x.expand(len(points), *EVENT).clone()
        line[:, *place] = points[:, *place]
        total += (p.log_prob(line) + weights.expand(-1, *EVENT)[:, *place]).logsumexp(0)
    # 2000 nodes of rounding and the quadrature's own error; a missing Jacobian or constant would be off by 0.1 and more
    assert total.item() == pytest.approx((x.numel() - 1) * p.log_prob(x).item(), abs=1e-9)


def states(shape):
    """Every value of a latent of bits, or of codes."""
    if len(shape) == 1:
        return torch.tensor(list(itertools.product((0.0, 1.0), repeat=shape[0])))
    rows = torch.eye(shape[-1])
    return torch.stack([torch.stack(choice) for choice in itertools.product(rows, repeat=shape[0])])


# of a double-exponential quadrature: analytic densities to rounding, poles and tails included
STEPS = torch.arange(-5.0, 5.0, 1 / 64, dtype=torch.float64)


def quadrature(base):
    """Points and weights ``[n, *each]`` for the variables of a factorised distribution, one by one."""
    t = STEPS.reshape(-1, *[1] * base.mean.dim())
    if base.support is constraints.unit_interval:
        points = torch.sigmoid(torch.pi * t.sinh())
        return points.expand(-1, *base.mean.shape), torch.pi * t.cosh() * points * (1 - points) / 64
    # a half-line, or two that meet at the centre, where a Laplace has its corner
    points = (torch.pi / 2 * t.sinh()).exp()
    weights = torch.pi / 2 * t.cosh() * points / 64
    if isinstance(base.support, type(constraints.real)):
        return base.mean + torch.cat([-points, points]), torch.cat([weights, weights])
    return points.expand(-1, *base.mean.shape), weights


def surface(distribution):
    """Points ``[n, *event]`` and weights ``[n]`` over a circle, two proportions, or a disc."""
    if distribution.support is constraints.simplex:
        points = torch.sigmoid(torch.pi * STEPS.sinh()).clamp(1e-15, 1 - 1e-15)
        return torch.stack([points, 1 - points], -1), torch.pi * STEPS.cosh() * points * (1 - points) / 64
    angle = 2 * torch.pi * torch.arange(128.0) / 128
    circle = torch.stack([angle.cos(), angle.sin()], -1)
    if distribution.support is sphere:
        return circle, torch.full((128,), 2 * torch.pi / 128)
    nodes, weights = (torch.tensor(values) for values in np.polynomial.legendre.leggauss(150))
    r = torch.tanh((nodes + 1) * 7.5 / 2)  # hyperbolic distances up to 15
    ring = r * (1 - r.square()) / 2 * weights * 7.5 * 2 * torch.pi / 128
    return (r[:, None, None] * circle).flatten(0, 1), ring[:, None].expand(-1, 128).flatten()


def total_mass(distribution):
    if isinstance(distribution, Product):
        return math.prod(total_mass(part) for part in distribution.parts)
    if isinstance(distribution, Independent) and not distribution.support.is_discrete:
        points, weights = quadrature(distribution.base_dist)
        mass = distribution.base_dist.log_prob(points).exp() * weights
        return mass.nan_to_num(nan=0.0).sum(0).prod()  # where the point itself has left the numbers
    if distribution.support in (constraints.simplex, sphere, ball):
        points, weights = surface(distribution)
        return (distribution.log_prob(points).exp() * weights).sum()
    if not distribution.support.is_discrete:
        line = torch.linspace(-40, 40, 801)  # a sum over a grid of step 0.1 integrates a Gaussian of scale 0.2 and more to rounding
        grid = torch.cartesian_prod(line, line)
        return distribution.log_prob(grid).exp().sum() * 0.1**2
    return distribution.log_prob(states(tuple(distribution.event_shape))).exp().sum()


def error_of_mass(name):
    """Of the quadrature: where a map or a density has a corner, or a pole at 1, which loses what lies between 1 and the number before."""
    corners = {"flow-spline": 1e-3, "radial": 1e-4, "power-spherical": 1e-7, "flow-coupling": 1e-7}
    return {**corners, **dict.fromkeys(["beta", "kumaraswamy", "dirichlet"], 1e-6)}.get(name, 1e-11)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", catalogue.PRIORS)
def test_priors_integrate_to_one(name):
    p = catalogue.PRIORS[name]()
    for parameter in p.parameters():
        nn.init.normal_(parameter, std=0.3)  # scales that the grid can resolve
    assert torch.as_tensor(total_mass(p())).item() == pytest.approx(1, abs=error_of_mass(name))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", catalogue.WITH_DENSITY)
def test_posteriors_integrate_to_one(name):
    # one datum: the distribution broadcasts over the values
    mass = torch.as_tensor(total_mass(make_posterior(name)(0.3 * torch.randn(1, *EVENT))))
    assert mass.item() == pytest.approx(1, abs=error_of_mass(name))


# moments


def within_five_errors(draws, mean, variance, known=math.inf):
    """``known`` is the number of draws that mean and variance are themselves estimated from."""
    n = len(draws) / (1 + len(draws) / known)
    centred = draws - draws.mean(0)
    error_of_mean = draws.std(0) / math.sqrt(n)
    error_of_variance = ((centred**4).mean(0) - draws.var(0) ** 2).clamp(min=0).sqrt() / math.sqrt(n)
    rounding = 1e-9  # of a variance that is a difference of sums
    return bool(((draws.mean(0) - mean).abs() <= 5 * error_of_mean + rounding).all()) and bool(
        ((draws.var(0) - variance).abs() <= 5 * error_of_variance + (5 * error_of_mean) ** 2 + rounding).all()
    )


ANGLES = ["von-mises"]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", ANGLES)
def test_moments_of_angles(name):
    """The mean direction, and how far the mean of ``exp(i x)`` falls short of the circle."""
    p = make_likelihood(name)(torch.randn(3, LATENT))
    turned = p.sample((8000,)) - p.mean
    ahead, aside = turned.cos(), turned.sin()
    errors = [5 * part.std(0) / math.sqrt(len(part)) for part in (ahead, aside)]
    assert ((ahead.mean(0) - (1 - p.variance)).abs() <= errors[0]).all() and (aside.mean(0).abs() <= errors[1]).all()


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", [name for name in catalogue.LIKELIHOODS if name not in ANGLES])
def test_moments_of_likelihoods(name):
    p = make_likelihood(name)(0.3 * torch.randn(3, LATENT))  # near the origin no level is so rare that 8000 draws miss it
    assert within_five_errors(p.sample((8000,)), p.mean, p.variance)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", catalogue.POSTERIORS)
def test_moments_of_posteriors(name):
    posterior = make_posterior(name)
    q = posterior(given(posterior, torch.randn(3, *EVENT)))
    known = DRAWS if isinstance(q, Estimated) else math.inf
    assert within_five_errors(q.sample((8000,)), q.mean, q.variance, known)
    assert not q.has_rsample or within_five_errors(q.rsample((8000,)).detach(), q.mean, q.variance, known)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", catalogue.PRIORS)
def test_moments_of_priors(name):
    p = catalogue.PRIORS[name]()()
    assert within_five_errors(p.sample((8000,)), p.mean, p.variance, DRAWS if isinstance(p, Estimated) else math.inf)


# gradients through draws


def drawn(module, input):
    with aevb.random.seeded(3):
        return module(input).rsample((3,))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", [name for name in catalogue.REPARAMETERISED if name not in catalogue.IMPLICIT])
def test_posterior_draws_are_differentiable(name):
    posterior = make_posterior(name)
    assert gradcheck(lambda x: drawn(posterior, x), (torch.randn(2, *EVENT, requires_grad=True),))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", catalogue.IMPLICIT)
def test_implicit_gradients_are_those_of_the_moments(name):
    """Draws that are rejected or come from a mixture move with their parameters: ``d E[z] = E[dz]``, and so for ``z^2``."""
    posterior = make_posterior(name)
    x, weight = torch.randn(2, *EVENT, requires_grad=True), torch.tensor([1.0, -2.0])
    q = posterior(x)
    for exact, power in [(q.mean, 1), (q.variance + q.mean.square(), 2)]:
        (expected,) = torch.autograd.grad((exact * weight).sum(), x, retain_graph=True)
        draws = [q.rsample((500,)).pow(power).mean(0) for _ in range(30)]
        slopes = torch.stack([torch.autograd.grad((draw * weight).sum(), x, retain_graph=True)[0] for draw in draws])
        error = slopes.std(0) / math.sqrt(len(slopes))
        # of 30 independent means, as many as make a standard error of the mean itself right to an eighth
        assert ((slopes.mean(0) - expected).abs() < 5 * error + 1e-9).all()


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", catalogue.LIKELIHOODS)
def test_likelihoods_are_differentiable(name):
    """Their density in the latent always, their draws where they say so."""
    likelihood = make_likelihood(name)
    z = torch.randn(2, LATENT, requires_grad=True)
    p = likelihood(z)
    x = p.sample((3,))
    assert gradcheck(lambda z: likelihood(z).log_prob(x), (z,))
    assert not p.has_rsample or gradcheck(lambda z: drawn(likelihood, z), (z,))


# extreme outputs of a network


def make_extreme(module, pattern, size=1e4):
    """Let every network of the module put out +-1e4, whatever goes in, and set its free parameters so."""
    for part in module.modules():
        if isinstance(part, networks.Heads):
            nn.init.zeros_(part.head.weight)
    for parameter in (p for name, p in module.named_parameters() if name.endswith(("head.bias", "raw", "logits"))):
        signs = {"+": torch.ones_like(parameter), "-": -torch.ones_like(parameter), "mixed": torch.randn_like(parameter).sign()}
        with torch.no_grad():
            parameter.copy_(size * signs[pattern])


def finite(module, *values):
    return all(value.isfinite().all() for value in values) and all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("pattern", ["+", "-", "mixed"])
class TestExtremes:
    @pytest.mark.parametrize("name", catalogue.LIKELIHOODS)
    def test_likelihoods(self, name, pattern, dtype):
        likelihood = make_likelihood(name).to(dtype)
        z = torch.randn(5, LATENT, dtype=dtype, requires_grad=True)
        x = likelihood(z).sample()
        make_extreme(likelihood, pattern)
        p = likelihood(z)
        ours = p.sample()
        value, at_ours = p.log_prob(x), p.log_prob(ours)
        (value.sum() + at_ours.sum()).backward()
        assert finite(likelihood, value, at_ours, ours, p.mean, z.grad)

    @pytest.mark.parametrize("name", catalogue.WITH_DENSITY)
    def test_posteriors(self, name, pattern, dtype):
        posterior = make_posterior(name).to(dtype)
        prior = catalogue.PRIORS[catalogue.POSTERIORS[name].prior]().to(dtype)
        make_extreme(posterior, pattern)
        q, p = posterior(torch.randn(5, *EVENT, dtype=dtype)), prior()
        ours, theirs = q.rsample() if q.has_rsample else q.sample(), p.sample((5,))
        exact = catalogue.POSTERIORS[name].exact
        divergence = aevb.distributions.kl.exact(q, p) if exact else torch.zeros(5)
        values = divergence, q.log_prob(ours), q.log_prob(theirs), p.log_prob(ours)
        sum(value.sum() for value in values).backward()
        assert finite(posterior, *values, ours)
        # a logit of 1e4 is held to 1e-3 in float32
        assert (divergence > -1e-2 if dtype == torch.float32 else divergence > -1e-9).all()

    @pytest.mark.parametrize("name", [name for name in catalogue.PRIORS if "learned" in name])
    def test_learned_priors(self, name, pattern, dtype):
        prior = catalogue.PRIORS[name]().to(dtype)
        values = states(tuple(prior().event_shape)).to(dtype)
        posterior = make_posterior(name.removesuffix("-learned")).to(dtype)
        make_extreme(prior, pattern)
        divergence = aevb.distributions.kl.exact(posterior(torch.randn(5, *EVENT, dtype=dtype)), prior())
        mass = prior().log_prob(values)
        (mass.sum() + divergence.sum()).backward()
        assert finite(prior, mass, divergence) and finite(posterior)


# one by one, in another precision, after a round trip, with stopped parameters


@pytest.mark.usefixtures("float64")
class TestConsistency:
    @pytest.mark.parametrize("network", ["mlp", "mlp-linear", "user"])
    @pytest.mark.parametrize("name", catalogue.LIKELIHOODS)
    def test_scoring_many_codes_is_the_density(self, name, network):
        likelihood = make_likelihood(name, network=network)
        z = torch.randn(3, 4, LATENT)
        x = likelihood(z[0]).sample()
        assert torch.allclose(likelihood.scorer(x)(z), likelihood(z).log_prob(x), atol=1e-12)

    def test_scoring_in_low_precision_sees_the_same_logits(self):
        likelihood = make_likelihood("bernoulli").float()
        networks.set_precision(likelihood, torch.bfloat16)
        make_extreme(likelihood, "mixed", size=1000.3)  # rounded to 1000 in bfloat16
        z = torch.randn(3, 4, LATENT, dtype=torch.float32)
        x = likelihood(z[0]).sample()
        assert (likelihood.scorer(x)(z) == likelihood(z).log_prob(x)).all()

    @pytest.mark.parametrize("name", [name for name in catalogue.GAUSSIAN if name != "normal-diagonal"])
    def test_without_slopes_every_covariance_is_the_diagonal_one(self, name):
        """The first outputs of the network mean the same for each: location, then logarithm of the scale."""
        diagonal, other = make_posterior("normal-diagonal"), make_posterior(name)
        for posterior in (diagonal, other):
            nn.init.zeros_(posterior.heads.head.weight)
            nn.init.zeros_(posterior.heads.head.bias)
            with torch.no_grad():
                posterior.heads.head.bias[: 2 * LATENT] = torch.tensor([0.3, -1.0, 1.2, -0.7])
        x, z = torch.zeros(1, *EVENT), torch.randn(5, 1, LATENT)
        assert torch.allclose(diagonal(x).log_prob(z), other(x).log_prob(z), atol=1e-12)

    @pytest.mark.parametrize("name", catalogue.LIKELIHOODS)
    def test_batched_equals_looped(self, name):
        likelihood = make_likelihood(name)
        z = torch.randn(3, 4, LATENT)
        x = likelihood(z[0]).sample()
        together = likelihood(z).log_prob(x)
        alone = torch.stack([torch.stack([likelihood(z[k, b]).log_prob(x[b]) for b in range(4)]) for k in range(3)])
        assert together.shape == (3, 4) and torch.allclose(together, alone, atol=1e-11)

    @pytest.mark.parametrize("name", catalogue.WITH_DENSITY)
    def test_posteriors_batched_equals_looped(self, name):
        posterior = make_posterior(name)
        x = torch.randn(4, *EVENT)
        z = posterior(x).sample((3,))
        alone = torch.cat([posterior(x[b : b + 1]).log_prob(z[:, b : b + 1]) for b in range(4)], 1)
        assert torch.allclose(posterior(x).log_prob(z), alone, atol=1e-11)

    @pytest.mark.parametrize("posterior", catalogue.POSTERIORS)
    def test_posteriors_in_single_precision(self, posterior):
        check_single_precision(make_vae(posterior))

    @pytest.mark.parametrize("likelihood", catalogue.LIKELIHOODS)
    def test_likelihoods_in_single_precision(self, likelihood):
        check_single_precision(make_vae(likelihood=likelihood))

    @pytest.mark.parametrize("posterior", catalogue.POSTERIORS)
    def test_posteriors_survive_a_round_trip(self, posterior):
        check_round_trip(lambda: make_vae(posterior))

    @pytest.mark.parametrize("likelihood", catalogue.LIKELIHOODS)
    def test_likelihoods_survive_a_round_trip(self, likelihood):
        check_round_trip(lambda: make_vae(likelihood=likelihood))

    @pytest.mark.parametrize("name", catalogue.WITH_DENSITY)
    def test_stopping_changes_no_value_and_leaves_the_path_through_z(self, name):
        posterior = make_posterior(name)
        x = torch.randn(4, *EVENT)
        q = posterior(x)
        z = q.sample().requires_grad_()
        for held in (stop(posterior, q, x), detached(posterior)(x)):
            density = held.log_prob(z)
            assert (density == q.log_prob(z)).all()
            if name == "categorical":  # looked up, not computed from z: no path at all
                assert not density.requires_grad
                continue
            path, *rest = torch.autograd.grad(density.sum(), [z, *posterior.parameters()], allow_unused=True)
            assert (path == torch.autograd.grad(q.log_prob(z).sum(), z)[0]).all() and all(gradient is None for gradient in rest)


def check_single_precision(model):
    """Densities of about unit data differ by the rounding of a few dozen float32 operations."""
    model.eval()  # held state stays
    batch = make_batch(model, 4)
    z = model.infer(batch).sample((2,))
    double = model.terms(batch, z, model.infer(batch))
    twin = copy.deepcopy(model).float()
    narrow = replace(batch, x=batch.x.float())
    single = twin.terms(narrow, z.float(), twin.infer(narrow))
    assert single.log_likelihood.dtype == torch.float32
    assert torch.allclose(single.log_likelihood.double(), double.log_likelihood, rtol=1e-4, atol=1e-4)
    assert torch.allclose(single.log_prior.double(), double.log_prior, rtol=1e-4, atol=1e-4)
    if model.posterior.density:
        assert torch.allclose(single.log_posterior.double(), double.log_posterior, rtol=1e-4, atol=1e-4)


def check_round_trip(build):
    model, other = build(), build()
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    model.train().draw(make_batch(model), 2)  # held state moves too
    stored = io.BytesIO()
    torch.save(model.state_dict(), stored)
    stored.seek(0)
    other.load_state_dict(torch.load(stored, weights_only=True))
    model.eval(), other.eval()
    batch = make_batch(model)
    z = model.infer(batch).sample((2,))
    mine, theirs = (m.terms(batch, z, m.infer(batch)) for m in (model, other))
    assert (mine.log_likelihood == theirs.log_likelihood).all() and (mine.log_prior == theirs.log_prior).all()
    assert (mine.log_posterior == theirs.log_posterior).all()


# combinations


def right_gradient(posterior):
    return gradients.Pathwise() if posterior in catalogue.PATHWISE else gradients.LeaveOneOut()


@pytest.mark.parametrize(
    "posterior, likelihood",
    [*itertools.product(catalogue.KINDS, catalogue.LIKELIHOODS)]
    + [(name, "normal-shared") for name in catalogue.POSTERIORS if name not in catalogue.KINDS],
)
def test_every_parameter_receives_a_gradient(posterior, likelihood):
    model = make_vae(posterior, likelihood)
    objective = objectives.ELBO(samples=2) if model.posterior.density else objectives.Reconstruction()
    right_gradient(posterior)(model, objective, make_batch(model)).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.abs().sum() > 0, name


# targets that are no function of the log-weights with a sampled divergence, of which the last are no function of single draws either
NOT_OF_WEIGHTS = {"reconstruction", "elbo-exact", "elbo-free-bits", "elbo-free-bits-sampled", "elbo-capacity", "elbo-capacity-sampled"}
TWO_TARGETS = {"piwae", "cubo"}
BETA = {"elbo-beta", "elbo-beta-sampled", "elbo-linear", "elbo-sigmoid", "elbo-cyclical"}
# a density that can be differentiated in the draw, a covariance, codes of the critic's shape
NOT_PENALISED = {
    **dict.fromkeys(["total-correlation", "total-correlation-weighted"], catalogue.DISCRETE),
    **{key: ["categorical"] for key in ["dip-1", "dip-2", "factor", "adversarial"]},
}


def is_legal(posterior, objective, gradient):
    """Which combinations exist, as the theory says it."""
    made = catalogue.OBJECTIVES[objective]()
    density, reparameterised = posterior != "dirac", posterior in catalogue.PATHWISE
    if (made.kind != "reconstruction" and not density) or posterior in NOT_PENALISED.get(objective, ()):
        return False
    per_draw = made.mean is not None
    weights = per_draw and objective not in NOT_OF_WEIGHTS
    relaxed = posterior in catalogue.DISCRETE and objective not in TWO_TARGETS
    dreams = catalogue.POSTERIORS[posterior].dreams
    return {
        "pathwise": reparameterised,
        "doubly": reparameterised and density and weights,
        "score": density and per_draw,
        "leave": density and per_draw and made.samples > 1,
        "rebar": relaxed and per_draw,
        "relaxed": relaxed,
        "straight": relaxed,
        # over all states a bound of some number of draws is log p(x)
        "enumerate": posterior in catalogue.DISCRETE and per_draw and not objective.startswith(("iwae", "miwae", "piwae")),
        "wake": density and weights and dreams,
        "reweighted": objective in ("iwae-1", "iwae-4", "miwae-1x1") and density and (dreams or gradient == "reweighted-wake"),
        # it climbs log p(x), whatever the objective: one with a target of its own would be ignored
        "em": reparameterised and density and weights and made.kind == "lower bound" and objective not in BETA,
    }[gradient.split("-")[0]]


@functools.cache
def model_of(posterior):
    """One model for all that is tried with this posterior; what the door asks it does not change."""
    model = make_vae(posterior)
    model.probe = functools.cache(model.probe)
    return model, make_batch(model)


def made_of(objective, gradient):
    """The parts of these names, or of these lines of Python."""
    made = catalogue.OBJECTIVES[objective]() if objective in catalogue.OBJECTIVES else built(objective)
    return made, catalogue.GRADIENTS[gradient]() if gradient in catalogue.GRADIENTS else built(gradient)


def built(line):
    return eval(line.replace("(...)", "(samples=2)"), {"gradients": gradients, "objectives": objectives})


@functools.cache
def refusal(posterior, objective, gradient):
    """What is said of the combination at the door, if anything."""
    made, rule = made_of(objective, gradient)
    try:
        rule.check(model_of(posterior)[0], made)
    except IncompatibleError as refused:
        return str(refused)
    return None


@pytest.mark.parametrize("gradient", catalogue.GRADIENTS)
@pytest.mark.parametrize("objective", catalogue.OBJECTIVES)
def test_every_combination_trains_or_is_refused(objective, gradient):
    """The full product with the posteriors: finite gradients, or a refusal whose line, followed, ends in something legal."""
    for posterior in catalogue.KINDS:
        said = refusal(posterior, objective, gradient)
        assert (said is None) == is_legal(posterior, objective, gradient), (posterior, said)
        if said is None:
            differentiate(posterior, objective, gradient)
        else:
            assert "build it with" in said or steps_to_legal(posterior, objective, gradient) <= 2, said


def differentiate(posterior, objective, gradient):
    model, batch = model_of(posterior)
    made, rule = made_of(objective, gradient)
    rule.check(model, made)
    estimate = rule(model, made, batch)
    parameters = [*model.parameters(), *made.parameters(), *rule.parameters()]
    slopes = torch.autograd.grad(estimate.loss, parameters, allow_unused=True)
    assert estimate.loss.isfinite() and estimate.score.bound.shape == (6,), posterior
    assert all(slope is None or slope.isfinite().all() for slope in slopes), posterior
    assert sum(slope.abs().sum() for slope in slopes if slope is not None) > 0, posterior


def steps_to_legal(posterior, objective, gradient, most=2):
    """How many lines of error messages must be followed, one after the other, until the combination is accepted."""
    said = refusal(posterior, objective, gradient)
    if said is None or not most:
        return 0 if said is None else most + 1
    lines = re.findall(r"`((?:gradients|objectives|posteriors)\.\w+\([^`]*\))`", said)
    return min((1 + steps_to_legal(*followed(line, posterior, objective, gradient), most - 1) for line in lines), default=most + 1)


def followed(line, posterior, objective, gradient):
    """The combination with the part that the line names put in place of its own."""
    if line.startswith("posteriors"):
        assert line == "posteriors.Normal(...)"
        return "normal-diagonal", objective, gradient
    return (posterior, line, gradient) if line.startswith("objectives") else (posterior, objective, line)


@pytest.mark.parametrize("network", catalogue.NETWORKS)
@pytest.mark.parametrize("posterior", ["normal-diagonal", "normal-full", "categorical", "dirac"])
def test_any_network_fits_everywhere(posterior, network):
    model = make_vae(posterior, "normal-predicted", network).train()
    objective = objectives.IWAE(3) if model.posterior.density else objectives.Reconstruction()
    optimizer = torch.optim.SGD(model.parameters(), 1e-2)
    before = copy.deepcopy(model.state_dict())
    right_gradient(posterior)(model, objective, make_batch(model)).loss.backward()
    optimizer.step()
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert any(name.startswith("posterior") for name in changed) and any(name.startswith("likelihood") for name in changed)
    assert all(p.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("objective", ["elbo", "iwae-4"])
@pytest.mark.parametrize("posterior", catalogue.TRACED)
def test_a_step_is_one_graph(posterior, objective):
    """Draw, densities, divergence and bound are traced without a break, forwards and backwards, and agree with eager mode."""
    if posterior == "dirac":
        objective = "reconstruction"
    model, made = make_vae(posterior, "bernoulli"), catalogue.OBJECTIVES[objective]()
    batch = make_batch(model)

    def step(x):
        return gradients.Pathwise()(model, made, Batch(x)).loss

    compiled = torch.compile(step, backend="aot_eager", fullgraph=True)
    results = []
    for run in (step, compiled):
        model.zero_grad()
        with aevb.random.seeded(1):
            loss = run(batch.x)
            loss.backward()
        results.append([loss.detach(), *(p.grad.clone() for p in model.parameters())])
    torch.compiler.reset()
    # the same float32 operations in another order
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(*results, strict=True))


# the model's own doors


class TestVAE:
    def test_shapes_and_modes(self):
        model = make_vae("normal-full", "bernoulli").train()
        x = make_batch(model, 5).x
        assert model.encode(x).shape == (5, LATENT) and model.encode(x, sample=True).shape == (5, LATENT)
        assert model.reconstruct(x).shape == x.shape and model.sample(3, mean=True).shape == (3, *EVENT)
        assert model.decode(torch.zeros(2, 4, LATENT)).shape == (2, 4, *EVENT)
        assert model.training, "asking leaves the mode alone"

    def test_sampling_with_a_generator_leaves_the_other_streams_alone(self):
        model = make_vae()
        before = torch.get_rng_state()
        first = model.sample(3, generator=torch.Generator().manual_seed(5))
        assert (torch.get_rng_state() == before).all()
        assert (model.sample(3, generator=torch.Generator().manual_seed(5)) == first).all()

    def test_parts_that_do_not_fit_are_refused_with_the_line_to_write(self):
        with pytest.raises(IncompatibleError, match="latent=2"):
            VAE(priors.Normal(3), make_posterior("normal-diagonal"), make_likelihood("bernoulli"))
        with pytest.raises(IncompatibleError, match=r"likelihoods\.Bernoulli"):
            likelihoods.Scaled(make_likelihood("bernoulli"), [0.0], [2.0])

    def test_data_of_another_shape_are_refused(self):
        model = make_vae()
        with pytest.raises(DataError, match="takes"):
            model.encode(torch.zeros(3, 5))
        with pytest.raises(DataError, match="codes"):
            model.decode(torch.zeros(3, LATENT + 1))

    def test_optimal_noise_moves_towards_the_error_of_training_and_only_then(self):
        model = make_vae(likelihood="normal-optimal")
        batch = make_batch(model)
        model.eval().draw(batch, 4)
        assert model.likelihood.noise.error == 1
        terms = model.train().draw(batch, 4)
        error = (batch.x - terms.reconstruction.mean).square().mean()
        # a hundredth of the way, in float32
        assert model.likelihood.noise.error.item() == pytest.approx(0.99 + 0.01 * error.item(), rel=1e-5)

    def test_scaled_optimal_noise_works_in_standardised_units(self):
        inner = likelihoods.Normal(networks.MLP(LATENT), EVENT, "optimal")
        model = VAE(priors.Normal(LATENT), make_posterior("normal-diagonal"), likelihoods.Scaled(inner, [5.0], [10.0]))
        batch = Batch(5 + 10 * torch.randn(6, *EVENT))
        terms = model.train().draw(batch, 1)
        assert isinstance(terms.reconstruction, Affine) and isinstance(terms.reconstruction.base, Independent)
        error = ((batch.x - terms.reconstruction.mean) / 10).square().mean()
        assert inner.noise.error.item() == pytest.approx(0.99 + 0.01 * error.item(), rel=1e-5)


NET = networks.MLP(LATENT, [3])
REFUSED = {
    "latent of 0": lambda: priors.Normal(0),
    "latent below 0": lambda: posteriors.Normal(NET, -1),
    "empty latent": lambda: priors.Normal(()),
    "fractional latent": lambda: posteriors.Bernoulli(NET, (2, 0.5)),
    "no categories": lambda: priors.Categorical(3),
    "one category": lambda: posteriors.Categorical(NET, (3, 1)),
    "unknown covariance": lambda: posteriors.Normal(NET, 2, covariance="round"),
    "full covariance with axes": lambda: posteriors.Normal(NET, (2, 2), covariance="full"),
    "rank of 0": lambda: posteriors.Normal(NET, 2, covariance="low_rank", rank=0),
    "event of 0": lambda: likelihoods.Bernoulli(NET, (2, 0)),
    "noise of 0": lambda: likelihoods.Normal(NET, EVENT, scale=0.0),
    "noise below 0": lambda: likelihoods.Laplace(NET, EVENT, scale=-1.0),
    "noise that is no number": lambda: likelihoods.Normal(NET, EVENT, scale=math.nan),
    "unknown noise": lambda: likelihoods.Normal(NET, EVENT, scale="loud"),
    "one level": lambda: likelihoods.DiscretisedLogistic(NET, EVENT, levels=1),
    "one value": lambda: likelihoods.Categorical(NET, EVENT, categories=1),
    "no sample": lambda: make_vae().sample(0),
}


@pytest.mark.parametrize("name", REFUSED)
def test_arguments_that_no_run_could_use_are_refused_by_name(name):
    with pytest.raises(ArgumentError, match=r"`\w+`"):
        REFUSED[name]()
