"""What an evaluation reports of the log-likelihood: values, details, and what tables show."""

import math
from types import SimpleNamespace

import pytest
import torch

from aevb.errors import IncompatibleError
from aevb.metrics import _log_likelihood_numbers as numbers
from aevb.metrics._estimate import Estimate
from aevb.metrics._log_likelihood import ConvergenceCurve, LogLikelihood
from aevb.notes import Note


def estimate(method="importance", **changes):
    fields = {
        "mean": -2.5,
        "standard_error": 0.5,
        "effective_sample_size": 3.25,
        "samples": 100,
        "per_datum": torch.tensor([-2.0, -3.0, -2.5]),
        "per_datum_error": torch.zeros(3),
        "lower_bound": Estimate(-3.5, 0.25),
        "method": method,
    }
    return LogLikelihood(**fields | changes)


def context_of(value, **changes):
    fields = {
        "log_likelihood": value,
        "unit": "nats per row",
        "measure": "density",
        "item_noun": "row",
        "has_elbo": True,
        "bracket": None,
    }
    return SimpleNamespace(**fields | changes)


def by_key(results):
    return {result.key: result for result in results if not isinstance(result, Note)}


def test_numbers_of_importance_sampling():
    curve = ConvergenceCurve((1, 100), (Estimate(-3.5, 0.25), Estimate(-2.5, 0.5)))
    shapes = torch.tensor([0.3, 0.7, 0.2])
    value = estimate(convergence_curve=curve, pareto_k=shapes)
    found = by_key(numbers.log_likelihood_numbers(context_of(value)))
    assert list(found) == [
        "log_likelihood",
        "log_likelihood.effective_sample_size",
        "log_likelihood.acceptance_rate",
        "log_likelihood.pareto_k",
        "lower_bound",
        "upper_bound",
    ]
    assert found["log_likelihood"].to_dict() == {
        "mean": -2.5,
        "standard_error": 0.5,
        "method": "importance",
        "samples": 100,
        "curve": [
            {"samples": 1, "mean": -3.5, "standard_error": 0.25},
            {"samples": 100, "mean": -2.5, "standard_error": 0.5},
        ],
        "zero_density_rows": [],
    }
    assert (found["log_likelihood"].unit, found["log_likelihood"].measure) == (
        "nats per row",
        "density",
    )
    assert found["log_likelihood.pareto_k"].to_dict() == {
        "median": pytest.approx(0.3),
        "reliable_fraction": pytest.approx(2 / 3),
    }
    assert found["log_likelihood.effective_sample_size"].value == 3.25
    assert str(found["log_likelihood.effective_sample_size"]) == "3.2 of 100"
    assert found["lower_bound"].to_dict() == {"mean": -3.5, "standard_error": 0.25}
    assert found["upper_bound"].value is None


SHOWN = {
    "importance": (True, False, True, False, True),
    "annealing": (True, True, False, True, True),
    "exact": (False, False, False, False, False),
}


@pytest.mark.parametrize("method", SHOWN)
def test_tables_show_what_a_method_has(method):
    changes = {"pareto_k": torch.tensor([0.1])} if method == "importance" else {}
    if method == "annealing":
        changes = {"acceptance_rate": 0.655, "upper_bound": Estimate(-1.0, 0.1)}
    found = by_key(numbers.log_likelihood_numbers(context_of(estimate(method, **changes))))
    keys = (
        "log_likelihood.effective_sample_size",
        "log_likelihood.acceptance_rate",
        "log_likelihood.pareto_k",
        "lower_bound",
        "upper_bound",
    )
    assert tuple(found[key].in_tables for key in keys) == SHOWN[method]
    assert found["log_likelihood"].in_tables
    rate = found["log_likelihood.acceptance_rate"]
    assert (rate.value, str(rate)) == ((0.655, "66 %") if method == "annealing" else (None, "-"))
    assert (found["upper_bound"].value is None) == (method != "annealing")
    assert found["log_likelihood"].details["curve"] is None


def test_unknown_rates_and_shapes():
    value = estimate("annealing", acceptance_rate=math.nan)
    found = by_key(numbers.log_likelihood_numbers(context_of(value)))
    assert str(found["log_likelihood.acceptance_rate"]) == "-"
    few = numbers._pareto_k_number(estimate(pareto_k=torch.tensor([math.nan, math.nan])))
    assert few.details["reliable_fraction"] is None and not few.in_tables
    some = numbers._pareto_k_number(estimate(pareto_k=torch.tensor([math.nan, 0.4])))
    assert some.value == pytest.approx(0.4) and some.in_tables


def test_rows_of_density_zero_are_noted():
    value = estimate(per_datum=torch.tensor([-1.0, -math.inf, -math.inf]))
    note, *rest = numbers.log_likelihood_numbers(context_of(value))
    assert (note.code, note.level, note.data) == ("zero_density_rows", "warning", {"rows": [1, 2]})
    assert by_key(rest)["log_likelihood"].details["zero_density_rows"] == [1, 2]


@pytest.mark.parametrize("has_elbo", [True, False])
def test_models_without_an_estimate(has_elbo):
    found = list(numbers.log_likelihood_numbers(context_of(None, has_elbo=has_elbo)))
    assert [(number.key, number.value, number.in_tables) for number in found] == [
        ("log_likelihood", None, has_elbo),
        ("lower_bound", None, False),
        ("upper_bound", None, False),
    ]


@pytest.mark.parametrize(
    "measure, has_elbo, has_estimate, expected",
    [
        ("probability", True, True, (2.5, 0.5)),
        ("probability", True, False, (4.0, 0.125)),
        ("density", True, True, None),
        ("mixed", True, True, None),
        ("probability", False, False, None),
        (None, True, True, None),
    ],
)
def test_bits_per_dimension(measure, has_elbo, has_estimate, expected):
    spec = None if measure is None else SimpleNamespace(measure=measure, dimensions=6)
    context = context_of(
        estimate() if has_estimate else None,
        spec=spec,
        has_elbo=has_elbo,
        rate_distortion=SimpleNamespace(elbo=Estimate(-4.0, 0.125)),
    )
    (number,) = numbers._bits_per_dimension_number(context)
    assert (number.value is None) == (expected is None) == (not number.in_tables)
    if expected:
        scale = 6 * math.log(2)
        assert (number.value, number.standard_error) == pytest.approx(
            (expected[0] / scale, expected[1] / scale)
        )
        assert number.digits == 4


def test_numbers_of_a_bracket():
    bracket = estimate(
        "annealing", samples=16, upper_bound=Estimate(-1.5, 0.125), bound_gap=Estimate(2.0, 0.0625)
    )
    found = by_key(numbers._bracket_numbers(context_of(None, bracket=bracket)))
    assert {key: (number.value, number.in_tables) for key, number in found.items()} == {
        "bracket": (None, False),
        "bracket.lower": (-3.5, True),
        "bracket.estimate": (-2.5, False),
        "bracket.upper": (-1.5, True),
        "bracket.gap": (2.0, True),
    }
    assert found["bracket"].to_dict() == {"n": 3, "chains": 16}
    assert found["bracket.gap"].standard_error == 0.0625


@pytest.mark.parametrize("bracket", [None, IncompatibleError("no chains")])
def test_a_bracket_that_is_missing(bracket):
    *notes, number = numbers._bracket_numbers(context_of(None, bracket=bracket))
    assert (number.key, number.value, number.in_tables) == ("bracket", None, False)
    assert [note.code for note in notes] == ["bracket_unavailable"] * (bracket is not None)
