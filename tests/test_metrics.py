"""A number is reported of data that the model is about, or not at all."""

import pytest
import torch
from torch import nn

from aevb import VAE, likelihoods, metrics, networks, posteriors, priors
from aevb.data import load
from aevb.errors import DataError


def bernoulli() -> VAE:
    return VAE(priors.Normal(2), posteriors.Normal(networks.MLP(6, [8]), 2), likelihoods.Bernoulli(networks.MLP(2, [8]), (6,)))


@pytest.mark.parametrize("measure", [metrics.log_likelihood, metrics.rate_distortion, metrics.active_units, metrics.kl_per_dimension])
@pytest.mark.parametrize(
    "x, words",
    [
        (torch.full((4, 6), 255.0), "row 0 of `x` holds 255, outside the support of `likelihoods.Bernoulli`"),
        (torch.full((4, 6), 0.5), r"holds 0.5, outside.*ContinuousBernoulli"),
        (torch.full((4, 6), torch.nan), "row 0 of `x` holds NaN"),
        (torch.zeros(4, 5), r"`x` has events of shape \(5,\)"),
        (torch.zeros(0, 6), "`x` has no rows"),
    ],
)
def test_data_that_the_model_cannot_take_get_no_number(measure, x, words):
    with pytest.raises(DataError, match=words):
        measure(bernoulli(), x)


def test_a_variance_over_one_row_is_refused():
    with pytest.raises(DataError, match="at least 2"):
        metrics.active_units(bernoulli(), torch.zeros(1, 6))


def test_measuring_draws_nothing_and_moves_nothing_outside():
    """Rows that are binarised afresh, dropout and running means, in a model that is being trained."""
    rows = load((torch.arange(384).reshape(64, 6) % 17).byte(), binarise="dynamic").train
    noisy = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
    model = VAE(priors.Normal(2), posteriors.Normal(networks.MLP(6, [8]), 2), likelihoods.Bernoulli(noisy, (6,))).train()
    before, held = torch.get_rng_state(), [buffer.clone() for buffer in model.buffers()]
    assert metrics.log_likelihood(model, rows, samples=3) is not None
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(now, then) for now, then in zip(model.buffers(), held, strict=True))
    assert model.training
