"""Bernoulli trees: the start, probabilities, draws and moments by enumeration."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from aevb import data, distributions, likelihoods
from aevb.likelihoods import _chow_liu

pytestmark = pytest.mark.usefixtures("float64")

PARENTS = torch.tensor([2, 0, 2, 1, 0])  # 2 - 0 - 1 - 3 and 0 - 4
GRID = torch.tensor(list(itertools.product([0.0, 1.0], repeat=5)), dtype=torch.float64)


def tree(batch=()):
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(*batch, 5, generator=generator)
    return distributions.BernoulliTree(logits, 3 * torch.randn(5, generator=generator), PARENTS)


def one_hot_rows(n=500):
    """Two one-hot categories of three columns each, the second mostly equal to the first."""
    generator = torch.Generator().manual_seed(1)
    first, other = torch.randint(3, (2, n), generator=generator)
    second = torch.where(torch.rand(n, generator=generator) < 0.7, first, other)
    return torch.cat([nn.functional.one_hot(each, 3) for each in (first, second)], 1).double()


def test_the_density_is_the_product_of_conditional_probabilities():
    p = tree()
    for row, found in zip(GRID.tolist(), p.log_prob(GRID).tolist(), strict=True):
        total = 0.0
        for d, parent in enumerate(PARENTS.tolist()):
            slope = 0.0 if parent == d else p.slopes[d].item() * row[parent]
            share = 1 / (1 + math.exp(-(p.logits[d].item() + slope)))
            total += math.log(share if row[d] else 1 - share)
        assert found == pytest.approx(total, abs=1e-12)


def test_moments_and_draws_are_those_of_all_rows():
    p = tree((3,))
    weight = p.log_prob(GRID[:, None]).exp()
    torch.testing.assert_close(weight.sum(0), torch.ones(3), rtol=0, atol=1e-12)
    mean = (weight[..., None] * GRID[:, None]).sum(0)
    torch.testing.assert_close(p.mean, mean, rtol=0, atol=1e-12)
    torch.testing.assert_close(p.variance, mean * (1 - mean), rtol=0, atol=1e-12)
    torch.manual_seed(2)
    draws = p.sample((20_000,))
    pairs = torch.einsum("nbi,nbj->bij", draws, draws) / len(draws)
    exact = torch.einsum("nb,ni,nj->bij", weight, GRID, GRID)
    # five standard errors of a frequency of 20,000 draws: 5 / 2 / sqrt(20,000) = 0.018
    torch.testing.assert_close(pairs, exact, rtol=0, atol=0.018)


def test_training_begins_at_the_chow_liu_tree():
    x = one_hot_rows()
    likelihood = likelihoods.BernoulliTree(nn.Identity(), (6,))
    likelihood(torch.zeros(1, 2))
    nn.init.zeros_(likelihood.heads.head.weight)
    likelihood.initialise_from_data(x)
    (best,) = _chow_liu.fit_trees(_chow_liu.one_hot_levels(x, 2), 2, [1.0])
    found = likelihood(torch.zeros(1, 2)).log_prob(x)
    torch.testing.assert_close(found, best.log_prob(x), rtol=0, atol=1e-12)
    with torch.no_grad():
        likelihood.slopes.add_(1.0)
    trained = likelihood.slopes.clone()
    likelihood.initialise_from_data(1 - x)
    assert torch.equal(likelihood.slopes, trained)


@pytest.mark.parametrize("exclusive", [True, False])
def test_columns_that_exclude_each_other_choose_the_tree(exclusive):
    x = one_hot_rows().numpy().astype(np.uint8)
    if not exclusive:
        x ^= np.random.default_rng(0).random(x.shape) < 0.2
    spec = data.load(x).spec
    assert spec.likelihood == ("bernoulli_tree" if exclusive else "bernoulli")
    assert data.load(x, likelihood="bernoulli").spec.likelihood == "bernoulli"


def test_few_exclusions_and_images_keep_independent_cells():
    generator = np.random.default_rng(0)
    x = (generator.random((400, 64)) < 0.5).astype(np.uint8)
    x[:, 1] = x[:, 0]
    assert data.load(x).spec.likelihood == "bernoulli"  # 1 of 64 columns is a copy
    x[:, 1:] = x[:, :1]
    assert data.load(x.reshape(-1, 8, 8)).spec.likelihood == "bernoulli"
