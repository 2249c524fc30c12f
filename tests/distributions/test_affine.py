"""The affine distribution against torch's transformed distribution."""

import math

import pytest
import torch
from torch.distributions import Independent, Laplace, Normal, TransformedDistribution
from torch.distributions.transforms import AffineTransform

from aevb.distributions import Affine, ContinuousBernoulli

pytestmark = pytest.mark.usefixtures("float64")


class TestAffine:
    def test_density_equals_the_transformed_distribution(self):
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

    def test_a_shared_scale_counts_once_per_element(self):
        moved = Affine(
            Independent(Normal(torch.zeros(3), 1.0), 1), torch.tensor(0.0), torch.tensor(2.0)
        )
        assert moved.log_prob(torch.zeros(3)).item() == pytest.approx(
            -1.5 * math.log(2 * math.pi * 4), abs=1e-14
        )
