"""The continuous Bernoulli against integrals, published numbers and implicit gradients."""

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck
from torch.distributions import ContinuousBernoulli as TorchContinuousBernoulli

from aevb.distributions import ContinuousBernoulli
from aevb.distributions._continuous_bernoulli import MOMENT_SERIES_LOGIT, SAMPLING_SERIES_LOGIT

pytestmark = pytest.mark.usefixtures("float64")


# both sides of the thresholds between series and formula, and large values
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
    """Gauss-Legendre on [0, 1]: on a panel exp(1000 x) spans e^0.5, exact with 10 nodes."""
    nodes, weights = np.polynomial.legendre.leggauss(10)
    left = torch.arange(panels)[:, None] / panels
    return (left + torch.tensor(nodes + 1) / 2 / panels).flatten(), (
        torch.tensor(weights) / 2 / panels
    ).repeat(panels)


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
    def test_means_equal_published_values(self, mean_parameter, mean):
        assert ContinuousBernoulli(
            torch.logit(torch.tensor(mean_parameter))
        ).mean.item() == pytest.approx(mean, abs=1e-14)

    @pytest.mark.parametrize("x", [0.0, 0.001, -0.004, 0.009])
    def test_normaliser_near_a_half_is_the_published_series(self, x):
        """``C(1/2) = 2``; at ``x = 0.009`` from there the series' remainder is 3e-12."""
        logits = torch.logit(torch.tensor(0.5 + x))
        constant = ContinuousBernoulli(logits).log_prob(torch.tensor(0.0)) - torch.log1p(
            -torch.tensor(0.5 + x)
        )
        series = math.log(2) + (4 / 3 + 104 / 45 * x**2) * x**2
        assert constant.item() == pytest.approx(series, abs=4e-12 if x else 1e-14)

    def test_normaliser_equals_the_formula_of_the_paper(self):
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
    def test_gradient_of_a_draw_is_implicit(self, t):
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
            # the quantile's derivative cancels to 1e-16 / threshold^2 just outside the series
            assert slope.item() == pytest.approx(expected.item(), rel=1e-6, abs=1e-11)

    @pytest.mark.parametrize("t", [-0.0999, 0.0, 0.1001, 3.0])
    def test_derivatives(self, t):
        logits = torch.tensor([t], requires_grad=True)
        assert gradcheck(lambda l: ContinuousBernoulli(l).log_prob(torch.tensor(0.7)), (logits,))
        assert gradcheck(lambda l: ContinuousBernoulli(l).mean, (logits,))
