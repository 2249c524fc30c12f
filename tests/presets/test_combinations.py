"""The full product of the catalogue: every posterior with every prior and every likelihood makes a
model, or is refused with a reason.
"""

import functools
import re
from contextlib import nullcontext

import pytest
import torch
from tests import catalogue
from tests.catalogue import make_batch, make_likelihood, make_posterior, posterior_input
from torch.distributions import Distribution

import aevb
from aevb import VAE, gradients, objectives
from aevb.distributions._monte_carlo_moments import MonteCarloMoments
from aevb.errors import AevbError, IncompatibleError

ADVICE = re.compile(r"(build|give|use|take) .*\w", re.IGNORECASE)


def call_once(part):
    """Cache the outputs of the part for data of zeros, the only data in this test."""
    answer = functools.cache(
        lambda *shape: type(part).forward(
            part, *[None if size is None else torch.zeros(size) for size in shape]
        )
    )
    part.forward = lambda *inputs: answer(
        *[None if value is None else tuple(value.shape) for value in inputs]
    )
    return part


@functools.cache
def prior_of(name):
    return call_once(catalogue.PRIORS[name]())


@functools.cache
def posterior_of(name):
    posterior = make_posterior(name).eval()
    q = posterior(posterior_input(posterior, torch.zeros(1, *catalogue.EVENT)))
    posterior.forward = lambda *inputs: q
    return posterior


@functools.cache
def likelihood_of(name, latent):
    return call_once(make_likelihood(name, latent).eval())


def outcome(build):
    """Return a model, or the message with which it is refused; any other exception fails."""
    try:
        return build()
    except IncompatibleError as refused:
        error = refused
    assert "\n" not in str(error) and ADVICE.search(str(error)), str(error)
    return str(error)


@pytest.fixture
def quick(monkeypatch):
    """Leave out what is the same for every assembly: evaluation mode, which all parts are in, and
    moments by the same 256 draws.
    """
    monkeypatch.setattr("aevb.models._vae.eval_mode", lambda model: nullcontext())
    monkeypatch.setattr(
        MonteCarloMoments, "_moment_draws", functools.cache(MonteCarloMoments._moment_draws)
    )


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("posterior", catalogue.POSTERIORS)
def test_every_posterior_prior_and_likelihood_make_a_model_or_are_refused(posterior):
    q = posterior_of(posterior)
    latent = q(torch.zeros(1, *catalogue.EVENT)).event_shape
    built = set()
    for prior in catalogue.PRIORS:
        p = prior_of(prior)
        same = p(None, None).event_shape == latent
        for likelihood in catalogue.LIKELIHOODS:
            result = outcome(
                lambda p=p, name=likelihood: VAE(p, q, likelihood_of(name, tuple(latent)))
            )
            assert isinstance(result, VAE) == same, (prior, likelihood, result)
            assert same or "prior" in result
            if same:
                shape = likelihood_of(likelihood, tuple(latent)).event_shape
                assert result.latent_shape == tuple(latent)
                assert result.event_shape == shape
                built.add(prior)
    assert catalogue.POSTERIORS[posterior].prior in built


def contains(p: Distribution, z):
    """Whether these codes can come from ``p``."""
    return p.support is None or bool(p.support.check(z).all())


@pytest.mark.parametrize("posterior", catalogue.WITH_DENSITY)
def test_trainable_combinations_have_matching_supports(posterior):
    """Before training, either the prior has a density at every draw of the posterior, or the pair
    is refused by name.
    """
    q, refused = make_posterior(posterior), {}
    for prior in catalogue.PRIORS:
        p = catalogue.PRIORS[prior]()
        if p().event_shape != q(torch.zeros(1, *catalogue.EVENT)).event_shape:
            continue
        model = VAE(p, q, make_likelihood("normal-shared", tuple(p().event_shape)))
        rule = (
            gradients.Pathwise()
            if q(torch.zeros(1, *catalogue.EVENT)).has_rsample
            else gradients.LeaveOneOut()
        )
        sentence = outcome(lambda model=model, rule=rule: rule.check(model, objectives.ELBO(2)))
        if sentence is not None:
            refused[prior] = sentence
            continue
        terms = model.draw_terms(make_batch(model), 20)
        assert contains(p(), terms.z) and terms.z.shape[2:] == p().event_shape, prior
        assert terms.log_prior.isfinite().all() and terms.log_weight.shape == (
            20,
            catalogue.ROWS,
        ), prior
    own = catalogue.POSTERIORS[posterior].prior
    assert own not in refused
    assert all(
        "prior=priors." in line or "a prior on the same support" in line
        for line in refused.values()
    ), refused


@pytest.mark.parametrize("posterior", ["normal-diagonal", "categorical"])
def test_a_likelihood_for_another_latent_is_refused(posterior):
    prior = catalogue.PRIORS[catalogue.POSTERIORS[posterior].prior]()
    other = (5,) if posterior == "normal-diagonal" else (4, 3)
    for likelihood in catalogue.LIKELIHOODS:
        with pytest.raises(AevbError, match=r"tensor of shape .*`inputs`"):
            VAE(prior, make_posterior(posterior), make_likelihood(likelihood, other))


@pytest.mark.parametrize("posterior", ["iaf", "full_covariance", "planar"])
def test_a_vamp_prior_has_its_own_gaussian_heads_under_another_posterior(posterior):
    data = aevb.data.load("digits")
    model = aevb.presets.vae(data.spec, latent=2, hidden=[8], prior="vamp", posterior=posterior)
    heads = model.model.prior.posterior
    assert type(heads).__name__ == "Normal" and heads is not model.model.posterior
    network = model.model.posterior.arguments["network"]
    assert heads.arguments["network"] is network  # the encoder is shared
    assert aevb.evaluate(model.model, data.test, samples=2)["elbo"].value < 0
