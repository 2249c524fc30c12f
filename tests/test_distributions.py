"""The distributions that torch lacks, against integrals, sums, other formulas and published numbers."""

import math

import numpy as np
import pytest
import torch
from tests.catalogue import EVENT, make_posterior
from torch.autograd import gradcheck
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Gamma,
    Independent,
    Laplace,
    MixtureSameFamily,
    Normal,
    TransformedDistribution,
    biject_to,
)
from torch.distributions import ContinuousBernoulli as TorchContinuousBernoulli
from torch.distributions.transforms import AffineTransform

from aevb import priors
from aevb.distributions import (
    Affine,
    ContinuousBernoulli,
    Dirac,
    DiscretisedLogistic,
    IntegerCategorical,
    NormalMixture,
    soft_clip,
    to_scale,
)
from aevb.distributions._continuous_bernoulli import MOMENT_SERIES_LOGIT, SAMPLING_SERIES_LOGIT
from aevb.distributions._poincare_ball import poincare_ball
from aevb.distributions._product import Product
from aevb.distributions._softplus import grouped_softplus_sum

pytestmark = pytest.mark.usefixtures("float64")

# both sides of the places where a formula takes over from a series, and far out
LOGITS = [
    0.0,
    1e-12,
    1e-6,
    SAMPLING_SERIES_LOGIT - 1e-9,
    SAMPLING_SERIES_LOGIT + 1e-9,
    MOMENT_SERIES_LOGIT - 1e-9,
    MOMENT_SERIES_LOGIT + 1e-9,
    0.5,
    1.0,
    10.0,
    100.0,
    1000.0,
]
LOGITS += [-t for t in LOGITS[1:]]


def integral_nodes(panels=2000):
    """Gauss-Legendre nodes and weights on [0, 1]; on a panel, exp(1000 x) spans e^0.5: 10 nodes integrate it to rounding."""
    nodes, weights = np.polynomial.legendre.leggauss(10)
    left = torch.arange(panels)[:, None] / panels
    return (left + torch.tensor(nodes + 1) / 2 / panels).flatten(), (
        torch.tensor(weights) / 2 / panels
    ).repeat(panels)


class TestScale:
    def test_positive_is_bounded_increasing_and_one_at_zero(self):
        raw = torch.linspace(-50, 50, 1001)
        scale = to_scale(raw)
        assert to_scale(torch.tensor(0.0)) == 1
        assert (
            scale.diff().min() >= 0 and scale.min() >= math.exp(-6) and scale.max() <= math.exp(6)
        )

    def test_bounded_is_the_identity_near_zero(self):
        # tanh(u) = u - u^3 / 3: at 0.01 / 30 the relative difference is 4e-8
        assert soft_clip(torch.tensor(0.01), 30.0).item() == pytest.approx(0.01, rel=1e-7)
        assert soft_clip(torch.tensor(1e4), 30.0) == 30

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("raw", [-1e4, 0.0, 1e4, 1e30])
    def test_positive_has_a_finite_gradient_everywhere(self, raw, dtype):
        raw = torch.tensor(raw, dtype=dtype, requires_grad=True)
        (gradient,) = torch.autograd.grad(to_scale(raw).log(), raw)
        assert gradient.isfinite() and to_scale(raw).square().isfinite()


class TestContinuousBernoulli:
    @pytest.mark.parametrize("t", LOGITS)
    def test_integral_mean_and_variance(self, t):
        x, weights = integral_nodes()
        p = ContinuousBernoulli(torch.tensor(t))
        density = p.log_prob(x).exp() * weights
        # 20,000 terms of rounding, in a density of up to 1000
        assert density.sum().item() == pytest.approx(1, abs=1e-12)
        assert (density * x).sum().item() == pytest.approx(p.mean.item(), abs=1e-12)
        # at |t| = 0.1 the closed form is a difference of two numbers of size 100
        assert (density * (x - p.mean) ** 2).sum().item() == pytest.approx(
            p.variance.item(), abs=1e-11
        )

    @pytest.mark.parametrize(
        "mean_parameter, mean",
        [
            (0.01, 0.207418098552856),
            (0.3, 0.430222501143829),
            (0.9, 0.669880386686581),
            (0.999, 0.856216206328998),
        ],
    )
    def test_published_means(self, mean_parameter, mean):
        assert ContinuousBernoulli(
            torch.logit(torch.tensor(mean_parameter))
        ).mean.item() == pytest.approx(mean, abs=1e-14)

    @pytest.mark.parametrize("x", [0.0, 0.001, -0.004, 0.009])
    def test_normaliser_near_a_half_is_the_published_series(self, x):
        """``C(1/2) = 2``; at ``x = 0.009`` from there what the series leaves out is 3e-12, at 0 nothing but rounding."""
        logits = torch.logit(torch.tensor(0.5 + x))
        constant = ContinuousBernoulli(logits).log_prob(torch.tensor(0.0)) - torch.log1p(
            -torch.tensor(0.5 + x)
        )
        series = math.log(2) + (4 / 3 + 104 / 45 * x**2) * x**2
        assert constant.item() == pytest.approx(series, abs=4e-12 if x else 1e-14)

    def test_normaliser_is_that_of_the_paper(self):
        l = torch.tensor([0.01, 0.2, 0.49, 0.51, 0.8, 0.99])
        constant = (2 * torch.atanh(1 - 2 * l) / (1 - 2 * l)).log()
        x = torch.tensor(0.3)
        expected = x * l.log() + (1 - x) * (1 - l).log() + constant
        # the paper's constant cancels at l = 0.49: 1e-16 / 0.02
        assert torch.allclose(
            ContinuousBernoulli(torch.logit(l)).log_prob(x), expected, atol=1e-13, rtol=0
        )

    def test_agrees_with_torch_where_torch_does_not_clamp(self):
        t, x = torch.tensor([-5.0, -1.0, 2.0, 8.0]), torch.tensor([0.0, 0.2, 0.9, 1.0])
        # torch computes from probabilities: 1 - sigmoid(8) has lost 3 digits
        assert torch.allclose(
            ContinuousBernoulli(t).log_prob(x),
            TorchContinuousBernoulli(logits=t).log_prob(x),
            atol=1e-11,
            rtol=0,
        )

    @pytest.mark.parametrize("t", LOGITS)
    def test_draws_follow_the_distribution_function(self, t):
        """F(x) of draws is uniform: its mean is 1/2 with standard deviation 1/sqrt(12 n)."""
        draws = ContinuousBernoulli(torch.tensor(t)).sample((4000,))
        level = torch.expm1(-abs(t) * draws) / math.expm1(-abs(t)) if t else draws
        level = 1 - level if t > 0 else level
        if t > 0:  # F(x) = (e^tx - 1) / (e^t - 1), written so that nothing overflows
            level = (torch.exp(t * (draws - 1)) - math.exp(-t)) / -math.expm1(-t)
        assert ((draws >= 0) & (draws <= 1)).all()
        assert abs(level.mean() - 0.5) < 5 / math.sqrt(12 * 4000)
        assert abs((level**2).mean() - 1 / 3) < 5 * math.sqrt(4 / 45 / 4000)

    @pytest.mark.parametrize("t", LOGITS)
    def test_slope_of_a_draw_is_the_implicit_one(self, t):
        """``dx/dt = -(dF/dt) / p(x)``, with ``F`` integrated from the density."""
        logits = torch.tensor(t, requires_grad=True)
        draws = ContinuousBernoulli(logits).rsample((5,))
        nodes, weights = integral_nodes(200)
        for x in draws:
            (slope,) = torch.autograd.grad(x, logits, retain_graph=True)
            # F(x) = x * integral over u of p(x u), on the tail that is not close to 1
            tail, side = (x.detach(), 1) if t <= 0 else (1 - x.detach(), -1)
            points = tail * nodes if t <= 0 else 1 - tail * nodes
            mass = (
                (ContinuousBernoulli(logits).log_prob(points).exp() * weights).sum() * tail * side
            )
            (change,) = torch.autograd.grad(mass, logits)
            expected = -change / ContinuousBernoulli(logits.detach()).log_prob(x.detach()).exp()
            # relative: the quantile's own derivative cancels to 1e-16 / STEEP^2 just outside the series
            assert slope.item() == pytest.approx(expected.item(), rel=1e-6, abs=1e-11)

    @pytest.mark.parametrize("t", [-0.0999, 0.0, 0.1001, 3.0])
    def test_derivatives(self, t):
        logits = torch.tensor([t], requires_grad=True)
        assert gradcheck(lambda l: ContinuousBernoulli(l).log_prob(torch.tensor(0.7)), (logits,))
        assert gradcheck(lambda l: ContinuousBernoulli(l).mean, (logits,))


class TestDiscretisedLogistic:
    @pytest.mark.parametrize("mu", [0.5, 0.1, 3.0, -2.0])
    @pytest.mark.parametrize("log_scale", [-2.0, -7.0, -1.0, 0.5])
    @pytest.mark.parametrize("levels", [2, 17, 256])
    def test_sums_to_one(self, mu, log_scale, levels):
        top = levels - 1
        p = DiscretisedLogistic(
            torch.tensor(top * mu), torch.tensor(top * math.exp(log_scale)), levels
        )
        # the stated precision of the formula over 256 bins
        assert p.log_prob(torch.arange(levels).double()).exp().sum().item() == pytest.approx(
            1, abs=1e-13
        )

    def test_is_a_difference_of_logistic_functions(self):
        loc, scale, x = torch.tensor(100.0), torch.tensor(7.0), torch.arange(1, 255).double()
        naive = torch.sigmoid((x + 0.5 - loc) / scale) - torch.sigmoid((x - 0.5 - loc) / scale)
        # the naive form loses what is below 1e-16
        assert torch.allclose(
            DiscretisedLogistic(loc, scale, 256).log_prob(x).exp(), naive, atol=1e-15, rtol=0
        )

    def test_tails_do_not_underflow(self):
        p = DiscretisedLogistic(torch.tensor(0.0), torch.tensor(0.1), 256)
        # far from loc: log p = -(x - 1/2) / scale + log(1 - e^(-1 / scale))
        assert p.log_prob(torch.tensor(200.0)).item() == pytest.approx(
            -1995 + math.log(-math.expm1(-10)), rel=1e-14
        )

    @pytest.mark.parametrize("levels", [2, 17])
    def test_moments_are_sums_over_the_levels(self, levels):
        p = DiscretisedLogistic(
            torch.tensor([-3.0, 0.7, 9.0]), torch.tensor([0.01, 1.5, 30.0]), levels
        )
        x = torch.arange(levels).double()[:, None]
        mass = p.log_prob(x).exp()
        assert torch.allclose(p.mean, (mass * x).sum(0), atol=1e-12)
        assert torch.allclose(p.variance, (mass * (x - p.mean) ** 2).sum(0), atol=1e-12)

    def test_draws_have_the_probabilities_of_the_bins(self):
        n, p = 20_000, DiscretisedLogistic(torch.tensor(2.0), torch.tensor(1.3), 6)
        mass = p.log_prob(torch.arange(6).double()).exp()
        counts = torch.bincount(p.sample((n,)).long(), minlength=6) / n
        assert ((counts - mass).abs() < 5 * (mass * (1 - mass) / n).sqrt()).all()


class TestLevels:
    def test_is_categorical_with_moments(self):
        logits = torch.randn(3, 5)
        p, x = IntegerCategorical(logits), torch.tensor([0.0, 2.0, 4.0])
        assert torch.allclose(p.log_prob(x), Categorical(logits=logits).log_prob(x), atol=1e-15)
        mass, levels = torch.softmax(logits, -1), torch.arange(5.0)
        assert torch.allclose(p.mean, (mass * levels).sum(-1), atol=1e-15)
        assert torch.allclose(p.variance, (mass * levels**2).sum(-1) - p.mean**2, atol=1e-14)

    def test_values_broadcast_against_logits(self):
        p = IntegerCategorical(torch.randn(4, 3))
        assert p.log_prob(torch.zeros(7, 4)).shape == (7, 4)
        assert torch.allclose(
            p.log_prob(torch.arange(3.0)[:, None]).exp().sum(0), torch.ones(4), atol=1e-15
        )


class TestAffine:
    def test_density_is_that_of_the_transformed_distribution(self):
        base = Independent(Laplace(torch.randn(4, 2), torch.rand(4, 2) + 0.1), 1)
        shift, scale, x = torch.tensor([1.0, -2.0]), torch.tensor([0.1, 30.0]), torch.randn(4, 2)
        expected = TransformedDistribution(
            base, [AffineTransform(shift, scale, event_dim=1)]
        ).log_prob(x)
        assert torch.allclose(Affine(base, shift, scale).log_prob(x), expected, atol=1e-12)

    def test_moments_and_support(self):
        moved = Affine(
            Independent(ContinuousBernoulli(torch.zeros(2)), 1),
            torch.tensor(3.0),
            torch.tensor([2.0, 4.0]),
        )
        assert torch.allclose(moved.mean, torch.tensor([4.0, 5.0])) and torch.allclose(
            moved.variance, torch.tensor([4.0, 16.0]) / 12
        )
        assert moved.support.check(torch.tensor([3.0, 7.0])) and not moved.support.check(
            torch.tensor([2.9, 7.0])
        )

    def test_one_scale_for_all_counts_once_per_element(self):
        moved = Affine(
            Independent(Normal(torch.zeros(3), 1.0), 1), torch.tensor(0.0), torch.tensor(2.0)
        )
        assert moved.log_prob(torch.zeros(3)).item() == pytest.approx(
            -1.5 * math.log(2 * math.pi * 4), abs=1e-14
        )


class TestDirac:
    def test_mass_at_one_point(self):
        p = Dirac(torch.tensor([[1.0, 2.0]]), event_dim=1)
        assert (
            p.log_prob(torch.tensor([[1.0, 2.0]])).item() == 0
            and p.log_prob(torch.tensor([[1.0, 2.1]])).item() == -math.inf
        )
        assert p.variance.sum() == 0 and (p.rsample((3,)) == p.mean).all()


class TestSoftplusSum:
    @pytest.mark.parametrize("size", [1, 111, 112, 113, 784])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("spread", [0.0, 1.0, 1e4])
    def test_one_logarithm_for_many_terms_is_the_sum(self, size, dtype, spread):
        """At logits of 0 the product is largest: 2^112 per group."""
        logits = (spread * torch.randn(3, size)).to(dtype)
        expected = torch.nn.functional.softplus(logits.double()).sum(-1)
        # the rounding of a product of 112 factors and of a sum of up to 784 terms
        assert torch.allclose(
            grouped_softplus_sum(logits).double(),
            expected,
            rtol=1e-5 if dtype == torch.float32 else 1e-12,
            atol=0,
        )


class TestBernoulliLogits:
    @pytest.mark.parametrize("logit", [-1e4, -1000.0, -120.0, 0.0, 120.0, 1e4])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_nothing_is_clamped(self, logit, dtype):
        """A cross-entropy on probabilities saturates at 100 nats, and its gradient is wrong there."""
        l = torch.tensor(logit, dtype=dtype, requires_grad=True)
        value = Bernoulli(logits=l).log_prob(torch.ones((), dtype=dtype))
        (gradient,) = torch.autograd.grad(value, l)
        assert value.item() == pytest.approx(
            -math.log1p(math.exp(-logit)) if logit > -700 else logit, rel=1e-6
        )
        assert gradient.item() == pytest.approx(1 - torch.sigmoid(l).item(), abs=1e-7)


@pytest.mark.parametrize("build", ["mixture", "vamp"])
def test_one_component_is_a_single_gaussian(build):
    """A learned mixture of one, and a VampPrior with one pseudo-datum, which is the posterior of that datum."""
    posterior = make_posterior("normal-diagonal")
    prior = (
        priors.Mixture(2, components=1)
        if build == "mixture"
        else priors.Vamp(posterior, EVENT, 1, low=None, high=None)
    )
    p, z = prior(), torch.randn(20, 2)
    one = (
        Independent(Normal(p.mean, p.stddev), 1)
        if build == "mixture"
        else posterior(prior.pseudo_inputs)
    )
    assert torch.allclose(p.log_prob(z), one.log_prob(z), rtol=0, atol=1e-10)


def test_a_mixture_by_matrix_products_has_the_density_of_the_mixture():
    """Against torch's own, in float64; in float32 within the 1e-3 nats that it promises, for narrow components far from the origin."""
    torch.manual_seed(0)
    logits, loc, std = torch.randn(7), 3 + torch.randn(7, 4), torch.rand(7, 4) + 0.05
    z = loc[torch.arange(50) % 7] + 0.3 * torch.randn(50, 4)

    def exact(dtype):
        parts = Independent(Normal(loc.to(dtype), std.to(dtype)), 1)
        return MixtureSameFamily(Categorical(logits=logits.to(dtype)), parts).log_prob(z.to(dtype))

    double = NormalMixture(logits.double(), loc.double(), std.double())
    torch.testing.assert_close(
        double.log_prob(z.double()), exact(torch.float64), rtol=1e-10, atol=1e-10
    )
    single = NormalMixture(logits.float(), loc.float(), std.float()).log_prob(z.float())
    torch.testing.assert_close(single.double(), exact(torch.float64), rtol=0, atol=1e-3)
    draws = double.sample((200_000,))
    torch.testing.assert_close(
        draws.mean(0), double.mean, atol=5 * (double.variance.max() / 2e5).sqrt().item(), rtol=0
    )  # 5 errors
    torch.testing.assert_close(
        draws.var(0), double.variance, rtol=0.03, atol=0
    )  # kurtosis below 3: an error of 0.5 %


# coordinates in which codes move


@pytest.mark.parametrize(
    "support",
    [
        poincare_ball,
        Product(
            [Independent(Normal(torch.zeros(2), 1.0), 1), Independent(Gamma(torch.ones(1), 1.0), 1)]
        ).support,
        Affine(
            Independent(Beta(torch.ones(3), 1.0), 1), torch.tensor(2.0), torch.tensor(3.0)
        ).support,
    ],
    ids=["ball", "product", "affine"],
)
def test_free_coordinates_reach_the_support_and_know_their_jacobian(support):
    """Held against autograd's Jacobian, in double precision; there and back again."""
    free = biject_to(support)
    u = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z = free(u)
    assert support.check(z).all()
    assert torch.allclose(free.inv(z), u, atol=1e-9)
    jacobians = torch.stack([torch.autograd.functional.jacobian(free, row) for row in u])
    found = free.log_abs_det_jacobian(u, z)
    found = found if found.dim() == 1 else found.sum(-1)
    assert torch.allclose(found, torch.linalg.slogdet(jacobians).logabsdet, atol=1e-9)
