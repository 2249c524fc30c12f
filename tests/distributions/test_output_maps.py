"""Maps from network outputs: bounds, monotonicity, gradients."""

import math

import pytest
import torch

from aevb.distributions import soft_clip, to_scale

pytestmark = pytest.mark.usefixtures("float64")


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
