"""Draws on the sphere stay on it in float32."""

import pytest
import torch

from aevb.distributions import PowerSpherical, UniformSphere, VonMisesFisher


@pytest.mark.parametrize("m", [2, 3, 50])
@pytest.mark.parametrize("family", [PowerSpherical, VonMisesFisher, UniformSphere])
def test_draws_have_length_one(family, m):
    """Noise along the mean direction leaves nothing but rounding across it, in a plane at most."""
    torch.manual_seed(0)
    loc = torch.nn.functional.normalize(torch.randn(20, m), dim=-1)
    p = family(torch.zeros(m)) if family is UniformSphere else family(loc, torch.full((20,), 2.0))
    z = p.sample((10_000 if m < 50 else 500,))
    assert (z.double().norm(dim=-1) - 1).abs().max() < 1e-6
    assert p.support.check(z).all()


def test_draws_have_the_cosines_that_were_drawn():
    torch.manual_seed(0)
    loc = torch.nn.functional.normalize(torch.randn(20, 2), dim=-1)
    p = VonMisesFisher(loc, torch.full((20,), 2.0))
    torch.manual_seed(1)
    z = p.sample((10_000,))
    torch.manual_seed(1)
    torch.randn(z.shape)
    t, _ = p.sample_cosine((10_000, 20))
    # float32, also where the noise is along the mean direction
    assert ((z * loc).sum(-1) - t).abs().max() < 1e-6
