"""Ensembles: the mean density of their members, as one model."""

import math

import pytest
import torch
from tests.refusals import refused
from torch import nn

import aevb
from aevb import VAE, inference, likelihoods, metrics, networks, posteriors, priors, testing
from aevb.data import CellCondition
from aevb.errors import IncompatibleError
from aevb.models import build_ensemble, first_member

HEAD_BIAS = "likelihood.noise.heads.head.bias"
CENTRES = torch.tensor([[0.0, 1.0], [2.0, -1.0], [-1.0, 3.0]])


def exact_member(centre):
    """A model that ignores z, with the posterior at the prior: every importance weight is p(x)."""
    encoder = networks.FillMissing(networks.MLP(2))
    decoder = likelihoods.Missing(likelihoods.Normal(nn.Identity(), (2,), 1.0))
    model = VAE(priors.Normal(1), posteriors.Normal(encoder, 1), decoder)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    dict(model.likelihood.named_parameters())[HEAD_BIAS].data += centre
    return model


def learned_member(seed):
    torch.manual_seed(seed)
    encoder = networks.FillMissing(networks.MLP(6, [8]))
    decoder = likelihoods.Missing(likelihoods.Normal(networks.MLP(2, [8]), (3,)))
    return VAE(priors.Normal(2), posteriors.Normal(encoder, 2), decoder)


@pytest.fixture
def ensemble():
    return build_ensemble([learned_member(seed) for seed in range(3)])


@pytest.fixture
def rows():
    x = torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
    x[2, 1] = torch.nan
    return x


def log_p(model, x, samples=300):
    return metrics.log_likelihood(model, x, samples, seed=3).per_datum


def test_identical_members_have_the_estimate_of_one():
    member, x = learned_member(0), torch.randn(5, 3)
    together = build_ensemble([member, member, member])
    # each draw has the noise of the single model, whichever member takes it: equal to rounding
    assert torch.allclose(log_p(together, x), log_p(member, x), atol=1e-5)


def test_the_density_is_the_mean_density_of_the_members():
    members = [exact_member(centre) for centre in CENTRES]
    x = torch.randn(6, 2)
    each = torch.stack([log_p(member, x, 12) for member in members])
    together = log_p(build_ensemble(members), x, 12)  # 4 draws of each member
    assert torch.allclose(together, each.logsumexp(0) - math.log(3), atol=1e-5)
    assert (together >= each.mean(0) - 1e-5).all() and (together <= each.amax(0) + 1e-5).all()


def test_any_number_of_samples_is_unbiased():
    members = [exact_member(centre) for centre in CENTRES]
    x = torch.linspace(-1, 1, 3000)[:, None] * torch.tensor([1.0, 0.5])
    exact = torch.stack([log_p(member, x, 1) for member in members]).exp().mean(0)
    ratio = log_p(build_ensemble(members), x, 1).exp() / exact
    # the member of the first draw depends on the row: five standard errors over rows
    assert abs(ratio.mean() - 1) < 5 * ratio.std() / len(x) ** 0.5


def test_numbers_depend_on_the_row_and_the_seed_only(ensemble, rows):
    some = rows[[4, 2]]
    assert torch.allclose(log_p(ensemble, some), log_p(ensemble, rows)[[4, 2]], atol=1e-5)
    whole, part = (inference.impute(ensemble, x, 60, draws=3, seed=0) for x in (rows, some))
    for name in ("x", "spread", "low", "high"):
        assert torch.allclose(getattr(whole, name)[2], getattr(part, name)[1], atol=1e-5), name
    assert torch.allclose(whole.draws[:, 2], part.draws[:, 1], atol=1e-5)
    explained = [inference.explain(ensemble, x, 60, seed=0).surprise for x in (rows, some)]
    assert torch.allclose(explained[0][[4, 2]], explained[1], atol=1e-4)


def test_members_count_by_their_weight_given_the_observed_cells():
    ensemble = build_ensemble([exact_member(centre) for centre in CENTRES])
    x = torch.tensor([[0.5, torch.nan]])
    found = inference.impute(ensemble, x, 3000, draws=4000, seed=0)
    share = torch.softmax(-0.5 * (x[0, 0] - CENTRES[:, 0]).square(), 0)
    mean = share @ CENTRES[:, 1]
    spread = (1 + share @ CENTRES[:, 1].square() - mean.square()).sqrt()
    assert torch.allclose(found.x[0, 1], mean, atol=1e-4)
    assert torch.allclose(found.spread[0, 1], spread, atol=1e-4)
    drawn = found.draws[:, 0, 1]
    assert abs(drawn.mean() - mean) < 5 * spread / len(drawn) ** 0.5  # standard errors


def test_conditions_have_the_mean_probability_of_the_members():
    ensemble = build_ensemble([exact_member(centre) for centre in CENTRES])
    found = inference.condition(ensemble, [CellCondition(0, ((0.5, math.inf),))], 50, samples=300)
    expected = (1 - torch.distributions.Normal(CENTRES[:, 0], 1.0).cdf(torch.tensor(0.5))).mean()
    assert found.probability == pytest.approx(expected.item(), rel=1e-4)
    assert (found.x[:, 0] >= 0.5).all()


def test_samples_come_from_each_member_equally_often():
    far = 100 * torch.arange(3.0)[:, None].expand(3, 2)
    drawn = build_ensemble([exact_member(centre) for centre in far]).sample(3000)
    shares = (drawn[:, 0] / 100).round().long().bincount(minlength=3) / 3000
    assert (shares - 1 / 3).abs().max() < 5 * (2 / 9 / 3000) ** 0.5  # of a binomial share


def test_latents_are_those_of_the_first_member(ensemble):
    first, x = first_member(ensemble), torch.randn(4, 3)
    z = inference.encode(ensemble, x)
    assert torch.equal(z, inference.encode(first, x)) and z.shape == (4, 2)
    assert torch.equal(inference.decode(ensemble, z), inference.decode(first, z))
    assert first_member(first) is first


def test_an_ensemble_is_saved_and_loaded(ensemble, rows, tmp_path):
    aevb.save(ensemble, tmp_path)
    loaded = aevb.load(tmp_path)
    assert loaded.capabilities.members == 3
    assert torch.equal(log_p(loaded, rows, 30), log_p(ensemble, rows, 30))


def test_the_likelihood_obeys_the_law_of_moments(ensemble):
    z = ensemble.prior().sample((4,))
    checked = testing.check_likelihood(ensemble.likelihood, z, laws=["moments"])
    assert checked.passed_laws == ("moments",)


def test_what_cannot_be_a_member_is_refused(ensemble):
    encoder = posteriors.Dirac(networks.MLP(3), 2)
    autoencoder = VAE(priors.Normal(2), encoder, likelihoods.Normal(networks.MLP(2), (3,)))
    with refused(IncompatibleError, "ensemble"):
        build_ensemble([autoencoder, autoencoder])
    with refused(IncompatibleError, "members"):
        build_ensemble([learned_member(0), exact_member(CENTRES[0])])
    others = build_ensemble([learned_member(seed) for seed in range(2)])
    with refused(IncompatibleError, "prior"):
        VAE(others.prior, ensemble.posterior, ensemble.likelihood)
    with refused(IncompatibleError, "model"):
        inference.refine(ensemble, torch.zeros(1, 3))
    with refused(IncompatibleError, "model"):
        aevb.fit_prior(ensemble, torch.randn(20, 3))
