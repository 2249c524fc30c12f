"""Rate, distortion and ELBO equal sums over the same draws, whatever the block size."""

import math

import numpy
import pytest
import scipy.stats
import torch
from tests.linear import linear_vae, set_posterior

from aevb import VAE, likelihoods, metrics, networks, posteriors, priors
from aevb._row_noise import RowNoise
from aevb.errors import ArgumentError
from aevb.inference._batches import iter_batches, seeded_evaluation
from aevb.inference._inputs import as_model_rows
from aevb.metrics import _rate_distortion as terms

pytestmark = pytest.mark.usefixtures("float64")


def normal_model():
    model = linear_vae(torch.randn(3, 2), torch.randn(3), 0.8)
    gain, shift = torch.randn(2, 3), torch.tensor([0.3, -1.0])
    set_posterior(model, gain, shift, torch.tensor([0.7, 0.2]))
    return model, torch.randn(7, 3)


def mixture_model():
    """The KL divergence from a mixture has no formula and is sampled."""
    model = VAE(
        priors.Mixture(2, components=3),
        posteriors.Normal(networks.MLP(3), 2),
        likelihoods.Normal(networks.MLP(2), (3,)),
    )
    return model, torch.randn(7, 3)


@pytest.mark.parametrize("make", [normal_model, mixture_model])
@pytest.mark.parametrize("samples", [1, 2, 5])
@pytest.mark.parametrize("block", [1, 3, 256])
def test_terms_of_each_row(make, samples, block):
    model, x = make()
    with seeded_evaluation(model, 5), torch.no_grad():
        (batch,) = iter_batches(as_model_rows(model, x), 7, torch.float64)
        with RowNoise.from_batch(batch, 5, model.constant_cells).samples(samples):
            drawn = model.draw_terms(batch, samples)
    fit = drawn.log_likelihood.numpy()
    if drawn.kl is None:
        rate = (drawn.log_posterior - drawn.log_prior).numpy()
    else:
        rate = numpy.broadcast_to(drawn.kl.numpy(), fit.shape)
    assert (drawn.kl is None) == (make is mixture_model)
    result = metrics.rate_distortion(model, x, samples, seed=5, block_size=block)
    rows = {"rate": rate.mean(0), "distortion": -fit.mean(0), "elbo": (fit - rate).mean(0)}
    for name, values in rows.items():
        found = getattr(result, name)
        assert (found.mean, found.standard_error) == pytest.approx(
            (values.mean(), scipy.stats.sem(values))
        )
    numpy.testing.assert_allclose(result.per_datum, [rows["rate"], rows["distortion"]])
    assert result.reconstruction.mean == pytest.approx(-rows["distortion"].mean())
    assert result.reconstruction.standard_error == result.distortion.standard_error
    if samples == 1:
        assert result.per_datum_error.isnan().all()
    else:
        numpy.testing.assert_allclose(result.per_datum_error, scipy.stats.sem(fit - rate))


def test_eight_draws_up_to_a_thousand_rows():
    assert [terms.elbo_samples(rows) for rows in (1, 1000, 1001)] == [8, 8, 1]
    model, x = normal_model()
    assert metrics.rate_distortion(model, x) == metrics.rate_distortion(model, x, 8, seed=0)


@pytest.mark.parametrize("argument", ["samples", "block_size"])
@pytest.mark.parametrize("value", [0, 2.5, 2**63])
def test_impossible_counts_are_refused(argument, value):
    with pytest.raises(ArgumentError) as error:
        metrics.rate_distortion(*normal_model(), **{argument: value})
    assert (error.value.argument, error.value.value) == (argument, value)


def test_an_autoencoder_has_no_rate():
    model = VAE(
        priors.Normal(2),
        posteriors.Dirac(networks.MLP(3), 2),
        likelihoods.Normal(networks.MLP(2), (3,)),
    )
    result = metrics.rate_distortion(model, torch.randn(4, 3))
    assert math.isnan(result.rate.mean) and math.isnan(result.elbo.mean)
    assert math.isfinite(result.distortion.mean)
