"""Checks of the training: each sign on its own, on both sides of its threshold."""

import itertools
import math
from types import SimpleNamespace

import pytest
import torch

from aevb.metrics import ActiveUnits, DoctorThresholds
from aevb.metrics._doctor import _training_checks as checks
from aevb.metrics._estimate import Estimate

LIMITS = DoctorThresholds()


def epoch(number, **changes):
    fields = {
        "epoch": number,
        "bound": -10.0,
        "learning_rate": 1e-3,
        "beta": None,
        "skipped_steps": 0,
        "step": 100 * number,
        "validation": None,
        "schedules_finished": True,
        "relative_update": 0.01,
    }
    return SimpleNamespace(**fields | changes)


def context_of(history=(), **changes):
    scored = [each for each in history if each.validation is not None]
    fields = {
        "history": list(history),
        "thresholds": LIMITS,
        "dead_unit_share": None,
        "rate_distortion": terms(rate=4.0),
        "train_rate_distortion": None,
        "best_epoch": max(scored, key=lambda each: each.validation, default=None),
        "has_few_rows": False,
        "model": SimpleNamespace(posterior=SimpleNamespace(has_density=True)),
    }
    return SimpleNamespace(**fields | changes)


def terms(rate=4.0, elbo=-20.0, error=0.0):
    return SimpleNamespace(rate=Estimate(rate, 0.0), elbo=Estimate(elbo, error))


def code(result):
    return result.finding and result.finding.code


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("beta", [None, 0.5])
def test_schedules_end_before_the_run(finished, beta):
    others = [epoch(number, schedules_finished=not finished) for number in (1, 2)]
    history = [*others, epoch(3, schedules_finished=finished, beta=beta)]
    result = checks._unfinished_schedules(context_of(history))
    assert code(result) == (None if finished else "schedules_unfinished")
    if not finished:
        assert "epochs" not in str(result.finding.recommendation)  # longer training is no cure
        assert ("0.5" in str(result.finding.observation)) == (beta is not None)
    assert checks._unfinished_schedules(context_of([])) is None


def healthy(**last):
    return [*(epoch(number, bound=-10.0 + number) for number in range(1, 8)), epoch(8, **last)]


@pytest.mark.parametrize(
    "last, changes, found",
    [
        ({"bound": -2.0}, {}, False),
        ({"bound": -2.0, "skipped_steps": 0}, {"dead_unit_share": 0.5}, False),
        ({"bound": -2.0, "relative_update": 2.0}, {"dead_unit_share": 0.51}, True),
        # a change of less than 0.05 of the weights for each root of a step is small
        ({"bound": -2.0, "relative_update": 0.49}, {"dead_unit_share": 0.9}, False),
        ({"bound": -2.0, "relative_update": 0.51}, {"dead_unit_share": 0.9}, True),
        ({"bound": -2.0, "relative_update": 4.9}, {}, False),
        ({"bound": -2.0, "relative_update": 5.1}, {}, True),
        ({"bound": -2.0, "relative_update": math.nan}, {}, False),
        ({"bound": -5.1}, {}, True),
        ({"bound": -4.0}, {}, False),
        ({"bound": math.nan}, {}, False),
    ],
)
def test_signs_of_a_high_learning_rate(last, changes, found):
    """The bound rises by 1 in each epoch, from -9 to -3: a fall of 2 is a third of its range."""
    result = checks._learning_rate(context_of(healthy(**last), **changes))
    assert (code(result) == "learning_rate_too_high") == found


@pytest.mark.parametrize("skipped, found", [(0, False), (1, True)])
def test_more_than_a_thousandth_of_the_steps_is_skipped(skipped, found):
    history = [
        epoch(1, skipped_steps=1, step=400),
        epoch(2, step=700),
        epoch(3, skipped_steps=skipped, step=1000),
    ]
    result = checks._learning_rate(context_of(history))
    assert (code(result) is not None) == found
    assert result.numbers["skipped"] == 1 + skipped
    short = [epoch(1, step=0, skipped_steps=0), epoch(2, step=0, skipped_steps=1)]
    assert checks._learning_rate(context_of(short)).finding is not None


def test_steps_without_updates_or_history():
    history = [epoch(number, relative_update=None) for number in (1, 2)]
    dead = checks._learning_rate(context_of(history, dead_unit_share=0.9))
    assert code(dead) == "learning_rate_too_high" and dead.numbers["largest_update"] == 0
    assert checks._learning_rate(context_of(history[:1])) is None


def test_numbers_of_steps():
    history = healthy(bound=-7.0, relative_update=30.0, learning_rate=0.042, skipped_steps=2)
    result = checks._learning_rate(context_of(history))
    assert result.numbers == {
        "skipped": 2.0,
        "fall": pytest.approx(4 / 6),
        "steepness": math.inf,  # all other differences are 1
        "largest_update": 30.0,
        "highest_learning_rate": 0.042,
    }
    assert "0.0042" in str(result.finding.recommendation)


def test_largest_update_for_its_steps():
    history = [
        epoch(1, step=4, relative_update=0.2),  # 0.1 for each root of a step
        epoch(2, step=104, relative_update=0.9),  # 0.09
        epoch(3, step=104, relative_update=0.05),
        epoch(4, step=105, relative_update=math.inf),
        epoch(5, step=106, relative_update=None),
    ]
    assert checks.largest_update(history) == (0.2, 4)
    assert checks.largest_update(history[1:3]) == (0.9, 104)
    assert checks.largest_update(history[2:4]) == (0.05, 104)
    assert checks.largest_update(history[3:4]) == (0.0, 1)
    assert checks.largest_update([epoch(1, step=0, relative_update=0.3)]) == (0.3, 1)
    assert checks.largest_update([]) == (0.0, 1)


def plain_fall(bounds):
    width = max(1, len(bounds) // 10)
    smooth = [sum(bounds[i : i + width]) / width for i in range(len(bounds) - width + 1)]
    lost = max(max(smooth[: i + 1]) - value for i, value in enumerate(smooth))
    steps = [after - before for before, after in itertools.pairwise(bounds)]
    middle = sorted(steps)[(len(steps) - 1) // 2]  # torch's median is the lower one
    spread = sorted(abs(step - middle) for step in steps)[(len(steps) - 1) // 2]
    return lost / (max(smooth) - min(smooth)), max(0.0, -min(steps)) / (1.4826 * spread)


@pytest.mark.parametrize(
    "bounds",
    [
        [1.0, 2.5, 2.0, 4.5, 3.0],
        [1.0, 2.5, 2.0, 4.5, 3.0, 7.0, 6.5, 9.0, 2.0],
        [0.0, 3.0, 5.0, 4.0, 6.5, 7.0, 7.2, 6.0, 8.0, 9.5, *(3.0, 4.5, 5.0, 7.0) * 3],
        [1.0, 2.0, 4.0, 7.0, 11.0],
    ],
)
def test_falls_of_smoothed_curves(bounds):
    """Smoothed over a tenth of the epochs: from 20 epochs over two."""
    assert checks.largest_fall(bounds) == pytest.approx(plain_fall(bounds))


@pytest.mark.parametrize(
    "bounds, expected",
    [
        ([9.0, 1.0, 5.0, 2.0], (0.0, 0.0)),
        ([3.0] * 5, (0.0, 0.0)),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 1.0], (1.0, math.inf)),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 4.5], (0.125, math.inf)),
        ([1.0, 2.0, 3.0, 4.0, 5.0], (0.0, 0.0)),
    ],
)
def test_curves_without_a_usual_difference(bounds, expected):
    assert checks.largest_fall(bounds) == expected
    assert checks.largest_fall([9.0, 1.0, 5.0], 3)[0] == 1.0


def run(scores, **changes):
    return [
        epoch(number, validation=score, **changes) for number, score in enumerate(scores, start=1)
    ]


@pytest.mark.parametrize(
    "scores, gain",
    [
        ([-20.0, -10.0, -9.0, -5.0], 5.0),
        ([-20.0, -10.0, -9.0, -5.0, -4.0], 6.0),
        ([-20.0, -10.0, -9.0, math.nan, -5.0], 5.0),
        ([None, -10.0, -9.0, None, -5.0], 5.0),  # halves of the epochs that were scored
        ([-5.0, -10.0, -9.0, -8.0], 0.0),
        ([-20.0, -10.0, -9.0, -4.0, -3.0, -1.0, -2.0, -1.5, -1.2, -1.1], 0.0),  # 6 of 10
        ([-5.0, -7.0], 0.0),
        ([-7.0, -5.0], 2.0),
        ([-7.0], None),
        ([None, -7.0], None),
    ],
)
def test_gain_in_the_second_half(scores, gain):
    assert checks._late_gain(context_of(run(scores))) == gain


@pytest.mark.parametrize(
    "gain, rate, found", [(1.9, 4.0, False), (2.1, 4.0, True), (2.1, 6.0, False), (2.5, 6.0, True)]
)
def test_runs_that_gain_much_to_the_end(gain, rate, found):
    """More than 2 nats, and more than 0.4 of the rate."""
    history = run([-20.0, -10.0, -9.0, -10.0 + gain])
    result = checks._run_length(context_of(history, rate_distortion=terms(rate)))
    assert code(result) == ("run_too_short" if found else None)
    assert result.numbers["gain"] == pytest.approx(max(gain, 1.0))
    assert checks._run_length(context_of(run([-1.0]))) is None


@pytest.mark.parametrize(
    "rate, epochs, higher, longer",
    [(2.9e-4, 4, "0.0029", "50"), (3.1e-4, 4, None, "50"), (3.1e-4, 20, None, "60")],
)
def test_recommendation_for_short_runs(rate, epochs, higher, longer):
    history = run([-100.0 + number for number in range(epochs - 1)] + [0.0], learning_rate=rate)
    history[0].learning_rate = rate / 2
    recommendation = str(checks._run_length(context_of(history)).finding.recommendation)
    assert f"epochs={longer}" in recommendation
    assert f"lr={higher}" in recommendation if higher else "lr=" not in recommendation


def latents(kl, variance):
    return {
        "kl_per_dimension": None if kl is None else torch.tensor(kl),
        "active_units": None if variance is None else ActiveUnits(0, torch.tensor(variance)),
    }


@pytest.mark.parametrize(
    "kl, variance, share",
    [
        ([0.5, 0.009, 0.011], [1.0, 1.0, 1.0], 1 / 3),
        ([0.5, 0.009, 0.011], [0.01, 1.0, 0.02], 2 / 3),
        ([0.5, 0.009, 0.011], [0.0, 0.0], 1 / 3),  # variances of other variables
        ([[0.5, 0.009], [0.011, 0.2]], [[1.0, 1.0], [0.001, 1.0]], 2 / 4),
        (None, [1.0], None),
        ([1.0], None, None),
    ],
)
def test_share_of_idle_latents(kl, variance, share):
    found = checks._idle_latent_share(context_of(**latents(kl, variance)))
    assert found == (None if share is None else pytest.approx(share))


@pytest.mark.parametrize(
    "beta, rate, idle, found",
    [
        (4.0, 3.0, 1, False),
        (4.0, 3.0, 2, True),  # half of four
        (4.0, 0.9, 0, True),
        (4.0, 1.1, 0, False),
        (1.0, 0.5, 4, False),
        (1.1, 0.5, 4, True),
        (4.0, 0.5, None, False),
    ],
)
def test_weight_of_the_divergence(beta, rate, idle, found):
    kl = None if idle is None else [0.0] * idle + [1.0] * (4 - idle)
    context = context_of(
        [epoch(1, beta=0.5), epoch(2, beta=0.75), epoch(3, beta=beta)],
        rate_distortion=terms(rate),
        **latents(kl, [1.0] * 4),
    )
    result = checks._kl_weight(context)
    assert code(result) == ("kl_weight_too_large" if found else None)
    assert result.numbers == {"beta": beta}


@pytest.mark.parametrize("history", [[], [epoch(1, beta=2.0), epoch(2, beta=None)]])
def test_models_without_a_weight(history):
    assert checks._kl_weight(context_of(history, **latents([0.0], [0.0]))) is None


@pytest.mark.parametrize(
    "gap, error, rate, few, found",
    [
        (2.1, 0.5, 4.0, False, True),  # 4 errors of hypot(0.3, 0.4), and half of the rate
        (1.9, 0.5, 3.0, False, False),
        (2.1, 0.5, 4.4, False, False),
        (2.1, 0.5, 4.0, True, False),
        (-9.0, 0.5, 4.0, False, False),
    ],
)
def test_training_rows_that_are_better_than_others(gap, error, rate, few, found):
    context = context_of(
        rate_distortion=terms(rate, -20.0, 0.3),
        train_rate_distortion=terms(rate, -20.0 + gap, 0.4),
        has_few_rows=few,
    )
    result = checks._overfitting(context)
    assert code(result) == ("training_rows_memorised" if found else None)
    assert result.numbers == pytest.approx({"gap": gap, "error": error})
    if found:  # without validation rows, these are recommended
        assert "validation" in str(result.finding.recommendation)
        context.best_epoch = epoch(1, validation=-3.0)
        assert "validation" not in str(checks._overfitting(context).finding.recommendation)


@pytest.mark.parametrize(
    "fall, rise, best, finished, found",
    [
        (2.1, 1.0, 8, False, True),
        (1.9, 1.0, 8, False, False),
        (2.1, -1.0, 8, False, False),  # the training bound fell, too
        (2.1, 1.0, 9, False, False),  # the best epoch is late
        (2.1, 1.0, 8, True, False),  # what patience and the best weights are for
    ],
)
def test_a_warm_up_does_not_hide_overfitting(fall, rise, best, finished, found):
    history = [
        epoch(best, validation=-5.0, bound=-10.0, schedules_finished=False),
        epoch(10, validation=-5.0 - fall, bound=-10.0 + rise, schedules_finished=finished),
    ]
    context = context_of(history, train_rate_distortion=terms())
    assert code(checks._overfitting(context)) == ("training_rows_memorised" if found else None)
    context.has_few_rows = True
    assert code(checks._overfitting(context)) is None


def test_overfitting_needs_training_rows_and_a_density():
    assert checks._overfitting(context_of()) is None
    without = SimpleNamespace(posterior=SimpleNamespace(has_density=False))
    assert checks._overfitting(context_of(train_rate_distortion=terms(), model=without)) is None


@pytest.mark.parametrize(
    "scores, numbers",
    [
        ([-9.0, -5.0, -7.5], ("2", "3", "2.5")),
        ([-9.0, -7.0, -5.0], None),
        ([-5.0, -7.0, None], None),
        ([None, None], None),
    ],
)
def test_fall_of_the_validation(scores, numbers):
    text = checks._validation_fall(context_of(run(scores)))
    assert bool(text) == (numbers is not None)
    assert all(number in text for number in numbers or ())
    assert checks._validation_fall(context_of([])) == ""


def gradient_context(norms, **changes):
    fields = {"has_density": True, "n_rows": None, "full_support": True}
    reparametrised = changes.pop("has_rsample", True)
    model = SimpleNamespace(
        posterior=SimpleNamespace(**fields | changes),
        probe=lambda: (None, SimpleNamespace(has_rsample=reparametrised)),
    )
    return context_of(model=model, gradient_norms=norms)


@pytest.mark.parametrize(
    "norms, found",
    [
        ({"posterior": 2.0, "likelihood": 1e-9}, False),
        ({"posterior": 2.0, "likelihood": 0.0}, True),
        ({"posterior": math.nan, "likelihood": 1.0}, True),
        ({"prior": 1.0, "posterior": math.inf, "likelihood": 0.0}, True),
    ],
)
def test_parts_without_a_gradient(norms, found):
    result = checks._gradient_flow(gradient_context(norms))
    assert code(result) == ("gradients_missing" if found else None)
    assert dict(result.numbers) == pytest.approx(norms, nan_ok=True)


@pytest.mark.parametrize(
    "changes",
    [{"has_density": False}, {"n_rows": 5}, {"full_support": False}, {"has_rsample": False}],
)
def test_gradients_of_other_models_are_not_judged(changes):
    assert checks._gradient_flow(gradient_context({"posterior": 0.0}, **changes)) is None


def test_words_are_joined():
    assert [checks._join_with_and(list("abc")[:count]) for count in (1, 2, 3)] == [
        "a",
        "a and b",
        "a, b and c",
    ]
