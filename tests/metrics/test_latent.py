"""Information in latents equals plain formulas, whatever the block size."""

import math
from types import SimpleNamespace

import numpy
import pytest
import scipy.special
import scipy.stats
import torch
from tests.linear import linear_vae, set_posterior

from aevb import VAE, likelihoods, metrics, posteriors, priors
from aevb._row_noise import RowNoise
from aevb.errors import ArgumentError, DataError, IncompatibleError
from aevb.inference._batches import iter_batches, seeded_evaluation
from aevb.inference._inputs import as_model_rows
from aevb.metrics import _latent as latent
from aevb.metrics._intervals import random_groups

pytestmark = pytest.mark.usefixtures("float64")

GAIN = [[0.5, -0.2, 0.0], [0.01, 0.05, 0.03]]
SHIFT, SPREAD = [0.3, -1.0], [0.7, 0.2]


def model_and_rows(rows=11):
    model = linear_vae(torch.randn(3, 2), torch.randn(3), 0.8)
    set_posterior(model, *map(torch.tensor, (GAIN, SHIFT, SPREAD)))
    x = torch.randn(rows, 3) * torch.tensor([1.0, 3.0, 0.5])
    return model, x, x.numpy() @ numpy.array(GAIN).T + SHIFT


@pytest.mark.parametrize("block", [1, 4, 1024])
def test_means_variances_and_divergences(block):
    model, x, means = model_and_rows()
    numpy.testing.assert_allclose(latent.posterior_means(model, x, block_size=block), means)
    variance = means.var(0, ddof=1)
    found = metrics.active_units(model, x, block_size=block)
    numpy.testing.assert_allclose(found.variance, variance)
    assert found.count == (variance > 0.01).sum()
    low = variance.min()
    for threshold, count in ((0.999 * low, 2), (1.001 * low, 1), (2 * variance.max(), 0)):
        assert metrics.active_units(model, x, threshold, block_size=block).count == count
    squares = numpy.square(SPREAD)
    kl = 0.5 * (means**2 + squares - 1 - numpy.log(squares))
    numpy.testing.assert_allclose(metrics.kl_per_dimension(model, x, block_size=block), kl.mean(0))


def test_limits_of_rows_and_models():
    model, x, _ = model_and_rows()
    assert metrics.active_units(model, x[:2]).variance.isfinite().all()
    with pytest.raises(DataError):
        metrics.active_units(model, x[:1])
    autoencoder = VAE(
        priors.Normal(2),
        posteriors.Dirac(torch.nn.Identity(), 2),
        likelihoods.Normal(torch.nn.Identity(), (2,)),
    )
    assert metrics.kl_per_dimension(autoencoder, torch.zeros(3, 2)) is None
    with pytest.raises(IncompatibleError):
        metrics.latent_information(autoencoder, torch.zeros(3, 2))


@pytest.mark.parametrize("block", [1, 4, 256])
def test_information_of_one_draw_per_row(block):
    model, x, means = model_and_rows()
    with seeded_evaluation(model, 5), torch.no_grad():
        (batch,) = iter_batches(as_model_rows(model, x), 11, torch.float64)
        with RowNoise.from_batch(batch, 5, model.constant_cells).samples():
            z = model.infer(batch).sample().numpy()
    density = scipy.stats.norm.logpdf(z[:, None], means, SPREAD).sum(2)  # [draw, posterior]
    own, mixed = density.diagonal(), scipy.special.logsumexp(density, 1) - math.log(11)
    parts = own - mixed, mixed - scipy.stats.norm.logpdf(z).sum(1)
    result = metrics.latent_information(model, x, seed=5, block_size=block)
    assert result.n_rows == 11
    for found, values in zip((result.mutual_information, result.marginal_kl), parts, strict=True):
        assert (found.mean, found.standard_error) == pytest.approx(
            (values.mean(), scipy.stats.sem(values))
        )


def dependent_latents(rows, variables):
    return torch.randn(rows, variables) @ (torch.eye(variables) + 0.4)


def plain_total_correlation(z):
    covariance = numpy.cov(z.T)
    return 0.5 * (
        numpy.log(covariance.diagonal()).sum() - numpy.linalg.slogdet(covariance).logabsdet
    )


def excess(rows, variables):
    half = [(rows - 1 - i) / 2 for i in range(variables)]
    psi = scipy.special.digamma(half)
    return 0.5 * (variables * psi[0] - psi.sum())


@pytest.mark.parametrize(
    "rows, variables, groups, used",
    [(10, 3, 20, 2), (14, 3, 20, 2), (15, 3, 20, 3), (41, 2, 4, 4), (41, 2, 20, 10)],
)
def test_total_correlation_and_its_jackknife(rows, variables, groups, used):
    """Each group leaves enough rows for a covariance of the rest."""
    z = dependent_latents(rows, variables)
    group = random_groups(rows, used, 3).numpy()
    parts = [z.numpy()[group != g] for g in range(used)]
    plain = [plain_total_correlation(part) for part in parts]
    corrected = [p - excess(*part.shape) for p, part in zip(plain, parts, strict=True)]
    whole = plain_total_correlation(z.numpy())
    result = metrics.total_correlation(z, groups=groups, seed=3)
    for found, value, without in (
        (result.plug_in, whole, plain),
        (result.bias_corrected, whole - excess(rows, variables), corrected),
    ):
        error = math.sqrt((used - 1) * numpy.var(without))
        reach = scipy.stats.t.ppf(0.975, used - 1) * error
        low = value - reach if found is result.bias_corrected else max(0.0, value - reach)
        # the quantile is a series: 4e-4 above 4 degrees of freedom
        assert (found.value, found.high, found.low) == pytest.approx(
            (value, value + reach, low), rel=5e-4, abs=5e-4
        )
        assert found.value == pytest.approx(value, rel=1e-9)


def test_constant_latents_are_left_out_of_total_correlation():
    z = dependent_latents(30, 2)
    padded = torch.cat([z[:, :1], torch.full((30, 1), 4.0), z[:, 1:]], 1)
    assert metrics.total_correlation(padded) == metrics.total_correlation(z)
    assert metrics.total_correlation(z[:, :1]).plug_in.value == 0
    assert metrics.total_correlation(torch.ones(4, 3)).plug_in.value == 0


@pytest.mark.parametrize(
    "z, groups, error",
    [
        (torch.rand(9, 3), 20, DataError),
        (torch.rand(7, 2), 20, DataError),
        (torch.rand(0, 2), 20, DataError),
        (torch.tensor([[math.nan, 1.0]] + [[1.0, 2.0]] * 19), 20, DataError),
        (torch.rand(20, 2), 1, ArgumentError),
    ],
)
def test_total_correlation_needs_rows_and_groups(z, groups, error):
    with pytest.raises(error):
        metrics.total_correlation(z, groups=groups)


@pytest.mark.parametrize(
    "active, weights, text", [(3, True, "3 of 6"), (None, True, "-"), (0, False, "0 of 6")]
)
def test_number_of_active_units(active, weights, text):
    context = SimpleNamespace(
        active_units=None if active is None else metrics.ActiveUnits(active, torch.zeros(6)),
        model=SimpleNamespace(latent_shape=(2, 3)),
        has_importance_weights=weights,
    )
    (number,) = latent._active_units_number(context)
    assert (number.value, str(number), number.in_tables) == (active, text, weights)
