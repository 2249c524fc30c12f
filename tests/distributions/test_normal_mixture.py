"""Gaussian mixtures against torch's mixture and a single Gaussian."""

import pytest
import torch
from tests.catalogue import EVENT, make_posterior
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from aevb import priors
from aevb.distributions import NormalMixture

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize("build", ["mixture", "vamp"])
def test_one_component_is_a_single_gaussian(build):
    """A learned mixture of one, and a VampPrior with one pseudo-input."""
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


def test_matrix_products_give_the_density_of_the_mixture():
    """Against torch, in float64, and in float32 within the documented 1e-3 nats."""
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
