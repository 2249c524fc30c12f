"""The Dirac distribution."""

import math

import pytest
import torch

from aevb.distributions import Dirac

pytestmark = pytest.mark.usefixtures("float64")


class TestDirac:
    def test_all_mass_is_at_one_point(self):
        p = Dirac(torch.tensor([[1.0, 2.0]]), event_dim=1)
        assert (
            p.log_prob(torch.tensor([[1.0, 2.0]])).item() == 0
            and p.log_prob(torch.tensor([[1.0, 2.1]])).item() == -math.inf
        )
        assert p.variance.sum() == 0 and (p.rsample((3,)) == p.mean).all()
