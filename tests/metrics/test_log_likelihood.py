"""Estimates of log p(x) collect those of their blocks of rows, with every field."""

import math
from dataclasses import replace

import numpy
import pytest
import scipy.stats
import torch

from aevb import VAE, Batch, likelihoods, metrics, networks, posteriors, priors
from aevb.errors import ArgumentError, NumericalError
from aevb.inference import AISOptions, annealed_importance_sampling, importance_weights
from aevb.inference._batches import seeded_evaluation
from aevb.inference._pareto import pareto_k_threshold
from aevb.metrics import _log_likelihood as estimates

pytestmark = pytest.mark.usefixtures("float64")
ANNEALING = AISOptions(temperatures=2)


def normal_model():
    return VAE(
        priors.Normal(2),
        posteriors.Normal(networks.MLP(3, [4]), 2),
        likelihoods.Normal(networks.MLP(2, [4]), (3,), scale=0.7),
    )


def bits_model():
    return VAE(
        priors.Bernoulli(2),
        posteriors.Bernoulli(networks.MLP(3), 2),
        likelihoods.Bernoulli(networks.MLP(2, [4]), (3,)),
    )


def same(estimate, values):
    values = numpy.asarray(values)
    assert (estimate.mean, estimate.standard_error) == pytest.approx(
        (values.mean(), scipy.stats.sem(values))
    )


@pytest.mark.parametrize("pairs", [3, 40, 10_000])
@pytest.mark.parametrize("defensive", [0.0, 0.3])
def test_importance_sampling_of_blocks(pairs, defensive):
    model, x, done = normal_model(), torch.randn(7, 3).float().double(), []
    with seeded_evaluation(model, 5):
        parts = importance_weights(model, Batch(x), 30, defensive=defensive, seed=5)
    result = metrics.log_likelihood(
        model, x, 30, defensive=defensive, seed=5, max_pairs=pairs, on_progress=done.append
    )
    assert sum(done) == 7 * 30
    numpy.testing.assert_allclose(result.per_datum, parts.log_mean, rtol=1e-10)
    numpy.testing.assert_allclose(result.per_datum_error, parts.log_mean_error, rtol=1e-6)
    same(result.value, parts.log_mean)
    same(result.lower_bound, parts.elbo)
    assert result.elbo == result.lower_bound
    assert result.effective_sample_size == pytest.approx(parts.effective_sample_size.mean().item())
    numpy.testing.assert_allclose(result.pareto_k, parts.pareto_k, rtol=1e-6)
    assert (result.samples, result.method) == (30, "importance")
    assert result.upper_bound is result.bound_gap is result.acceptance_rate is None
    assert result.convergence_curve.samples == (1, 2, 4, 8, 16, 30)
    for value, row in zip(result.convergence_curve.values, parts.curve, strict=True):
        same(value, row)
    if defensive:
        assert result.rate_distortion is None
    else:
        terms = result.rate_distortion
        same(terms.distortion, parts.distortion)
        same(terms.rate, -parts.elbo - parts.distortion)
        numpy.testing.assert_allclose(terms.per_datum_error, parts.elbo_error)


@pytest.mark.parametrize("pairs", [2, 10_000])
def test_annealing_of_blocks(pairs):
    model, x, done = normal_model(), torch.randn(3, 3).float().double(), []
    with seeded_evaluation(model, 5):
        parts = annealed_importance_sampling(model, Batch(x), 3, ANNEALING, seed=5)
    result = metrics.log_likelihood(
        model,
        x,
        3,
        "annealing",
        annealing=ANNEALING,
        seed=5,
        max_pairs=pairs,
        on_progress=done.append,
    )
    assert sum(done) == ANNEALING.total_moves(3, 3)
    numpy.testing.assert_allclose(result.per_datum, parts.log_mean, rtol=1e-6)
    numpy.testing.assert_allclose(result.per_datum_error, parts.log_mean_error, rtol=1e-6)
    same(result.lower_bound, parts.lower)
    assert result.effective_sample_size == pytest.approx(parts.effective_sample_size.mean().item())
    assert result.acceptance_rate == pytest.approx(parts.acceptance.mean().item())
    assert (result.samples, result.method) == (3, "annealing")
    assert result.upper_bound is result.pareto_k is result.rate_distortion is None


@pytest.mark.parametrize("method", ["exact", "annealing"])
@pytest.mark.parametrize("pairs", [1, 10_000])
def test_discrete_latents_are_summed_over(method, pairs):
    model, x = bits_model(), (torch.rand(5, 3) < 0.5).double()
    result = metrics.log_likelihood(model, x, method=method, max_pairs=pairs)
    truth = metrics.exact_log_likelihood(model, x)
    numpy.testing.assert_allclose(result.per_datum, truth)
    assert (result.samples, result.method) == (0, "exact")
    same(result.value, truth)
    assert result.lower_bound == result.upper_bound == result.value
    assert (result.bound_gap.mean, result.bound_gap.standard_error) == (0, 0)
    assert result.per_datum_error.tolist() == [0.0] * 5
    assert math.isnan(result.effective_sample_size) and result.reliable_fraction is None


@pytest.mark.parametrize("pairs", [10, 10_000])
def test_bracket_of_rows_in_blocks(pairs):
    """Any number of rows is drawn, and each bound belongs to its row."""
    done = []
    result = metrics.bidirectional_monte_carlo(
        normal_model(), 3, 2, annealing=ANNEALING, max_pairs=pairs, on_progress=done.append
    )
    assert len(result.per_datum) == 3 and (result.samples, result.method) == (2, "annealing")
    assert sum(done) == ANNEALING.total_moves(3, 2, bidirectional=True)
    assert result.bound_gap.mean == pytest.approx(result.upper_bound.mean - result.lower_bound.mean)
    exact = metrics.bidirectional_monte_carlo(bits_model(), 5, 2, max_pairs=pairs)
    assert len(exact.per_datum) == 5 and exact.bound_gap.mean == 0
    for options in ({"n": 0}, {"samples": 0}, {"max_pairs": 0}):
        with pytest.raises(ArgumentError):
            metrics.bidirectional_monte_carlo(normal_model(), **options)


def test_chains_of_a_bracket_start_where_tails_are_wide():
    assert estimates.default_chain_start(normal_model()) == "posterior"
    positive = VAE(
        priors.Exponential(2),
        posteriors.Exponential(networks.MLP(3), 2),
        likelihoods.Normal(networks.MLP(2), (3,)),
    )
    assert estimates.default_chain_start(positive) == "prior"
    rows = VAE(
        priors.Normal(2),
        posteriors.NonAmortised(posteriors.Normal(networks.MLP(3), 2), 4),
        likelihoods.Normal(networks.MLP(2), (3,)),
    )
    assert estimates.default_chain_start(rows) == "prior"


@pytest.fixture
def result():
    return estimates.LogLikelihood(
        mean=-2.0,
        standard_error=0.5,
        effective_sample_size=3.0,
        samples=1000,
        per_datum=torch.tensor([-1.0, -math.inf, -3.0, math.inf, -math.inf]),
        per_datum_error=torch.zeros(5),
        lower_bound=None,
    )


@pytest.mark.parametrize("samples", [1, 2, 100, 1000, 5000])
def test_reliable_rows_have_a_small_pareto_k(result, samples):
    limit = pareto_k_threshold(samples)
    shapes = torch.tensor([limit - 0.01, limit - 0.1, limit + 0.01, math.nan, -9.0])
    found = replace(result, samples=samples, pareto_k=shapes)
    assert found.reliable_fraction == pytest.approx(3 / 5)
    assert replace(found, pareto_k=shapes * math.nan).reliable_fraction is None
    assert found.zero_density_rows.tolist() == [1, 4]


@pytest.mark.parametrize(
    "count, listed", [(1, "0"), (3, "0, 1, 2"), (4, "0, 1, 2 and 1 more"), (9, None)]
)
def test_three_rows_are_listed(count, listed):
    assert estimates.list_rows(list(range(count))) == (listed or "0, 1, 2 and 6 more")


def test_a_row_without_a_number_is_named():
    with pytest.raises(NumericalError, match="row 2 "):
        estimates._summarise(
            torch.tensor([1.0, math.inf, math.nan, math.nan]), torch.zeros(4), torch.zeros(4)
        )


@pytest.mark.parametrize(
    "changes, argument",
    [
        ({}, None),
        ({"samples": 1}, None),
        ({"samples": 0}, "samples"),
        ({"samples": -1, "method": "annealing"}, "samples"),
        ({"samples": 5, "method": "exact"}, "samples"),
        ({"defensive": 0.99}, None),
        ({"defensive": 0}, None),
        ({"defensive": 1.0}, "defensive"),
        ({"defensive": -0.01}, "defensive"),
        ({"defensive": "0.1"}, "defensive"),
        ({"defensive": 0.1, "method": "annealing"}, "defensive"),
        ({"annealing": None}, "annealing"),
        ({"annealing": ANNEALING}, "annealing"),
        ({"annealing": ANNEALING, "method": "annealing"}, None),
        ({"method": "nuts"}, "method"),
        ({"max_pairs": 0}, "max_pairs"),
        ({"max_pairs": 1}, None),
    ],
)
def test_options_of_methods(changes, argument):
    options = {"method": "importance", "samples": None, "annealing": AISOptions(), "defensive": 0.0}
    if argument is None:
        estimates.check_likelihood_arguments(**options | changes)
    else:
        with pytest.raises(ArgumentError) as caught:
            estimates.check_likelihood_arguments(**options | changes)
        assert caught.value.argument == argument


def test_default_numbers_of_samples():
    model, x = normal_model(), torch.randn(2, 3)
    assert metrics.log_likelihood(model, x).samples == 100
    assert metrics.log_likelihood(model, x, method="annealing", annealing=ANNEALING).samples == 16
