"""Categorical distributions of integers against torch's categorical."""

import pytest
import torch
from torch.distributions import Categorical

from aevb.distributions import IntegerCategorical

pytestmark = pytest.mark.usefixtures("float64")


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
