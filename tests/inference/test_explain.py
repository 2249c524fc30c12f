"""Contributions of cells against the conditional densities of linear Gaussian models."""

import math

import pytest
import torch
from tests.catalogue import make_vae
from tests.inference.test_condition import OFFSET, SCALE, WEIGHT, mixed_table
from tests.inference.test_impute import conditional, model_with_missing_cells
from tests.linear import evidence, exact_vae, true_posterior
from torch.distributions import Normal

from aevb import metrics
from aevb.errors import ArgumentError, DataError, IncompatibleError
from aevb.inference import _explain, explain

pytestmark = pytest.mark.usefixtures("float64")


def some_rows(model, n=3):
    return model.sample(n) + torch.tensor([0.0, 1.5, 0.0, 0.0])


def test_conditional_densities_are_those_of_the_gaussian():
    """From a proposal that is the prior, a little wider; one cell is missing."""
    model = model_with_missing_cells(WEIGHT, OFFSET, SCALE)
    x = some_rows(model)
    x[0, 3] = math.nan
    found = explain(model, x, samples=40_000, max_pairs=50_000)
    for row, conditionals, errors in zip(
        x, found.conditional, found.conditional_error, strict=True
    ):
        for cell in range(4):
            if row[cell].isnan():
                assert conditionals[cell] == 0 and errors[cell] < 1e-12
                continue
            others = row.clone()
            others[cell] = math.nan
            mean, covariance = conditional(WEIGHT, OFFSET, SCALE, others)
            place = int(others.isnan()[:cell].sum())
            deviation = covariance[place, place].sqrt()
            exact = Normal(mean[place], deviation).log_prob(row[cell])
            assert abs(conditionals[cell] - exact) < 5 * errors[cell] < 0.2
    assert (found.typical[0, 3], found.surprise[0, 3]) == (0, 0)


def test_standard_errors_are_the_spread_over_seeds():
    model = model_with_missing_cells(WEIGHT, OFFSET, SCALE)
    x = some_rows(model, 1)
    runs = [explain(model, x, samples=300, seed=seed) for seed in range(60)]
    for name in ("conditional", "expected", "log_p"):
        spread = torch.stack([getattr(run, name) for run in runs]).std(0)
        errors = torch.stack([getattr(run, f"{name}_error") for run in runs])
        # a deviation of 60 numbers is known to 9 %, and the delta method is approximate
        assert ((errors.square().mean(0).sqrt() / spread - 1).abs() < 0.4).all(), name


def test_expected_parts_sum_to_the_score_up_to_the_divergence():
    """With the exact posterior every weight is equal, and the parts are known integrals."""
    model = exact_vae(WEIGHT, OFFSET, SCALE)
    x = some_rows(model)
    found = explain(model, x, samples=20_000)
    assert torch.allclose(found.log_p, evidence(WEIGHT, OFFSET, SCALE, x), atol=1e-9)
    assert torch.allclose(found.expected.sum(1) - found.kl, found.log_p, atol=1e-9)
    gain, shift, covariance = true_posterior(WEIGHT, OFFSET, SCALE)
    mean = x @ gain.T + shift
    away = x - (mean @ WEIGHT.T + OFFSET)
    spread = torch.einsum("di,ij,dj->d", WEIGHT, covariance, WEIGHT)
    exact = Normal(0.0, SCALE).log_prob(away) - spread / (2 * SCALE**2)
    assert ((found.expected - exact).abs() < 5 * found.expected_error).all()
    kl = 0.5 * (covariance.trace() + mean.square().sum(1) - 2 - torch.logdet(covariance))
    error = found.expected_error.sum(1)
    assert ((found.kl - kl).abs() < 5 * error).all()
    # of the negative entropy of a Gaussian with the decoder's deviation
    typical = -0.5 * math.log(2 * math.pi * math.e * SCALE**2)
    assert ((found.typical - typical).abs() < 0.05).all()


def test_the_score_is_that_of_the_log_likelihood():
    model = make_vae()
    x = model.sample(3)
    found = explain(model, x, samples=50, seed=3)
    score = metrics.log_likelihood(model, x, 50, seed=3).per_datum
    assert torch.allclose(found.log_p, score.double(), atol=1e-9)


def test_the_wrong_cell_has_the_largest_surprise():
    """In tables, where densities have units, a rare name counts as much as a distant number."""
    model, _ = mixed_table()
    x = model.sample(200)
    x[0, 0], x[1, 1] = 9.0, 60.0
    found = explain(model, x, samples=50)
    assert found.top(1)[:2, 0].tolist() == [0, 1]
    assert found.top(2).shape == (200, 2) and found.top(9).shape == (200, 4)
    # z tells nothing here: the surprise of drawn rows is 0 on average, up to errors of two means
    spread = found.surprise[2:].std(0)
    assert (found.surprise[2:].mean(0).abs() < 5 * spread / math.sqrt(198)).all()


@pytest.mark.parametrize("limit", [1, 100, 10_000])
def test_explanations_do_not_depend_on_blocks(limit, monkeypatch):
    model = model_with_missing_cells(WEIGHT, OFFSET, SCALE)
    x = some_rows(model, 5)
    whole, done = explain(model, x, 40), []
    monkeypatch.setattr(_explain, "MAX_BUFFERED_SCORES", limit)
    found = explain(model, x, 40, max_pairs=7, on_progress=done.append)
    for name in ("log_p", "conditional", "conditional_error", "expected", "kl", "typical"):
        torch.testing.assert_close(getattr(found, name), getattr(whole, name))
    assert sum(done) == 200 and found.samples == 40
    torch.testing.assert_close(explain(model, x[3:], 40).typical, whole.typical[3:])


def test_what_cannot_be_explained_is_refused():
    for model in (make_vae("dirac"), make_vae(likelihood="autoregressive")):
        with pytest.raises(IncompatibleError):
            explain(model, torch.zeros(1, *model.event_shape))
    model = exact_vae(WEIGHT, OFFSET, SCALE)
    with pytest.raises(DataError):
        explain(model, torch.zeros(1, 3))
    with pytest.raises(ArgumentError):
        explain(model, torch.zeros(1, 4), samples=0)


def test_missing_cells_are_never_the_reason():
    model = model_with_missing_cells(WEIGHT, OFFSET, SCALE)
    x = OFFSET.repeat(2, 1)
    x[0, 1] = x[1, 0] = x[1, 2] = x[1, 3] = math.nan
    found = explain(model, x, 60)
    assert torch.equal(found.observed, ~x.isnan())
    assert 1 not in found.top(3)[0] and found.top(1)[1].item() == 1
