"""The check against classical models: which numbers are compared, and what is recommended."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from aevb import likelihoods
from aevb.metrics import DoctorThresholds
from aevb.metrics._doctor import _baseline_check as checks
from aevb.metrics._estimate import Estimate

LIMITS = DoctorThresholds()


def context_of(**changes):
    fields = {
        "thresholds": LIMITS,
        "has_few_rows": False,
        "history": [],
        "best_epoch": None,
        "baselines": SimpleNamespace(n_rows=1000),
        "log_likelihood": None,
        "rows": "rows",
        "importance_rows": "some",
        "reference_importance_rows": None,
        "reference_log_likelihood": None,
        "rate_distortion": SimpleNamespace(per_datum=torch.tensor([[1.0, 2.0], [5.0, 9.0]])),
        "model": model_of("fixed"),
    }
    return SimpleNamespace(**fields | changes)


def model_of(scale, latent=(2,), event=(5,), has_density=True):
    kinds = {"fixed": 0.5, "none": None}
    likelihood = likelihoods.Normal(nn.Identity(), (5,), scale=kinds.get(scale, scale) or 1.0)
    return SimpleNamespace(
        posterior=SimpleNamespace(has_density=has_density),
        likelihood=nn.Identity() if scale == "none" else likelihood,
        latent_shape=latent,
        event_shape=event,
        capabilities=SimpleNamespace(members=1),
    )


def estimate_of(values, reliable=1.0, pareto_k=None):
    return SimpleNamespace(
        per_datum=torch.tensor(values), reliable_fraction=reliable, pareto_k=pareto_k
    )


@pytest.mark.parametrize(
    "changes, values, rows",
    [
        ({}, [-6.0, -11.0], ("rows",)),
        ({"log_likelihood": estimate_of([-3.0, -4.0])}, [-3.0, -4.0], ("some",)),
        (
            {
                "log_likelihood": estimate_of([-3.0]),
                "reference_importance_rows": "more",
                "reference_log_likelihood": estimate_of([-7.0, -8.0]),
            },
            [-3.0, -7.0, -8.0],
            ("some", "more"),
        ),
        (
            {"log_likelihood": estimate_of([-3.0]), "reference_importance_rows": "more"},
            [-3.0],
            ("some",),
        ),
        ({"baselines": None}, None, None),
        ({"model": model_of("fixed", has_density=False)}, None, None),
        ({"rate_distortion": SimpleNamespace(per_datum=None)}, None, ("rows",)),
    ],
)
def test_values_per_row_and_the_rows_of_baselines(changes, values, rows, monkeypatch):
    monkeypatch.setattr(
        checks, "BaselineScores", SimpleNamespace(of=lambda baselines, *parts: parts)
    )
    _, found, scored = checks._model_and_baselines(context_of(**changes))
    assert (None if found is None else found.tolist()) == values
    assert scored == rows


@pytest.mark.parametrize(
    "gain, error, few, found",
    [
        (-0.11, 0.05, False, True),  # two errors
        (-0.09, 0.05, False, False),
        (-0.06, 0.01, False, True),  # 0.05 nats
        (-0.04, 0.01, False, False),
        (-0.11, 0.05, True, False),
        (9.0, 0.05, False, False),
    ],
)
@pytest.mark.parametrize("reliable", [None, 0.0, 0.4, 0.5, 1.0])
def test_a_better_baseline(gain, error, few, found, reliable, monkeypatch):
    best = SimpleNamespace(title="Gaussian", caveat="")
    scores = SimpleNamespace(
        gain=lambda values: Estimate(gain, error),
        best=best,
        estimate=lambda baseline: Estimate(-7.25, 0.5),
    )
    monkeypatch.setattr(checks, "BaselineScores", SimpleNamespace(of=lambda *parts: scores))
    context = context_of(log_likelihood=estimate_of([-3.0, -4.0], reliable), has_few_rows=few)
    result = checks._baseline(context)
    assert (result.finding is not None) == found
    assert result.numbers == {"gain": gain, "error": error, "baseline": -7.25}
    assert bool(checks._reliability_sentence(context)) == (reliable in (0.0, 0.4))
    context.baselines = None
    assert checks._baseline(context) is None


@pytest.mark.parametrize(
    "k, gain, untrusted",
    [(0.9, 2.0, True), (0.9, 0.1, False), (0.5, 2.0, False)],
    ids=["heavy", "converged", "light"],
)
def test_heavy_tails_of_the_weights_come_first_in_the_advice(k, gain, untrusted):
    """Weights with Pareto k above 0.7 whose last doubling gained more than 0.3 nats."""
    curve = SimpleNamespace(samples=[50, 100], values=[Estimate(-5, 0.1), Estimate(-5 + gain, 0.1)])
    estimate = estimate_of([-3.0, -4.0], pareto_k=torch.full((2,), k))
    estimate.convergence_curve, estimate.standard_error = curve, 0.5
    context = context_of(log_likelihood=estimate)
    first = next(argument.name for _, argument in checks._advice(context))
    assert (first == "method") == untrusted
    assert bool(checks._reliability_sentence(context)) == untrusted


def run_of(epochs, steps, best=None):
    numbers = range(1, epochs + 1)
    history = [
        SimpleNamespace(epoch=n, step=steps - 1000 * (epochs - n), targets_elbo=True)
        for n in numbers
    ]
    return {"history": history, "best_epoch": best and SimpleNamespace(epoch=best)}


@pytest.mark.parametrize(
    "changes, epochs",
    [
        ({}, None),
        (run_of(10, 4999), 30),
        (run_of(10, 5000), None),
        (run_of(10, 1000), 50),
        (run_of(10, 700), 72),
        (run_of(10, 0), 50_000),
        (run_of(10, 1000, best=9), 50),
        (run_of(20, 5000 - 1, best=18), 60),
        (run_of(20, 5000 - 1, best=17), None),
        (run_of(11, 1000, best=9), None),
    ],
)
def test_longer_runs(changes, epochs):
    advice = {
        argument.name: argument.value for _, argument in checks._advice(context_of(**changes))
    }
    assert advice.get("epochs") == epochs
    assert advice["objective"] == "iwae"


def test_a_tighter_bound_is_for_models_of_the_elbo():
    changes = run_of(10, 5000)
    changes["history"][-1].targets_elbo = False
    advice = {
        argument.name: argument.value for _, argument in checks._advice(context_of(**changes))
    }
    assert "objective" not in advice and advice["samples"] == 20


@pytest.mark.parametrize(
    "latent, event, expected",
    [((2,), (5,), 4), ((3,), (5,), 5), ((5,), (5,), None), ((2, 2), (3, 3), 8), ((6,), (5,), None)],
)
def test_more_latent_variables(latent, event, expected):
    context = context_of(model=model_of("fixed", latent, event))
    advice = {argument.name: argument.value for _, argument in checks._advice(context)}
    assert advice.get("latent") == expected


@pytest.mark.parametrize(
    "scale, rows, expected",
    [
        ("fixed", 1000, "per_element"),
        ("shared", 1000, "predicted"),
        ("per_element", 1000, "predicted"),
        ("per_element", 999, None),
        ("predicted", 1000, None),
        ("none", 1000, None),
    ],
)
def test_scales_of_the_likelihood(scale, rows, expected):
    context = context_of(model=model_of(scale), baselines=SimpleNamespace(n_rows=rows))
    advice = {argument.name: argument.value for _, argument in checks._advice(context)}
    assert advice.get("scale") == expected
    if scale == "shared":
        context.baselines = None
        assert "scale" not in {argument.name for _, argument in checks._advice(context)}
