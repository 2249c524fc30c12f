"""Gaussian mixtures against torch's mixture and a single Gaussian."""

import pytest
import torch
from tests.catalogue import EVENT, make_posterior
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from aevb import priors
from aevb.distributions import FullNormalMixture, NormalMixture

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
    """Against torch, in float64 and in float32."""
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
    # float32 results of about 10, from float32 parameters
    torch.testing.assert_close(single.double(), exact(torch.float64), rtol=1e-6, atol=1e-5)
    draws = double.sample((200_000,))
    torch.testing.assert_close(
        draws.mean(0), double.mean, atol=5 * (double.variance.max() / 2e5).sqrt().item(), rtol=0
    )  # 5 errors
    torch.testing.assert_close(
        draws.var(0), double.variance, rtol=0.03, atol=0
    )  # kurtosis below 3: an error of 0.5 %


@pytest.mark.parametrize("scale", [0.05, 0.01, 0.0025])
@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_narrow_components_in_float32(scale, covariance):
    """50 components in 16 dimensions: densities and gradients are those of float64."""
    torch.manual_seed(0)
    loc = torch.randn(50, 16, dtype=torch.float32)
    std = torch.full_like(loc, scale)
    below = 0.3 * scale * torch.randn(50, 16, 16, dtype=torch.float32).tril(-1)
    spread = std if covariance == "diagonal" else torch.diag_embed(std) + below
    family = NormalMixture if covariance == "diagonal" else FullNormalMixture
    z = family(torch.zeros(50).float(), loc, spread).sample((200,))

    def density_and_slopes(dtype):
        values = [value.to(dtype).requires_grad_() for value in (z, loc, spread)]
        density = family(torch.zeros(50, dtype=dtype), *values[1:]).log_prob(values[0])
        slopes = torch.autograd.grad(density.sum(), values)
        return density.detach().double(), [slope.double() for slope in slopes]

    single, slopes = density_and_slopes(torch.float32)
    double, expected = density_and_slopes(torch.float64)
    torch.testing.assert_close(single, double, rtol=1e-6, atol=1e-5)
    for slope, exact in zip(slopes, expected, strict=True):
        torch.testing.assert_close(slope, exact, rtol=1e-4, atol=1e-5 * exact.abs().max().item())


def test_the_variance_of_distant_components_does_not_cancel():
    loc = torch.tensor([[1000.0], [1000.01]])
    for p in (
        NormalMixture(torch.zeros(2).float(), loc.float(), torch.full((2, 1), 0.01).float()),
        FullNormalMixture(torch.zeros(2).float(), loc.float(), torch.full((2, 1, 1), 0.01).float()),
    ):
        apart = (loc.float()[1] - loc.float()[0]).double() / 2
        # the mean is rounded to 6e-5
        assert p.variance.item() == pytest.approx((1e-4 + apart**2).item(), abs=1e-8)
