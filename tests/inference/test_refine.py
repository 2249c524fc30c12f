"""Refinement of per-row posteriors: unbiased gain, and rows that cannot be optimised."""

import math

import pytest
import torch
from tests.linear import linear_vae, set_posterior, true_posterior

from aevb import gradients, inference, objectives

pytestmark = pytest.mark.usefixtures("float64")


def almost_exact_vae(error=1.02):
    """A linear-Gaussian model whose posterior leaves almost nothing to gain."""
    weight, offset, scale = torch.eye(4, 2), torch.zeros(4), torch.tensor(0.8)
    model = linear_vae(weight, offset, scale)
    gain, shift, covariance = true_posterior(weight, offset, scale)
    set_posterior(model, gain, shift, error * covariance.diagonal().sqrt())
    return model


def test_the_gain_is_measured_with_fresh_draws():
    """Draws that choose the better posterior of a row would never show that a choice was wrong."""
    model = almost_exact_vae()
    refined = inference.refine(model, model.sample(200), steps=3, lr=0.02)
    gain = refined.elbo_after - refined.elbo_before
    moved = gain != 0
    assert moved.sum() > 50
    assert (gain[moved] < 0).sum() > 5


def test_before_and_after_use_the_same_draws():
    model = almost_exact_vae()
    refined = inference.refine(model, model.sample(5), steps=0)
    assert torch.equal(refined.elbo_after, refined.elbo_before)


class NonFiniteRows(gradients.Pathwise):
    """Adds NaN to the loss of the first row at every second call."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def __call__(self, model, objective, batch):
        estimate = super().__call__(model, objective, batch)
        self.calls += 1
        if self.calls % 2:
            return estimate
        loc, _ = model.posterior.table(batch.index)
        return estimate.__class__(
            **{**vars(estimate), "loss": estimate.loss + math.nan * loc[0].sum()}
        )


def test_non_finite_gradients_skip_steps_of_the_affected_row_only():
    model = almost_exact_vae(error=3.0)
    x = model.sample(4)
    plain = inference.refine(model, x, steps=20)
    guarded = inference.refine(
        model, x, steps=20, objective=objectives.ELBO(samples=8), gradient=NonFiniteRows()
    )
    assert guarded.skipped_steps.tolist() == [10, 0, 0, 0]
    assert plain.skipped_steps.tolist() == [0, 0, 0, 0]
    assert torch.equal(guarded.elbo_after[1:], plain.elbo_after[1:])
    assert all(parameter.isfinite().all() for parameter in guarded.model.parameters())
    assert guarded.elbo_after[0] > guarded.elbo_before[0], "finite steps still improve the row"
