"""Functions of many rows: the same numbers in blocks of any size."""

import math

import pytest
import torch
from tests.linear import linear_vae, set_posterior

from aevb import VAE, inference, likelihoods, networks, posteriors, priors
from aevb._memory import default_block_size
from aevb.errors import ArgumentError, DataError, IncompatibleError
from aevb.inference import _blockwise
from aevb.networks import Condition, ConditionedNetwork, Labels

N = 5
BLOCKS = [1, 2, 4, 5, 6, None]
X = torch.arange(15.0).reshape(N, 3) / 10


def affine(gain=0.5):
    """``E[x|z]`` has the latent, and 1 more; the posterior has a share of two elements as mean."""
    model = linear_vae(torch.eye(3)[:, :2], torch.ones(3), 0.5)
    set_posterior(model, gain * torch.eye(3)[:2], torch.zeros(2), torch.tensor([0.1, 0.2]))
    return model


def recorded(model, part):
    """The numbers of rows that a part of the model takes at once."""
    seen, forward = [], part.forward
    part.forward = lambda rows, context=None: (seen.append(len(rows)), forward(rows, context))[1]
    return seen


def sizes(block):
    block = block or N
    return [min(block, N - start) for start in range(0, N, block)]


@pytest.mark.parametrize("block", BLOCKS)
def test_rows_go_through_the_model_in_blocks(block):
    model = affine()
    seen = recorded(model, model.posterior)
    z = inference.encode(model, X, block_size=block)
    torch.testing.assert_close(z, 0.5 * X[:, :2])
    assert seen == sizes(block)
    # a pad of 0 for the last element
    expected = torch.cat([0.5 * X[:, :2], torch.zeros(N, 1)], 1) + 1
    torch.testing.assert_close(inference.reconstruct(model, X, block_size=block), expected)
    seen = recorded(model, model.likelihood)
    torch.testing.assert_close(inference.decode(model, z, block_size=block), expected)
    assert seen == sizes(block)
    drawn = inference.sample(model, N, block_size=block)
    assert drawn.shape == (N, 3) and len(drawn.unique()) == 3 * N and seen[-1] == sizes(block)[-1]
    assert not z.requires_grad and not expected.requires_grad


@pytest.mark.parametrize("block", BLOCKS)
def test_draws_of_rows_do_not_depend_on_blocks(block):
    model = affine()
    z = inference.encode(model, X, sample=True, seed=3, block_size=block)
    torch.testing.assert_close(z, inference.encode(model, X, sample=True, seed=3))
    away = (z - 0.5 * X[:, :2]) / torch.tensor([0.1, 0.2])
    assert (away != 0).all() and (away.abs() < 5).all()  # standard normal
    assert not torch.equal(z, inference.encode(model, X, sample=True, seed=4))
    torch.manual_seed(1)
    first = inference.encode(model, X, sample=True)
    torch.manual_seed(1)
    torch.testing.assert_close(inference.encode(model, X, sample=True, block_size=block), first)


def test_data_drawn_from_the_model():
    """A narrow likelihood shows the latents; expected data have no noise at all."""
    model = linear_vae(torch.eye(3)[:, :2], torch.ones(3), 1e-3)
    mean = inference.sample(model, 50, mean=True, block_size=7)
    assert (mean[:, 2] == 1).all() and mean[:, :2].std() > 0.5
    drawn = inference.sample(model, 50, block_size=7)
    assert ((drawn[:, 2] - 1).abs() < 5e-3).all() and (drawn[:, 2] != 1).all()


def test_integers_are_stored_in_a_byte():
    net = networks.MLP(2, [4])
    model = VAE(
        priors.Normal(2),
        posteriors.Normal(networks.MLP(3, [4]), 2),
        likelihoods.Bernoulli(net, (3,)),
    )
    assert inference.sample(model, 4, dtype=torch.uint8).dtype == torch.uint8
    assert inference.sample(model, 4).dtype == torch.float32


@pytest.mark.parametrize("size", [0, -1])
def test_blocks_have_at_least_one_row(size):
    model = affine()
    for function in (
        lambda: inference.encode(model, X, block_size=size),
        lambda: inference.decode(model, torch.zeros(2, 2), block_size=size),
        lambda: inference.sample(model, 3, block_size=size),
    ):
        with pytest.raises(ArgumentError) as caught:
            function()
        assert (caught.value.argument, caught.value.value) == ("block_size", size)


def test_the_default_block_follows_the_size_of_a_row():
    image = VAE(
        priors.Normal(2),
        posteriors.Normal(networks.MLP(784, [4]), 2),
        likelihoods.Bernoulli(networks.MLP(2, [4]), (28, 28)),
    )
    assert _blockwise._resolve_block_size(image, None) == default_block_size(784) == 1337
    assert _blockwise._resolve_block_size(affine(), None) == _blockwise.BLOCK_ROWS["cpu"] == 4096
    assert _blockwise._resolve_block_size(image, 1) == 1


@pytest.mark.parametrize("total, size, ends", [(5, 2, [2, 4, 5]), (4, 2, [2, 4]), (1, 3, [1])])
def test_ranges_cover_all_rows(total, size, ends):
    ranges = list(_blockwise._iter_ranges(total, size))
    assert [block.stop for block in ranges] == ends
    assert [n for block in ranges for n in block] == list(range(total))


def conditional():
    condition = Condition([Labels("kind", ["a", "b", "c"])])

    def network(size):
        return ConditionedNetwork(networks.MLP(size, [8], context=3), condition)

    return VAE(
        priors.Normal(2),
        posteriors.Normal(network(3), 2),
        likelihoods.Normal(network(2), (3,), scale=1.0),
    )


@pytest.mark.parametrize("block", [1, 2, 6])
def test_rows_keep_their_context(block):
    model, context = conditional(), torch.eye(3)[[0, 2, 1, 1, 0]]
    z = model.encode(X, context)
    mean = model.likelihood(z, context).mean.detach()
    found = inference.encode(model, X, context, block_size=block)
    torch.testing.assert_close(found, z)
    for value in (
        inference.reconstruct(model, X, context, block_size=block),
        inference.decode(model, z, context, block_size=block),
    ):
        torch.testing.assert_close(value, mean)
    for function in (inference.encode, inference.reconstruct):
        with pytest.raises(IncompatibleError):
            function(model, X)
    drawn = inference.sample(model, N, context, mean=True, block_size=block)
    assert drawn.shape == (N, 3)


@pytest.mark.parametrize("weights, expected", [((1 << 16) - 1, True), (1 << 16, False)])
def test_small_networks_use_one_thread(weights, expected, monkeypatch):
    seen = []
    monkeypatch.setattr(_blockwise, "single_thread", seen.append)
    _blockwise._limit_threads(torch.nn.Linear(weights, 1, bias=False))
    assert seen == [expected]


def test_latents_must_be_finite_rows():
    model = affine()
    broken = torch.zeros(3, 2)
    broken[1, 1] = math.nan
    for z in (broken, torch.zeros(0, 2)):
        with pytest.raises(DataError) as caught:
            inference.decode(model, z)
        assert caught.value.argument == "z"
