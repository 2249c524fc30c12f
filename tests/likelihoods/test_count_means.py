"""Means of counts that are shares of a library size."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import aevb
from aevb import distributions, likelihoods
from aevb.errors import ArgumentError
from aevb.networks import MLP, Condition, ConditionedNetwork, Covariate, Labels, LibrarySize

CONDITION = Condition([Labels("batch", ["a", "b"]), LibrarySize(reference=4.0)])
FAMILIES = ("Poisson", "NegativeBinomial", "ZeroInflatedNegativeBinomial")


def build(name, genes=2):
    """Return a likelihood of counts of two cells given batch and library size."""
    torch.manual_seed(0)
    network = ConditionedNetwork(MLP(1, [4], context=CONDITION.width), CONDITION)
    return getattr(likelihoods, name)(network, (genes,), condition=CONDITION)


def context(batch, size):
    """Return the context of one row."""
    return CONDITION.to_context({"batch": batch, "library_size": size}, 1).float()


@pytest.mark.parametrize("name", FAMILIES)
def test_probabilities_given_the_library_size_sum_to_one(name):
    grid = torch.cartesian_prod(torch.arange(200.0), torch.arange(200.0))
    for size in (0.0, 3.0):
        p = build(name)(torch.zeros(1, 1), context("a", size))
        # the tail beyond 200 counts is below 1e-12, and 40,000 terms round in float32
        assert p.log_prob(grid).exp().sum().item() == pytest.approx(1.0, abs=2e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_means_are_shares_of_the_library_size(name):
    likelihood, z = build(name, genes=3), torch.randn(7, 1, 1)
    means = []
    for size in (5.0, 5000.0):
        p = likelihood(z, context("b", size)).base_dist
        mean = getattr(p, "base", p).mean
        assert torch.allclose(mean.sum(-1), torch.tensor(size))
        means.append(mean / size)
    assert torch.allclose(*means), "shares do not depend on the library size"


def test_a_condition_without_a_library_size_is_refused():
    with pytest.raises(ArgumentError) as caught:
        likelihoods.Poisson(nn.Identity(), (2,), condition=Condition([Covariate("age")]))
    assert caught.value.argument == "condition"


@pytest.mark.parametrize("value", [-1, "many", np.nan])
def test_other_values_than_totals_are_refused(value):
    with pytest.raises(ArgumentError):
        LibrarySize().to_number(value)


def test_a_model_of_counts_is_saved_with_its_library_size(tmp_path):
    x = np.random.default_rng(0).poisson(2.0, (60, 4))
    data = aevb.data.load(x, likelihood="poisson", condition="library_size")
    model = aevb.presets.count_vae(data.spec, latent=2, hidden=[4]).model
    aevb.save(model, tmp_path / "m")
    loaded = aevb.load(tmp_path / "m")
    assert loaded.condition.variables == model.condition.variables
    assert isinstance(loaded.condition.variables[0], LibrarySize)
    z = torch.zeros(2, 2)
    expected, found = (each.decode(z, label=500) for each in (model, loaded))
    assert torch.equal(found, expected)
    assert found.sum(1) == pytest.approx(500, rel=1e-5)
    assert aevb.data.Spec.from_dict(data.spec.to_dict()) == data.spec


@pytest.mark.parametrize("name", ["NegativeBinomial", "ZeroInflatedNegativeBinomial"])
def test_a_concentration_per_class_is_that_of_the_class_of_the_row(name):
    likelihood = getattr(likelihoods, name)(
        ConditionedNetwork(MLP(1, [4], context=CONDITION.width), CONDITION),
        (3,),
        concentration="per_class",
        condition=CONDITION,
    )
    with torch.no_grad():
        likelihood.noise.raw.copy_(torch.tensor([[-1.0, 0.0, 1.0], [2.0, 3.0, 4.0]]))
    for place, batch in enumerate("ab"):
        p = likelihood(torch.randn(5, 1, 1), context(batch, 7.0)).base_dist
        expected = distributions.to_scale(likelihood.noise.raw[place])
        found = getattr(p, "base", p).concentration
        assert torch.equal(found, expected.expand_as(found))


def test_a_concentration_per_class_needs_a_label():
    for condition in (None, Condition([LibrarySize()])):
        with pytest.raises(ArgumentError) as caught:
            likelihoods.NegativeBinomial(
                nn.Identity(), (2,), concentration="per_class", condition=condition
            )
        assert (caught.value.argument, caught.value.value) == ("concentration", "per_class")
    labels = Condition([Labels("batch", ["a", "b"])])
    unsized = likelihoods.NegativeBinomial(nn.Identity(), (2,), "per_class", condition=labels)
    assert unsized.noise.raw.shape == (2, 2)


def counts_of_two_batches():
    """Return counts with mean 8: in batch a of concentration 1, in batch b nearly Poisson."""
    rng = np.random.default_rng(0)
    batches = rng.choice(["a", "b"], 400)
    rates = np.where(batches[:, None] == "a", rng.gamma(1.0, 8.0, (400, 6)), 8.0)
    return rng.poisson(rates), batches


def test_dispersion_of_a_batch_is_learned(tmp_path):
    x, batches = counts_of_two_batches()
    data = aevb.data.load(x, likelihood="negative_binomial", condition={"batch": batches})
    recipe = aevb.presets.count_vae(data.spec, latent=1, hidden=[4], dispersion="gene-batch")
    adam = partial(torch.optim.Adam, lr=0.02)
    aevb.fit(recipe, data, epochs=60, batch_size=40, optimizer=adam, progress=False)
    aevb.save(recipe.model, tmp_path / "m")
    learned = distributions.to_scale(aevb.load(tmp_path / "m").likelihood.noise.raw.detach())
    # 160 rows a batch fix a concentration of 1 to 20 %; that of a Poisson has no bound
    assert learned[0].numpy() == pytest.approx(np.ones(6), rel=0.4)
    assert (learned[1] > 4).all()


@pytest.mark.parametrize("likelihood", ["poisson", "negative_binomial"])
def test_a_dispersion_without_its_part_is_refused(likelihood):
    spec = aevb.data.load(counts_of_two_batches()[0], likelihood=likelihood).spec
    for word in ("gene-batch", "batch"):
        with pytest.raises(ArgumentError) as caught:
            aevb.presets.count_vae(spec, dispersion=word)
        assert (caught.value.argument, caught.value.value) == ("dispersion", word)
    if likelihood == "negative_binomial":
        model = aevb.presets.count_vae(spec, dispersion="gene-cell").model
        assert model.likelihood.noise.kind == "predicted"
