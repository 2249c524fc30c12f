"""Exact likelihoods and posteriors equal dense formulas, with missing cells and in any block."""

import itertools
import math

import numpy
import pytest
import scipy.stats
import torch
from tests.linear import linear_vae, set_posterior
from torch import nn

from aevb import VAE, Batch, likelihoods, metrics, networks, posteriors, priors
from aevb.errors import IncompatibleError
from aevb.metrics import _exact as exact

pytestmark = pytest.mark.usefixtures("float64")

WEIGHT = torch.tensor([[0.5, -1.0], [2.0, 0.3], [0.0, 0.7], [-0.4, 1.1]]).double()
OFFSET = torch.tensor([0.2, -1.0, 3.0, 0.0]).double()
VARIANCE = torch.tensor([0.5, 1.0, 0.1, 2.0]).double()
TRUTH = exact.LinearGaussian(WEIGHT, OFFSET, VARIANCE)


def rows(missing):
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 1
    if missing:
        x[0, 1], x[2, :3], x[4] = math.nan, math.nan, math.nan
    return x


def normal(mean, covariance):
    return scipy.stats.multivariate_normal(mean, covariance)


@pytest.mark.parametrize("missing", [False, True])
def test_evidence_and_posterior_of_the_observed_cells(missing):
    x, weight = rows(missing), WEIGHT.numpy()
    covariance = weight @ weight.T + numpy.diag(VARIANCE)
    found, posterior = TRUTH.log_prob(x), TRUTH.posterior(x)
    for index, row in enumerate(x.numpy()):
        seen = numpy.flatnonzero(~numpy.isnan(row))
        if not len(seen):
            expected, mean, spread = 0.0, numpy.zeros(2), numpy.eye(2)
        else:
            part = covariance[numpy.ix_(seen, seen)]
            away = row[seen] - OFFSET.numpy()[seen]
            expected = normal(OFFSET.numpy()[seen], part).logpdf(row[seen])
            gain = weight[seen].T @ numpy.linalg.inv(part)
            mean, spread = gain @ away, numpy.eye(2) - gain @ weight[seen]
        assert found[index].item() == pytest.approx(expected)
        numpy.testing.assert_allclose(posterior.mean[index], mean, atol=1e-12)
        numpy.testing.assert_allclose(
            posterior.covariance_matrix.expand(5, 2, 2)[index], spread, atol=1e-12
        )
    assert found.dtype == torch.float64


def divergence(mean, covariance, other_mean, other_covariance):
    inverse, away = numpy.linalg.inv(other_covariance), other_mean - mean
    return 0.5 * (
        numpy.trace(inverse @ covariance)
        + away @ inverse @ away
        - len(mean)
        + numpy.linalg.slogdet(other_covariance).logabsdet
        - numpy.linalg.slogdet(covariance).logabsdet
    )


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
@pytest.mark.parametrize("pairs", [1, 3, 100])
def test_decomposition_by_formula(covariance, pairs):
    model = linear_vae(WEIGHT, OFFSET, VARIANCE.sqrt(), covariance)
    gain, shift = torch.randn(2, 4), torch.tensor([0.4, -0.7])
    spread = torch.tensor([[0.6, 0.0], [0.3, 0.9]])
    spread = spread if covariance == "full" else spread.diagonal()
    set_posterior(model, gain, shift, spread)
    own = (spread @ spread.T if covariance == "full" else spread.square().diag()).numpy()
    x = rows(missing=False)
    parts = metrics.decomposition(model, x, max_pairs=pairs)
    posterior = TRUTH.posterior(x)
    weight, variance = WEIGHT.numpy(), VARIANCE.numpy()
    for index, row in enumerate(x):
        mean = (gain @ row + shift).numpy()
        away = row.numpy() - weight @ mean - OFFSET.numpy()
        fit = scipy.stats.norm.logpdf(away, scale=numpy.sqrt(variance)).sum()
        fit -= 0.5 * numpy.trace(weight @ own @ weight.T / variance)
        rate = divergence(mean, own, numpy.zeros(2), numpy.eye(2))
        gap = divergence(
            mean,
            own,
            posterior.mean[index].numpy(),
            numpy.linalg.inv(numpy.eye(2) + weight.T @ (weight / variance[:, None])),
        )
        assert parts.elbo[index].item() == pytest.approx(fit - rate)
        assert parts.gap[index].item() == pytest.approx(gap)
        assert parts.log_likelihood[index].item() == pytest.approx(fit - rate + gap)
    numpy.testing.assert_allclose(
        metrics.exact_log_likelihood(model, x, max_pairs=pairs), parts.log_likelihood
    )
    found = metrics.exact_posterior(model, x)
    numpy.testing.assert_allclose(found.mean, posterior.mean, atol=1e-10)


def test_missing_cells_count_in_no_term(monkeypatch):
    """Each term by its own formula, and they still add up."""
    model, x = linear_vae(WEIGHT, OFFSET, VARIANCE.sqrt()), rows(missing=True)
    set_posterior(model, torch.randn(2, 4), torch.zeros(2), torch.tensor([0.6, 0.9]))
    monkeypatch.setattr(exact, "_observed_cells", lambda model, batch: x)
    with torch.no_grad():
        parts = exact._decompose_by_formula(model, Batch(rows(missing=False)), 100)
    numpy.testing.assert_allclose(parts.log_likelihood, parts.elbo + parts.gap, atol=1e-9)
    numpy.testing.assert_allclose(parts.log_likelihood, TRUTH.log_prob(x), atol=1e-9)


def test_parameters_are_read_from_the_decoder():
    found = metrics.linear_gaussian(linear_vae(WEIGHT, OFFSET, VARIANCE.sqrt()))
    for part, expected in zip(
        (found.weight, found.offset, found.variance), (WEIGHT, OFFSET, VARIANCE), strict=True
    ):
        numpy.testing.assert_allclose(part, expected, atol=1e-9)


class Bent(nn.Module):
    """A linear map with a curvature."""

    def __init__(self, curvature):
        super().__init__()
        self.curvature, self.linear = curvature, nn.Linear(2, 3)

    def forward(self, z):
        return self.linear(z) + self.curvature * z[..., :1] ** 2 * (z[..., :1] > 1)


def gaussian_model(curvature=0.0, prior=None, **noise):
    return VAE(
        prior or priors.Normal(2),
        posteriors.Normal(networks.MLP(3), 2),
        likelihoods.Normal(Bent(curvature), (3,), **(noise or {"scale": 0.5})),
    )


@pytest.mark.parametrize("curvature, accepted", [(0.0, True), (1e-13, True), (1e-6, False)])
def test_bent_decoders_are_refused(curvature, accepted):
    model = gaussian_model(curvature)
    if accepted:
        assert metrics.exact_log_likelihood(model, torch.randn(4, 3)).isfinite().all()
    else:
        with pytest.raises(IncompatibleError):
            metrics.linear_gaussian(model)


@pytest.mark.parametrize(
    "model",
    [
        lambda: gaussian_model(scale="predicted"),
        lambda: gaussian_model(prior=priors.Mixture(2, components=2)),
        lambda: gaussian_model(prior=priors.Laplace(2)),
        lambda: VAE(
            priors.Normal(2),
            posteriors.Normal(networks.MLP(3), 2),
            likelihoods.Laplace(nn.Linear(2, 2), (3,)),
        ),
    ],
    ids=["noise", "mixture", "Laplace prior", "Laplace likelihood"],
)
def test_other_models_are_refused(model):
    with pytest.raises(IncompatibleError):
        metrics.exact_log_likelihood(model(), torch.randn(4, 3))


@pytest.mark.parametrize("mean, scale", [(0.0, 1.0), (0.3, 1.0), (0.0, 1.2)])
def test_only_the_standard_normal_prior_is_exact(mean, scale, monkeypatch):
    model = gaussian_model()
    prior = torch.distributions.Independent(
        torch.distributions.Normal(torch.tensor([0.0, mean]), torch.tensor([1.0, scale])), 1
    )
    monkeypatch.setattr(model.prior, "forward", lambda *args, **options: prior)
    if (mean, scale) == (0.0, 1.0):
        assert metrics.linear_gaussian(model).weight.shape == (3, 2)
    else:
        with pytest.raises(IncompatibleError):
            metrics.linear_gaussian(model)


# sums over states


def bits_model():
    return VAE(
        priors.Bernoulli(3),
        posteriors.Bernoulli(networks.MLP(4), 3),
        likelihoods.Bernoulli(networks.MLP(3, [5]), (4,)),
    )


@pytest.mark.parametrize("pairs", [1, 2, 5, 7, 1000])
def test_sums_over_states(pairs):
    model = bits_model()
    x = (torch.rand(5, 4) < 0.5).double()
    states = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)))
    with torch.no_grad():
        log_joint = torch.stack([model.log_joint(Batch(x), z.expand(1, 5, 3))[0] for z in states])
        q = model.infer(Batch(x))
        log_q = torch.stack([q.log_prob(z.expand(5, 3)) for z in states])
    evidence = log_joint.exp().sum(0).log()
    elbo = (log_q.exp() * (log_joint - log_q)).sum(0)
    parts = metrics.decomposition(model, x, max_pairs=pairs)
    numpy.testing.assert_allclose(parts.log_likelihood, evidence)
    numpy.testing.assert_allclose(parts.elbo, elbo)
    numpy.testing.assert_allclose(parts.gap, evidence - elbo)
    numpy.testing.assert_allclose(metrics.exact_log_likelihood(model, x, max_pairs=pairs), evidence)


def test_states_of_probability_0_do_not_count():
    log_q = torch.tensor([[-math.inf, math.log(0.25)], [0.0, math.log(0.75)]])
    value = torch.tensor([[math.inf, 4.0], [3.0, 8.0]])
    assert exact._expectation(log_q, value).tolist() == pytest.approx([3.0, 7.0])


@pytest.mark.parametrize("bits, summed", [(11, True), (12, True), (13, False)])
def test_at_most_4096_states(bits, summed):
    model = VAE(
        priors.Bernoulli(bits),
        posteriors.Bernoulli(nn.Flatten(), bits),
        likelihoods.Bernoulli(nn.Identity(), (2,)),
    )
    assert exact.count_latent_states(model) == 2**bits
    assert (exact.enumerable_latent(model) is not None) == summed
    assert exact.count_latent_states(gaussian_model()) is None
    assert exact.enumerable_latent(gaussian_model()) is None
