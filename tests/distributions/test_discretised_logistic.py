"""The discretised logistic: probabilities of all levels, tails, moments, draws."""

import math

import pytest
import torch

from aevb.distributions import DiscretisedLogistic

pytestmark = pytest.mark.usefixtures("float64")


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

    def test_variances_in_float32(self):
        """Never negative, and accurate where almost all mass is at one level."""
        for scale in (0.025, 0.1, 0.3, 2.0, 100.0):
            loc = torch.linspace(-20.0, 280.0, 5001, dtype=torch.float32)
            p = DiscretisedLogistic(loc, torch.full_like(loc, scale), 256)
            q = DiscretisedLogistic(loc.double(), p.scale.double(), 256)
            assert (p.variance >= 0).all()
            # float32 rounds what lies in the exponent, up to 100
            torch.testing.assert_close(p.variance.double(), q.variance, rtol=3e-5, atol=1e-12)

    def test_draws_have_the_probabilities_of_the_bins(self):
        n, p = 20_000, DiscretisedLogistic(torch.tensor(2.0), torch.tensor(1.3), 6)
        mass = p.log_prob(torch.arange(6).double()).exp()
        counts = torch.bincount(p.sample((n,)).long(), minlength=6) / n
        assert ((counts - mass).abs() < 5 * (mass * (1 - mass) / n).sqrt()).all()
