"""Weights of rows: in every mean, for every objective and gradient, on every way of stepping."""

import copy
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from tests import catalogue
from tests.catalogue import EVENT, GRADIENTS, LATENT, OBJECTIVES, ROWS, make_vae

import aevb
from aevb import VAE, Batch, gradients, likelihoods, networks, objectives, posteriors, priors
from aevb._row_noise import RowNoise
from aevb.data import Rows
from aevb.errors import ArgumentError, IncompatibleError
from aevb.gradients._compatibility import check_row_weights
from aevb.training._step import TrainingStep, differentiate
from aevb.training._validation import summarise_terms

pytestmark = pytest.mark.usefixtures("float64")
KEPT = torch.tensor([0, 1, 3, 5])
WEIGHT = torch.tensor([1.0, 1.0, 0.0, 1.0, 0.0, 1.0])
CRITICS = {"total-correlation", "total-correlation-weighted", "factor", "adversarial", "gan"}


def batch_of(weight=None, likelihood="normal-shared"):
    torch.manual_seed(1)
    x = torch.rand(ROWS, *EVENT).round() if "bernoulli" in likelihood else torch.randn(ROWS, *EVENT)
    return Batch(x, None, torch.arange(ROWS), ROWS, weight)


def keep(batch):
    return Batch(batch.x[KEPT], None, batch.index[KEPT], batch.dataset_size)


def step_of(model, objective, gradient, batch, count=None):
    """Statistics, gradients and buffers; the draws of a row depend on the row alone."""
    parts = model, objective, gradient = copy.deepcopy((model, objective, gradient))
    parameters = [p for part in parts for p in part.parameters()]
    with RowNoise.from_batch(batch, 0, None).samples(count or objective.samples):
        result = differentiate(model, objective, gradient, parameters, batch, None)
    # chains of absent rows may move
    named = [each for part in parts for each in part.named_buffers()]
    buffers = [buffer for name, buffer in named if not name.startswith("chain_")]
    return result.statistics, result.gradients, buffers


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        pairs = [(one, other)] if isinstance(one, torch.Tensor) else zip(one, other, strict=True)
        for a, b in pairs:
            assert (a is None) == (b is None)
            if a is not None:  # statistics are float32
                tolerance = 1e-6 if a.dtype == torch.float32 else 1e-11
                torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def check_absent_rows(model, objective, gradient, likelihood="normal-shared", count=None):
    model.train()
    gradient.check(model, objective)
    whole = batch_of(WEIGHT, likelihood)
    step = partial(step_of, model, objective, gradient, count=count)
    plain, weighted = step(replace(whole, weight=None)), step(whole)
    assert_same(step(keep(whole)), weighted)
    assert not torch.equal(plain[0], weighted[0])
    equal = replace(whole, weight=torch.full((ROWS,), 3.0))
    assert_same(plain, step(equal))


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name not in CRITICS])
def test_rows_with_weight_0_are_absent_for_every_objective(name, monkeypatch):
    monkeypatch.setattr("aevb.objectives._elbo.FRESH_DRAWS", 2)  # as many as draws of the target
    check_absent_rows(make_vae(), OBJECTIVES[name](), gradients.Pathwise())


@pytest.mark.parametrize("name", GRADIENTS)
def test_rows_with_weight_0_are_absent_for_every_gradient(name):
    for posterior in ("normal-diagonal", "bernoulli"):
        # fantasies of the sleep phase and chains have one draw per row
        for objective in (
            ("iwae-1", "elbo") if "sleep" in name or "both" in name else ("elbo-3", "iwae-4")
        ):
            model, gradient = make_vae(posterior), GRADIENTS[name]()
            try:
                gradient.check(model, OBJECTIVES[objective]())
            except IncompatibleError:
                continue
            count = 1 if name.startswith("em") else None
            check_absent_rows(model, OBJECTIVES[objective](), gradient, count=count)
            return
    pytest.fail("no model of the catalogue fits")


@pytest.mark.parametrize("name", ["normal-optimal", "laplace-optimal", "missing-scaled"])
def test_running_scales_leave_absent_rows_out(name):
    check_absent_rows(make_vae(likelihood=name), objectives.ELBO(2), gradients.Pathwise(), name)


@pytest.mark.parametrize("name", catalogue.QUANTISED)
def test_codebooks_leave_absent_rows_out(name):
    posterior = catalogue.QUANTISED[name](networks.MLP(4, [8]))
    size = posterior(torch.zeros(1, *EVENT)).event_shape
    likelihood = likelihoods.Normal(networks.MLP(size.numel()), EVENT, latent_rank=len(size))
    model = VAE(priors.Codebook(posterior), posterior, likelihood)
    model.initialise_from_data(batch_of().x)
    check_absent_rows(model, objectives.ELBO(), gradients.Pathwise())


@pytest.mark.parametrize("name", sorted(CRITICS))
def test_estimates_from_whole_batches_refuse_weights(name):
    objective = OBJECTIVES[name]()
    assert not objective.takes_weights
    model = make_vae()
    rows = Rows.from_array(torch.randn(8, *EVENT), weights=torch.ones(8))
    with pytest.raises(IncompatibleError):
        aevb.fit(model, rows, objective=objective, epochs=1, device="cpu")
    with pytest.raises(IncompatibleError):
        differentiate(model, objective, gradients.Pathwise(), [], batch_of(WEIGHT), None)


def test_gradients_that_know_no_weights_are_refused():
    class Own(gradients.Pathwise):
        takes_weights = False

    with pytest.raises(IncompatibleError):
        check_row_weights(Own(), objectives.ELBO())


@pytest.mark.parametrize("objective", ["elbo", "iwae-4", "elbo-free-bits", "dip-1", "rae-l2"])
def test_a_weight_of_2_is_a_row_twice(objective):
    """Equal rows have equal draws."""
    model, objective = make_vae().train(), OBJECTIVES[objective]()
    twice = torch.tensor([0, 0, 1, 2, 2, 3, 4, 5])
    batch = batch_of(torch.bincount(twice).double())
    again = replace(batch, x=batch.x[twice], index=batch.index[twice], weight=None)
    gradient = gradients.Pathwise()
    assert_same(*(step_of(model, objective, gradient, each) for each in (batch, again)))


def test_parts_of_a_batch_are_averaged_by_their_weights():
    model = make_vae(posterior="dirac").train()
    batch = batch_of(torch.tensor([3.0, 1.0, 0.5, 0.0, 2.0, 4.0]))
    found = []
    for parts in (1, 3):  # without draws
        own = copy.deepcopy(model)
        optimizer = torch.optim.SGD(own.parameters(), lr=0.1)
        step = TrainingStep(
            own, objectives.Reconstruction(), gradients.Pathwise(), optimizer, None, parts
        )
        found.append((step(batch), [p.detach() for p in own.parameters()]))
    assert_same(*found)


def small_model():
    torch.manual_seed(0)
    likelihood = likelihoods.Normal(networks.MLP(LATENT, [8]), (3,))
    return VAE(priors.Normal(LATENT), posteriors.Normal(networks.MLP(3, [8]), LATENT), likelihood)


def fitted(rows, **settings):
    settings = {"epochs": 2, "batch_size": 4, "device": "cpu", "progress": False} | settings
    return aevb.fit(small_model(), rows, **settings)


def history_of(result):
    return [[each.bound, each.kl, each.validation] for each in result.history]


def test_fits_with_equal_weights_are_those_without():
    torch.set_default_dtype(torch.float32)
    x = np.random.default_rng(0).normal(size=(12, 3))
    rows, weighted = Rows.from_array(x), Rows.from_array(x, weights=np.full(12, 2.0))
    expected, found = (history_of(fitted(each, validation=each)) for each in (rows, weighted))
    np.testing.assert_allclose(found, expected, rtol=1e-5)  # float32


@pytest.mark.parametrize("compile", [True, False])
def test_compiled_and_stacked_steps_take_weights(compile):
    torch.set_default_dtype(torch.float32)
    x = np.random.default_rng(0).normal(size=(12, 3))
    rows = Rows.from_array(x, weights=np.arange(12.0))
    alone = fitted(rows, validation=rows, compile=False)
    plain = fitted(Rows.from_array(x), validation=rows, compile=False)
    assert alone.history[-1].bound != plain.history[-1].bound
    if compile:
        again = [fitted(rows, validation=rows, compile=True)]
    else:
        many = aevb.fit_many(
            [small_model(), small_model()],
            rows,
            validation=rows,
            epochs=2,
            batch_size=4,
            device="cpu",
            progress=False,
        )
        again = list(many)
    for each in again:
        np.testing.assert_allclose(history_of(each), history_of(alone), rtol=1e-4)


def test_the_validation_score_is_the_weighted_mean():
    terms = torch.tensor([[1.0, -2.0, 9.0], [0.5, 1.5, 9.0], [3.0, 4.0, 9.0]])
    score = summarise_terms(small_model(), terms, torch.tensor([3.0, 1.0, 0.0]))
    assert (score.bound, score.kl, score.log_likelihood) == (0.25, 0.75, -3.25)


def test_weights_belong_to_their_rows():
    rows = Rows.from_array(np.arange(8.0).reshape(4, 2), weights=[1, 2, 3, 4])
    assert rows.subset([3, 0]).weights.tolist() == [4, 1]
    assert rows.batch(torch.tensor([2, 1])).weight.tolist() == [3, 2]
    assert rows.to("cpu").weights.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("weights", [[1.0], [-1.0, 1, 1, 1], [np.nan, 1, 1, 1], [0.0] * 4])
def test_impossible_weights_are_refused(weights):
    with pytest.raises(ArgumentError):
        Rows.from_array(np.zeros((4, 2)), weights=weights)
