"""Errors of reconstructions equal plain formulas, whatever the block size."""

import math

import numpy
import pytest
import torch
from tests.linear import linear_vae, set_posterior

from aevb import VAE, likelihoods, metrics, networks, posteriors, priors
from aevb.data import Rows
from aevb.errors import ArgumentError, DataError
from aevb.metrics._intervals import interval_over_rows
from aevb.metrics._samples import _reconstruction as reconstruction
from aevb.objectives._ssim import ssim

pytestmark = pytest.mark.usefixtures("float64")


def model_and_errors(missing=False):
    """A linear model, 7 rows and the differences from their reconstructions."""
    weight, offset, gain = torch.randn(3, 2), torch.randn(3), torch.randn(2, 3)
    model = linear_vae(weight, offset, 0.5)
    set_posterior(model, gain, torch.zeros(2), torch.ones(2))
    x = torch.randn(7, 3)
    errors = x - (x @ gain.T @ weight.T + offset)
    return model, x, errors.numpy()


def same(interval, values, **options):
    expected = interval_over_rows(torch.as_tensor(values), **options)
    assert (interval.value, interval.low, interval.high) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )


@pytest.mark.parametrize("block", [1, 3, 256])
@pytest.mark.parametrize("span", [None, 0.5])
def test_squared_error_and_decibels(block, span):
    model, x, errors = model_and_errors()
    result = metrics.reconstruction_quality(model, x, span, block_size=block)
    squared, used = (errors**2).mean(1), span or (x.max() - x.min()).item()
    same(result.squared_error, squared, bounds=(0.0, math.inf))
    same(result.psnr, 10 * numpy.log10(used**2 / squared))
    assert result.ssim is None and result.data_range == pytest.approx(used)


def test_errors_in_units_of_each_element():
    model, x, errors = model_and_errors()
    units = torch.tensor([0.5, 2.0, 10.0])
    result = metrics.reconstruction_quality(model, x, units=units)
    same(result.squared_error, ((errors / units.numpy()) ** 2).mean(1), bounds=(0.0, math.inf))
    assert (result.psnr, result.ssim, result.data_range) == (None, None, None)
    constant = metrics.reconstruction_quality(model, torch.ones(3, 3), units=units)
    assert constant.squared_error.value > 0


@pytest.mark.parametrize(
    "x, options, error",
    [
        (torch.ones(3, 3), {}, ArgumentError),
        (torch.rand(3, 3), {"data_range": 0.0}, ArgumentError),
        (torch.rand(3, 3), {"data_range": math.nan}, ArgumentError),
        (torch.rand(3, 3), {"units": torch.ones(2)}, ArgumentError),
        (torch.rand(3, 3), {"units": torch.tensor([1.0, 0.0, 1.0])}, ArgumentError),
    ],
)
def test_ranges_and_units_are_positive(x, options, error):
    with pytest.raises(error) as caught:
        metrics.reconstruction_quality(model_and_errors()[0], x, **options)
    assert caught.value.argument == ("units" if "units" in options else "data_range")


def test_a_perfect_reconstruction_has_a_finite_number_of_decibels():
    """Errors count as no smaller than the rounding of float32 times the range."""
    model, _, _ = model_and_errors()
    set_posterior(model, torch.zeros(2, 3), torch.zeros(2), torch.ones(2))
    offset = model.likelihood.noise.heads.head.bias.detach()
    result = metrics.reconstruction_quality(model, offset.expand(2, 3), 3.0)
    limit = -20 * math.log10(torch.finfo(torch.float32).eps)
    assert result.psnr.value == pytest.approx(limit, abs=1e-9)


def image_model(shape):
    size = math.prod(shape)
    return VAE(
        priors.Normal(2),
        posteriors.Normal(networks.FillMissing(networks.MLP(2 * size)), 2),
        likelihoods.Missing(likelihoods.Normal(networks.MLP(2), shape, scale=0.5)),
    )


@pytest.mark.parametrize("shape", [(9, 8), (3, 9, 8)])
def test_images_have_a_structural_similarity(shape):
    model, x = image_model(shape), torch.rand(5, *shape)
    result = metrics.reconstruction_quality(model, x, 2.0, block_size=2)
    with torch.no_grad():
        decoded = model.decode(model.encode(x))
    images = [each if len(shape) == 3 else each.unsqueeze(1) for each in (x, decoded)]
    same(result.ssim, ssim(*images, 2.0))
    assert metrics.reconstruction_quality(model, x, units=torch.ones(shape)).ssim is None


def test_missing_cells_do_not_count():
    model, x = image_model((3, 8)), torch.rand(6, 3, 8)
    x[1, 0, :3], x[4] = math.nan, math.nan
    result = metrics.reconstruction_quality(model, x, 1.0)
    with torch.no_grad():
        decoded = model.decode(model.encode(x))
    kept = [0, 1, 2, 3, 5]
    squared = numpy.nanmean(((x - decoded).numpy()[kept] ** 2).reshape(5, -1), 1)
    same(result.squared_error, squared, bounds=(0.0, math.inf))
    assert result.ssim is None
    with pytest.raises(DataError):
        metrics.reconstruction_quality(model, x * math.nan, 1.0)


def test_range_of_more_rows_than_a_block():
    x = torch.zeros(4098, 1)
    x[4095], x[4096], x[4097] = 3.0, -2.0, 1.0
    assert reconstruction._value_range(Rows(x)) == (-2.0, 3.0, True)
    x[4097] = math.nan
    assert reconstruction._value_range(Rows(x)) == (-2.0, 3.0, False)
    x[:4096] = math.nan
    assert reconstruction._value_range(Rows(x)) == (-2.0, -2.0, False)
    with pytest.raises(DataError):
        reconstruction._value_range(Rows(x[:5]))
