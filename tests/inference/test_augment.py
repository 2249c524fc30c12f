"""Augmentation: decoded neighbours of a row."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from aevb import VAE, inference, likelihoods, networks, posteriors, priors
from aevb._random import seed_scope
from aevb.errors import ArgumentError


def decoded_by(network: nn.Module, size: int, latent: int = 2) -> VAE:
    """A model in float64 whose decoder's mean is this function of the latent."""
    likelihood = likelihoods.Normal(network, (size,), scale=1.0)
    model = VAE(
        priors.Normal(latent),
        posteriors.Normal(networks.MLP(size, [4], seed=0), latent),
        likelihood,
    )
    with torch.no_grad():
        model.decode(
            torch.zeros(1, latent)
        )  # heads of a network of unknown width are initialised on the first call
        likelihood.noise.heads.head.weight.copy_(torch.eye(size))
        likelihood.noise.heads.head.bias.zero_()
    return model.double()


def small(**options) -> VAE:
    with seed_scope(0):
        likelihood = likelihoods.Bernoulli(networks.MLP(2, [8]), (6,))
        return VAE(
            priors.Normal(2), posteriors.Normal(networks.MLP(6, [8]), 2, **options), likelihood
        )


def test_neighbours_are_decoded_draws_of_the_posterior():
    """With a linear decoder, mean and variance of neighbours follow from the posterior."""
    model = decoded_by(nn.Identity(), 2)
    x = torch.tensor([[0.3, -0.5], [1.0, 2.0]], dtype=torch.float64)
    q, copies = model.posterior(x), 20_000
    for spread in (1.0, 0.5):
        with seed_scope(0):
            augmented = inference.augment(model, x, copies, spread)
        assert torch.equal(augmented.source_rows[:4], torch.tensor([0, 1, 0, 1]))
        each = augmented.x.reshape(copies, 2, 2)
        error = (
            5 * spread * q.stddev.max() / math.sqrt(copies)
        )  # five standard errors of a mean; of a deviation they are smaller
        assert (each.mean(0) - model.reconstruct(x)).abs().max() < error
        assert (each.std(0) - spread * q.stddev).abs().max() < error
    # six rows are multiplied in another order than two
    assert torch.allclose(
        inference.augment(model, x, 3, spread=0.0).x, model.reconstruct(x).repeat(3, 1), atol=1e-12
    )


def test_neighbours_can_be_drawn_as_data():
    with seed_scope(0):
        augmented = inference.augment(small(), torch.eye(6), 2, mean=False)
    assert set(augmented.x.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"copies": 0}, "`copies` is 0"),
        ({"spread": -1.0}, "`spread` is -1"),
        ({"spread": math.nan}, "nan"),
    ],
)
def test_invalid_numbers_of_neighbours_are_refused(options, message):
    with pytest.raises(ArgumentError, match=message):
        inference.augment(small(), torch.eye(6), **options)


def test_counts_may_be_numpy_integers():
    model, count = small(), np.int64(2)
    assert inference.augment(model, torch.eye(6), count, block_size=count).x.shape == (12, 6)
    assert inference.sample(model, count, block_size=count).shape == (2, 6)
