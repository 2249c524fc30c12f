"""Roots in brackets with flat ends, where plain Newton steps go round in a circle."""

import pytest
import torch

from aevb.distributions import PlanarStep
from aevb.distributions._root_finding import increasing_root

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize("height", [-0.99, 0.5, 7.15, 400.0])
def test_a_step_between_two_flat_ends(height):
    target = torch.linspace(-2 * abs(height), 2 * abs(height), 2001)

    def over(x):
        bent = torch.tanh(x + 1.3)
        return x + height * bent - target, 1 + height * (1 - bent.square())

    x = increasing_root(over, target - abs(height), target + abs(height))
    assert over(x)[0].abs().max() < 1e-11  # the rounding of numbers up to 800


def test_the_inverse_of_a_steep_planar_map():
    step = PlanarStep(torch.tensor([1.8, 1.8]), torch.tensor([2.0, 2.0]), torch.tensor(2.0))
    z = 3 * torch.randn(5000, 2)
    torch.testing.assert_close(step.inv(step(z)), z, rtol=0, atol=1e-9)
