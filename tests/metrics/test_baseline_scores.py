"""Scores of baselines: the best of them, the paired difference, and what is reported."""

import math
from types import SimpleNamespace

import pytest
import torch

from aevb.metrics._baselines._fit import Baseline, Baselines
from aevb.metrics._baselines._scores import BaselineScores, _baseline_numbers

VALUES = {"independent": [-4.0, -6.0, -8.0], "gaussian": [-3.0, -5.0, -1.0], "mixture": [-9.0] * 3}


def baselines(**scores):
    """Baselines with given values for each set of rows."""
    members = tuple(Baseline(name, name.title(), abs, {"of": name}) for name in scores)
    found = Baselines(members, 1234, "A reason.")

    def log_prob(rows):
        return {name: torch.tensor(scores[name][:rows]).double() for name in members_of(rows)}

    def members_of(rows):
        return [name for name in scores if len(scores[name]) >= rows]

    object.__setattr__(found, "log_prob", log_prob)
    return found


def context(scores, **changes):
    bound = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 7.0]]).double()
    fields = {
        "baseline_scores": scores,
        "baselines": None if scores is None else scores.baselines,
        "has_elbo": True,
        "rate_distortion": SimpleNamespace(per_datum=bound),
        "log_likelihood": None,
        "unit": "nats per row",
        "measure": "density",
        "item_noun": "row",
    }
    return SimpleNamespace(**fields | changes)


def test_values_of_all_parts_in_their_order():
    scores = BaselineScores.of(baselines(**VALUES), 3, 2)
    assert scores.per_datum["gaussian"].tolist() == [-3.0, -5.0, -1.0, -3.0, -5.0]
    assert [each.name for each in scores.members] == list(VALUES)
    estimate = scores.estimate(scores.members[0])
    # a variance of 2.8 over (-4, -6, -8, -4, -6)
    assert (estimate.mean, estimate.standard_error) == pytest.approx((-5.6, math.sqrt(2.8 / 5)))


def test_a_baseline_without_values_for_a_part_is_left_out():
    short = VALUES | {"gaussian": [-3.0, -5.0]}
    scores = BaselineScores.of(baselines(**short), 2, 3)
    assert set(scores.per_datum) == {"independent", "mixture"}
    assert [each.name for each in scores.members] == ["independent", "mixture"]
    assert BaselineScores.of(baselines(**short), 3, 2).per_datum.keys() == scores.per_datum.keys()
    assert BaselineScores.of(None, 3) is None
    assert BaselineScores.of(baselines(gaussian=[-1.0]), 2) is None


def test_the_best_baseline_and_the_paired_difference():
    scores = BaselineScores.of(baselines(**VALUES), 3)
    assert scores.best.name == "gaussian"
    gain = scores.gain(torch.tensor([-2.0, -6.0, -4.0]))
    # the differences are 1, -1 and -3
    assert (gain.mean, gain.standard_error) == pytest.approx((-1.0, 2 / math.sqrt(3)))


@pytest.mark.parametrize(
    "changes, difference, of",
    [
        ({}, [-2.0, -2.0, -9.0], "ELBO"),  # minus rate and distortion, and minus the baseline
        (
            {"log_likelihood": SimpleNamespace(per_datum=torch.tensor([-2.0, -2.0, -2.0]))},
            [1.0, 3.0, -1.0],
            "log p(x)",
        ),
    ],
)
def test_numbers_of_a_model_with_a_bound(changes, difference, of):
    scores = BaselineScores.of(baselines(**VALUES), 3)
    numbers = {each.key: each for each in _baseline_numbers(context(scores, **changes))}
    members = [f"baselines.{name}" for name in VALUES]
    assert list(numbers) == ["baselines", *members, "baselines.difference"]
    head, last = numbers["baselines"], numbers["baselines.difference"]
    assert head.value is None and not head.in_tables
    assert head.details == {"n_train": 1234, "best": "gaussian"}
    values = torch.tensor(difference)
    assert last.value == pytest.approx(values.mean().item())
    assert last.standard_error == pytest.approx(values.std().item() / math.sqrt(3))
    assert last.details == {"of": of, "baseline": "gaussian"}
    for name, each in VALUES.items():
        number = numbers[f"baselines.{name}"]
        assert number.value == pytest.approx(sum(each) / 3) and number.details == {"of": name}
        assert (number.unit, number.measure) == ("nats per row", "density")
        # the reason why there is no joint baseline belongs to that of independent columns
        assert ("A reason." in number.meaning) == (name == "independent")
        assert "1,234" in number.meaning


def test_without_scores_or_a_bound_there_is_a_reason_at_most():
    scores = BaselineScores.of(baselines(**VALUES), 3)
    for changes in ({"has_elbo": False}, {"baseline_scores": None}):
        (number,) = _baseline_numbers(context(scores, **changes))
        assert (number.key, number.value, number.meaning) == ("baselines", None, "A reason.")
        assert not number.in_tables
    (number,) = _baseline_numbers(context(None))
    assert number.meaning == ""
    empty = SimpleNamespace(per_datum=None)
    assert list(_baseline_numbers(context(scores, rate_distortion=empty))) == []
