"""Sums of softplus, and Bernoulli logits without clamping."""

import math

import pytest
import torch
from torch.distributions import Bernoulli

from aevb.distributions._softplus import grouped_softplus_sum

pytestmark = pytest.mark.usefixtures("float64")


class TestSoftplusSum:
    @pytest.mark.parametrize("size", [1, 111, 112, 113, 784])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("spread", [0.0, 1.0, 1e4])
    def test_grouped_logarithms_equal_the_sum(self, size, dtype, spread):
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
    def test_log_probabilities_are_not_clamped(self, logit, dtype):
        """A cross-entropy on probabilities saturates at 100 nats, with a wrong gradient."""
        l = torch.tensor(logit, dtype=dtype, requires_grad=True)
        value = Bernoulli(logits=l).log_prob(torch.ones((), dtype=dtype))
        (gradient,) = torch.autograd.grad(value, l)
        assert value.item() == pytest.approx(
            -math.log1p(math.exp(-logit)) if logit > -700 else logit, rel=1e-6
        )
        assert gradient.item() == pytest.approx(1 - torch.sigmoid(l).item(), abs=1e-7)
