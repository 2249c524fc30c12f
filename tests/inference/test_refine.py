"""Refinement of per-row posteriors: unbiased gain, and rows that cannot be optimised."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from tests.catalogue import make_vae
from tests.linear import evidence, linear_vae, set_posterior, true_posterior
from torch.distributions import Normal, kl_divergence

from aevb import VAE, Batch, gradients, inference, objectives
from aevb._row_noise import RowNoise
from aevb._skipped_steps import learning_rate_limit
from aevb.errors import ArgumentError, DataError, NumericalError
from aevb.inference import _refine
from aevb.networks._parameter_table import TABLE_ENTRY_UNIT

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


# exact truths of the optimisation


class Slopes(gradients.Pathwise):
    """A loss with these slopes in the entries of each row, whatever the data are."""

    def __init__(self, slopes):
        super().__init__()
        self.slopes, self.noise = torch.as_tensor(slopes), []

    def __call__(self, model, objective, batch):
        estimate = super().__call__(model, objective, batch)
        self.noise.append(torch.randn(objective.samples, len(batch.x), 1))
        entries = model.posterior.table.entries
        loss = (self.slopes * entries).sum() / len(batch.x)  # losses are means over the rows
        return replace(estimate, loss=loss)


def optimise(slopes, steps, rows=3, lr=0.3, samples=2, gradient=None):
    """How far each entry moves from its start, in units of the parameters, and the gradient."""
    model, gradient = almost_exact_vae(), gradient or Slopes(slopes)
    batch = Batch(model.sample(rows), index=torch.arange(rows), dataset_size=rows)
    candidate = VAE(model.prior, _refine._initial_posterior(model, batch), model.likelihood)
    entries = candidate.posterior.table.entries
    before, noise = entries.detach().clone(), RowNoise.from_batch(batch, 5, None)
    objective = objectives.ELBO(samples=samples)
    skipped = _refine._optimise(candidate, batch, steps, lr, objective, gradient, noise)
    return TABLE_ENTRY_UNIT * (entries.detach() - before), gradient, noise, skipped


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_the_learning_rate_decreases_linearly_to_zero(steps):
    """A step of Adam with a constant slope has the length of its learning rate."""
    slopes = torch.tensor([[1.0, -2.0, 3.0, 1e5]])
    moved, _, _, skipped = optimise(slopes, steps)
    expected = -0.3 * sum(1 - step / steps for step in range(steps)) * slopes.sign()
    # the eps of Adam, 1e-8, shortens a step with the slope 1 by 1e-8
    torch.testing.assert_close(moved, expected.expand(3, 4), rtol=1e-7, atol=1e-12)
    assert skipped.tolist() == [0, 0, 0] and skipped.dtype == torch.int64


def test_a_skipped_step_leaves_the_moments_of_a_slope_of_zero():
    """After slopes 0 and 1, Adam has the moments 0.1 and 0.05, divided by 0.19 and 0.0975."""

    class Late(Slopes):
        def __call__(self, model, objective, batch):
            self.slopes = torch.tensor(1.0 if self.noise else math.nan)
            return super().__call__(model, objective, batch)

    moved, _, _, skipped = optimise(1.0, 2, gradient=Late(1.0))
    step = -0.15 * (0.1 / 0.19) / math.sqrt(0.05 / 0.0975)
    torch.testing.assert_close(moved, torch.full((3, 4), step), rtol=1e-6, atol=0)
    assert skipped.tolist() == [1, 1, 1]


@pytest.mark.parametrize("rows", [1, 4])
def test_a_step_does_not_depend_on_the_number_of_rows(rows):
    """A slope of the size of the eps of Adam halves the step."""
    moved = optimise(1e-8, 1, rows)[0]
    torch.testing.assert_close(moved, torch.full((rows, 4), -0.15), rtol=1e-6, atol=0)


def test_every_step_has_draws_of_its_own():
    _, gradient, noise, _ = optimise(1.0, 3, samples=2)
    with noise.samples(6):
        # the draws of the estimate come first
        torch.randn(6, 3, 2)
        expected = torch.randn(6, 3, 1)
    assert torch.equal(torch.cat(gradient.noise), expected)


def test_rows_without_a_finite_slope_stay():
    slopes = torch.ones(3, 4)
    slopes[1, 2], slopes[2] = math.nan, math.inf
    moved, _, _, skipped = optimise(slopes, 4)
    assert (moved[0] < -0.7).all() and (moved[1:] == 0).all() and skipped.tolist() == [0, 4, 4]


def test_the_refined_posterior_is_the_best_of_its_family():
    """The factorised Gaussian with the precisions and the mean of the true posterior."""
    weight, offset, scale = torch.tensor([[1.0, 0.5], [0.0, 1.0]]), torch.zeros(2), 0.8
    model = linear_vae(weight, offset, torch.tensor(scale))
    gain, shift, covariance = true_posterior(weight, offset, scale)
    set_posterior(model, 0.8 * gain, shift + 0.1, torch.tensor([0.9, 0.9]))
    x = model.sample(5)
    objective = objectives.ELBO(samples=32)
    refined = inference.refine(model, x, steps=150, objective=objective, seed=3)
    q, precision = refined.posterior, torch.linalg.inv(covariance)
    # slopes of 32 draws vary by 1/sqrt(32), and Adam averages some tens of them: 0.05 is 5 errors
    assert (q.mean - x @ gain.T - shift).abs().max() < 0.05
    assert (q.stddev - precision.diagonal().rsqrt()).abs().max() < 0.05
    gap = 0.5 * (precision.diagonal().log().sum() - torch.linalg.slogdet(precision)[1])
    best = evidence(weight, offset, scale, x) - gap
    with torch.no_grad():
        deviation = model.likelihood(q.sample((1000,))).log_prob(x).std(0)
    # the divergence is exact, the likelihood an average of 64 draws
    assert ((refined.elbo_after - best).abs() < 5 * deviation / 8).all()
    assert (refined.elbo_after - refined.elbo_before > 0.05).all()
    assert refined.model.posterior.n_rows == 5 and not refined.model.training
    assert all(parameter.requires_grad for parameter in refined.model.parameters())


def test_rows_whose_bound_falls_keep_their_parameters():
    model = almost_exact_vae(1.0)
    x = model.sample(3)
    refined = inference.refine(model, x, steps=1, lr=3.0)
    assert torch.equal(refined.elbo_after, refined.elbo_before)
    torch.testing.assert_close(refined.posterior.mean, model.infer(Batch(x)).mean)
    torch.testing.assert_close(refined.posterior.stddev, model.infer(Batch(x)).stddev)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_rows_do_not_depend_on_their_block(rows, monkeypatch):
    model = almost_exact_vae(1.5)
    x = model.sample(5)
    together = inference.refine(model, x, steps=4, seed=2)
    monkeypatch.setattr(_refine, "REFINE_BLOCK_ROWS", rows)
    found = inference.refine(model, x, steps=4, seed=2)
    for name in ("elbo_before", "elbo_after", "skipped_steps"):
        torch.testing.assert_close(getattr(found, name), getattr(together, name), msg=name)
    torch.testing.assert_close(found.posterior.mean, together.posterior.mean)
    assert found.elbo_before.dtype == torch.float64


def test_blocks_of_rows(monkeypatch):
    monkeypatch.setattr(_refine, "REFINE_BLOCK_ROWS", 2)
    x, context = torch.arange(5.0)[:, None], torch.arange(10.0).reshape(5, 2)
    batches = list(_refine._iter_batches(x, context))
    assert [len(batch.x) for batch in batches] == [2, 2, 1]
    assert torch.equal(torch.cat([batch.x for batch in batches]), x)
    assert torch.equal(torch.cat([batch.context for batch in batches]), context)
    assert [batch.index.tolist() for batch in batches] == [[0, 1], [0, 1], [0]]
    assert [batch.dataset_size for batch in batches] == [2, 2, 1]
    assert [batch.context for batch in _refine._iter_batches(x, None)] == [None] * 3


def test_bounds_are_averages_of_64_draws():
    model = almost_exact_vae(2.0)
    batch = Batch(model.sample(3), index=torch.arange(3), dataset_size=3)
    free = VAE(model.prior, _refine._initial_posterior(model, batch), model.likelihood)
    noise, entries = RowNoise.from_batch(batch, 0, None), free.posterior.table.entries.clone()
    found = _refine._elbo_per_row(free, batch, entries, noise)
    with noise.samples(64), torch.no_grad():
        terms = free.draw_terms(batch, 64)
    rate = kl_divergence(Normal(terms.q.mean, terms.q.stddev), Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(found, terms.log_likelihood.mean(0) - rate)


def test_gradients_without_reparametrised_draws_are_scores():
    objective, gradient = _refine._resolve_objective(almost_exact_vae(), None, None)
    assert isinstance(objective, objectives.ELBO) and objective.samples == 8
    assert isinstance(gradient, gradients.Pathwise)
    _, gradient = _refine._resolve_objective(make_vae("bernoulli", "bernoulli"), None, None)
    assert isinstance(gradient, gradients.LeaveOneOut)
    mine, score = objectives.ELBO(samples=3), gradients.LeaveOneOut()
    assert _refine._resolve_objective(almost_exact_vae(), mine, score) == (mine, score)


@pytest.mark.parametrize(
    "options, argument", [({"steps": -1}, "steps"), ({"lr": 0.0}, "lr"), ({"lr": math.nan}, "lr")]
)
def test_impossible_numbers_are_refused(options, argument):
    with pytest.raises(ArgumentError) as caught:
        inference.refine(almost_exact_vae(), torch.zeros(1, 4), **options)
    assert caught.value.argument == argument


def test_rates_that_could_overflow_are_refused():
    """The limit holds for the rate in units of the stored entries."""
    entries = torch.zeros(1, 2, requires_grad=True)
    adam = torch.optim.Adam([entries], betas=_refine.REFINE_ADAM_BETAS)
    limit = TABLE_ENTRY_UNIT * learning_rate_limit(adam)
    with pytest.raises(NumericalError):
        optimise(1.0, 0, lr=1.01 * limit)
    optimise(1.0, 0, lr=0.99 * limit)


def test_data_are_checked():
    model = almost_exact_vae()
    for x in (torch.zeros(0, 4), torch.zeros(2, 3), torch.full((2, 4), math.nan)):
        with pytest.raises(DataError) as caught:
            inference.refine(model, x)
        assert caught.value.argument == "x"


def test_the_model_is_not_changed():
    model = almost_exact_vae(2.0)
    before = copy.deepcopy(model.state_dict())
    refined = inference.refine(model, model.sample(2), steps=3)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    ours, theirs = set(model.parameters()), set(refined.model.parameters())
    assert not ours & theirs and all(parameter.requires_grad for parameter in ours)
    assert all(parameter.grad is None for parameter in ours | theirs)
