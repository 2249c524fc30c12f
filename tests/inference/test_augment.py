"""Augmentation: decoded neighbours of a row."""

import math

import numpy as np
import pytest
import torch
from tests.linear import linear_vae, set_posterior
from torch import nn

from aevb import VAE, Batch, inference, likelihoods, networks, posteriors, priors
from aevb._random import seed_scope
from aevb._row_noise import RowNoise
from aevb.data import Rows
from aevb.errors import ArgumentError, IncompatibleError


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
    q, copies = model.posterior(x), 500
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


# exact neighbours


def straight():
    """Expected data are latents; the posterior has half the row as mean."""
    model = linear_vae(torch.eye(2), torch.zeros(2), 1e-4).double()
    deviation = torch.tensor([0.3, 0.7])
    set_posterior(model, 0.5 * torch.eye(2), torch.zeros(2), deviation)
    return model


ROWS = torch.tensor([[0.3, -0.5], [1.0, 2.0], [0.1, 0.1]], dtype=torch.float64)


@pytest.mark.parametrize("block", [1, 2, None])
def test_each_copy_has_the_next_draw_of_each_row(block):
    model = straight()
    # rows are stored in single precision
    x = ROWS.float().double()
    with RowNoise.from_batch(Batch(x), 3, None).samples(4), torch.no_grad():
        drawn = model.infer(Batch(x)).sample((4,))
    for spread in (1.0, 0.5, 0.0, 3.0):
        found = inference.augment(model, ROWS, 4, spread, seed=3, block_size=block)
        expected = x / 2 + spread * (drawn - x / 2)
        torch.testing.assert_close(found.x.reshape(4, 3, 2), expected)
        assert found.source_rows.tolist() == [0, 1, 2] * 4
        noisy = inference.augment(model, ROWS, 4, spread, seed=3, mean=False).x - found.x
        assert ((noisy.abs() < 6e-4) & (noisy != 0)).all()  # six deviations


def test_the_default_seed_of_neighbours_comes_from_the_random_stream():
    model, found = straight(), []
    for seed in (0, 0, 1):
        with seed_scope(seed):
            found.append(inference.augment(model, ROWS).x)
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


@pytest.mark.parametrize("given", ["rows", "context", "label"])
def test_neighbours_have_the_context_of_their_row_or_another(given):
    condition = networks.Condition([networks.Labels("kind", ["a", "b", "c"])])

    def network(size):
        return networks.ConditionedNetwork(networks.MLP(size, [8], context=3, seed=0), condition)

    model = VAE(
        priors.Normal(2),
        posteriors.Normal(network(2), 2),
        likelihoods.Normal(network(2), (2,), scale=1.0),
    ).double()
    x, context = ROWS.float().double(), torch.eye(3, dtype=torch.float64)[[2, 0, 1]]
    rows = Rows.from_array(ROWS.numpy()).with_label(condition, ["c", "a", "b"])
    if given == "context":
        found = inference.augment(model, ROWS, 2, 0.0, context=context)
    elif given == "label":
        found = inference.augment(model, rows, 2, 0.0, label=["c", "a", "b"])
    else:
        found = inference.augment(model, rows, 2, 0.0)
    expected = model.decode(model.encode(x, context), context)
    torch.testing.assert_close(found.x, expected.repeat(2, 1))
    with pytest.raises(IncompatibleError):
        inference.augment(model, ROWS)
