"""Paths between latents: ends, lengths, refused arguments."""

import pytest
import torch

from aevb import VAE, inference, likelihoods, networks, posteriors, priors
from aevb._random import seed_scope
from aevb.errors import ArgumentError, IncompatibleError


def small(**options) -> VAE:
    with seed_scope(0):
        likelihood = likelihoods.Bernoulli(networks.MLP(2, [8]), (6,))
        return VAE(
            priors.Normal(2), posteriors.Normal(networks.MLP(6, [8]), 2, **options), likelihood
        )


@pytest.mark.parametrize("path", ["linear", "spherical", "geodesic"])
def test_the_ends_of_every_path_are_the_reconstructions(path):
    model, x = small().double(), torch.eye(6, dtype=torch.float64)
    walk = inference.interpolate(model, x[0], x[3], 7, path)
    torch.testing.assert_close(
        walk.x[[0, -1]], model.reconstruct(x[[0, 3]]), atol=1e-12, rtol=0
    )  # rounding of sines of whole turns
    torch.testing.assert_close(walk.x, model.decode(walk.z))
    assert walk.step_lengths.shape == (6,)


def test_geodesic_is_shortest_with_even_steps():
    with seed_scope(1):
        decoder, x = networks.MLP(3, [16, 16], activation="tanh"), torch.randn(2, 12).double()
        model = VAE(
            priors.Normal(3),
            posteriors.Normal(networks.MLP(12, [8]), 3),
            likelihoods.Normal(decoder, (12,), scale=1.0),
        ).double()
    with torch.no_grad():
        model.posterior.heads.head.weight.mul_(
            20
        )  # ends far apart, where the decoder is not linear any more
        model.likelihood.noise.heads.head.weight.mul_(5)
    length = {
        path: inference.interpolate(model, x[0], x[1], 49, path).step_lengths
        for path in ("linear", "spherical", "geodesic")
    }
    assert (
        length["geodesic"].sum() < 0.97 * length["linear"].sum()
        and length["geodesic"].sum() < length["spherical"].sum()
    )
    spread = {path: (steps.std() / steps.mean()).item() for path, steps in length.items()}
    assert (
        spread["geodesic"] < 0.1 < 0.2 < spread["linear"]
    )  # at the least energy all steps are equal; measured 0.04, and 0.29


def test_path_between_equal_ends_is_constant():
    model, x = small(), torch.eye(6)
    walk = inference.interpolate(model, x[0], x[0], 4, "geodesic")
    assert torch.equal(walk.z, walk.z[:1].expand(4, 2))


def test_paths_work_without_grad_mode_and_leave_no_weight_gradients():
    model, x = small(), torch.eye(6)
    with torch.no_grad():
        inference.interpolate(model, x[0], x[1], 3, "geodesic")
    assert model.training and all(parameter.grad is None for parameter in model.parameters())


def test_constrained_latents_are_refused():
    with seed_scope(0):
        likelihood = likelihoods.Bernoulli(networks.MLP(2, [8]), (6,))
        model = VAE(
            priors.Exponential(2), posteriors.Exponential(networks.MLP(6, [8]), 2), likelihood
        )
    x = torch.eye(6)
    with pytest.raises(IncompatibleError, match=r"priors.Exponential.*path=\"linear\""):
        inference.interpolate(model, x[0], x[1], 3, "geodesic")
    with pytest.raises(IncompatibleError, match=r"priors.Exponential.*Write spread=1"):
        inference.augment(model, x, spread=2.0)
    assert inference.augment(model, x).x.shape == (6, 6)


def test_invalid_paths_are_refused():
    with pytest.raises(ArgumentError, match='path="linear", path="spherical" or path="geodesic"'):
        inference.interpolate(small(), torch.zeros(6), torch.ones(6), 3, "shortest")
