"""Priors, posteriors and likelihoods that are registered and built by name."""

import inspect

import pytest
import torch
from tests.refusals import refused
from torch import nn

from aevb import VAE, Conditional, likelihoods, networks, posteriors, priors
from aevb.errors import ArgumentError, IncompatibleError
from aevb.likelihoods import LikelihoodRegistration
from aevb.posteriors import PosteriorRegistration, build_posterior
from aevb.priors import PriorRegistration, build_prior

ROLES = {
    priors: PriorRegistration,
    posteriors: PosteriorRegistration,
    likelihoods: LikelihoodRegistration,
}


@pytest.mark.parametrize("package", ROLES, ids=lambda package: package.__name__)
def test_every_public_family_is_registered_with_advice(package):
    registration = ROLES[package]
    for name in package.__all__:
        target = getattr(package, name)
        if inspect.isclass(target) and issubclass(target, Conditional):
            if inspect.isabstract(target):
                continue
            entry = registration.of(target)
            assert entry is not None, name
            assert entry.title and entry.use_when and entry.cost and entry.avoid_when, name
    for name, entry in registration.all().items():
        assert name == entry.name and (entry.needs == "") == (name in registration.buildable())
        if entry.needs:
            with refused(IncompatibleError, registration.argument, entry.needs):
                entry.check()


def model_of(prior, posterior):
    latent = (2, 3) if "categorical" in (prior.name, posterior.name) else 2
    q = build_posterior(posterior.name, networks.MLP(4, [5]), latent)
    p = build_prior(prior.name, latent, posterior=q, event_shape=[4])
    network = networks.MLP(6 if isinstance(latent, tuple) else 2)
    rank = 2 if isinstance(latent, tuple) else 1
    return VAE(p, q, likelihoods.Normal(network, (4,), latent_rank=rank))


@pytest.mark.parametrize("name", PriorRegistration.buildable())
def test_priors_fit_their_usual_posterior(name):
    entry = PriorRegistration.find(name)
    model = model_of(entry, PosteriorRegistration.find(entry.posterior))
    assert model.sample(3).shape == (3, 4)


@pytest.mark.parametrize("name", PosteriorRegistration.buildable())
def test_posteriors_fit_their_usual_prior(name):
    entry = PosteriorRegistration.find(name)
    model = model_of(PriorRegistration.find(entry.prior), entry)
    assert model.capabilities.reparameterised == entry.reparameterised
    assert model.encode(torch.zeros(3, 4)).shape == (3, *model.latent_shape)


@pytest.mark.parametrize("name", LikelihoodRegistration.buildable())
def test_likelihoods_are_built_on_a_network(name):
    entry = LikelihoodRegistration.find(name)
    likelihood = entry.from_network(nn.Identity(), (3,), levels=5, unit=2.0)
    assert likelihood(torch.zeros(2, 4)).event_shape == (3,) and entry.kinds
    assert entry.measure == likelihood.measure
    assert entry.has_levels == (entry.scaling == "levels")


def test_ranges_of_data_decide_which_likelihoods_fit():
    counts = LikelihoodRegistration.find("poisson")
    assert counts.accepts(0, 1000, True) and not counts.accepts(0, 1000, False)
    assert not LikelihoodRegistration.find("gamma").accepts(0.0, 2.0, False)
    assert LikelihoodRegistration.find("continuous_bernoulli").accepts(0, 255, True)


def test_unknown_names_and_options_are_refused():
    with refused(ArgumentError, "prior", "vamp"):
        PriorRegistration.find("vampp")
    with refused(ArgumentError, "scale"):
        LikelihoodRegistration.find("bernoulli").check(scale=1.0)
    with refused(ArgumentError, "kind", "transforms"):
        build_posterior("iaf", nn.Identity(), 2, kind="maf")
