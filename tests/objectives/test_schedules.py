"""Every schedule at every step against its formula, and modules whose settings follow them."""

import math
from dataclasses import dataclass

import pytest
import torch

from aevb.errors import ArgumentError
from aevb.objectives import Constant, Cyclical, Exponential, Linear, Schedule, Sigmoid
from aevb.objectives._schedules import ScheduledModule, as_schedule, endpoint_range


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def logistic_curve(step: int, start: float, end: float, steps: int, sharp: float) -> float:
    low, high = sigmoid(-sharp / 2), sigmoid(sharp / 2)
    share = (sigmoid(sharp * (step / steps - 0.5)) - low) / (high - low)
    return start + (end - start) * share


def cycle(step: int, start: float, end: float, steps: int, cycles: int, rise: float) -> float:
    length = steps / cycles
    share = math.fmod(step, length) / length
    return start + (end - start) * min(1.0, share / rise)


FORMULAS = {
    "linear": (Linear(0.5, -2.0, 7), lambda n: 0.5 - 2.5 * n / 7),
    "sigmoid": (Sigmoid(3.0, 1.0, 7, 5.0), lambda n: logistic_curve(n, 3.0, 1.0, 7, 5.0)),
    "exponential": (Exponential(2.0, 0.5, 7), lambda n: math.exp(math.log(2) * (1 - 2 * n / 7))),
    "cycles": (Cyclical(0.5, 2.0, 7, 2, 0.75), lambda n: cycle(n, 0.5, 2.0, 7, 2, 0.75)),
    "whole rises": (Cyclical(0.5, 2.0, 7, 1, 1.0), lambda n: 0.5 + 1.5 * n / 7),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_values_before_at_and_after_the_end(name):
    schedule, formula = FORMULAS[name]
    assert schedule.final_schedule_step == schedule.steps == 7
    expected = [formula(n) for n in range(7)] + [schedule.end] * 3
    found = [schedule(n) for n in (*range(8), 8, 1000)]
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-15)
    assert (schedule(0), schedule(7)) == pytest.approx((schedule.start, schedule.end))


def test_a_constant_is_finished_before_it_begins():
    assert [Constant(2.5)(step) for step in (0, 9)] == [2.5, 2.5]
    assert Constant(2.5).final_schedule_step == 0
    assert as_schedule(3) == Constant(3.0) and type(as_schedule(3).value) is float
    schedule = Linear(steps=3)
    assert as_schedule(schedule) is schedule


@pytest.mark.parametrize(
    "make, argument",
    [
        (lambda: Linear(steps=0), "steps"),
        (lambda: Sigmoid(steps=-1), "steps"),
        (lambda: Sigmoid(sharpness=0.0), "sharpness"),
        (lambda: Sigmoid(sharpness=100.5), "sharpness"),
        (lambda: Exponential(steps=0), "steps"),
        (lambda: Exponential(start=0.0), "start"),
        (lambda: Exponential(end=-1.0), "end"),
        (lambda: Exponential(end=math.nan), "end"),
        (lambda: Cyclical(steps=0), "steps"),
        (lambda: Cyclical(cycles=0), "cycles"),
        (lambda: Cyclical(rise_fraction=0.0), "rise_fraction"),
        (lambda: Cyclical(rise_fraction=1.01), "rise_fraction"),
    ],
    ids=range(12),
)
def test_settings_out_of_range_are_refused(make, argument):
    with pytest.raises(ArgumentError) as caught:
        make()
    assert caught.value.argument == argument


def test_settings_at_the_edge_are_allowed():
    assert Linear(steps=1)(1) == Sigmoid(steps=1, sharpness=100.0)(1) == 1.0
    assert Exponential(1e-9, 1e9, 1)(0) == 1e-9
    assert Cyclical(steps=1, cycles=1, rise_fraction=1.0)(0) == 0.0


@dataclass(frozen=True)
class Unending(Schedule):
    def __call__(self, step: int) -> float:
        return 4.0 - step

    @property
    def final_schedule_step(self) -> None:
        return None


class Module(ScheduledModule):
    def __init__(self, **schedules) -> None:
        super().__init__()
        for name, schedule in schedules.items():
            self.register_schedule(name, schedule)


def test_settings_of_a_module_follow_their_schedules():
    module = Module(a=Linear(1.0, 3.0, 4), b=Constant(7.0), c=Unending(), d=Linear(0.0, 1.0, 9))
    module.b.fill_(8.0)  # a constant is set once
    found = []
    for step in (0, 2, 4, 11):
        module.set_step(step)
        found.append([module.get_buffer(name).item() for name in "abcd"])
    wanted = [[1, 8, 4, 0], [2, 8, 2, 2 / 9], [3, 8, 0, 4 / 9], [3, 8, -7, 1]]
    torch.testing.assert_close(torch.tensor(found), torch.tensor(wanted, dtype=torch.float32))
    assert module.final_schedule_step == 9 and module.unending_schedules == ("c",)
    assert module.state_dict() == {}
    assert Module().final_schedule_step == 0 and Module().unending_schedules == ()
    assert Module(c=Unending()).final_schedule_step == 0


def test_ends_are_ordered():
    assert endpoint_range(Linear(3.0, 1.0, 5)) == endpoint_range(Linear(1.0, 3.0, 5)) == (1.0, 3.0)
    assert endpoint_range(Constant(2.0)) == (2.0, 2.0)
    assert endpoint_range(Unending()) == (4.0, 4.0)  # only its beginning is known


def test_fractions_follow_the_run_and_come_back_for_the_next():
    module = Module(a=Linear(fraction=0.25), b=Cyclical(fraction=1.0), c=Exponential(steps=30))
    for run, steps in ((40, (10, 40, 30)), (100, (25, 100, 30)), (1, (1, 1, 30))):
        module.plan_schedules(run)
        assert [each.final_schedule_step for each in module.schedules.values()] == [*steps]
    assert module.shortened_schedules == {}


@pytest.mark.parametrize(
    "steps, run, expected", [(30, 30, 30), (31, 30, 15), (9, 1, 1), (30, None, 30)]
)
def test_schedules_that_outlast_the_run_are_shortened_to_half_of_it(steps, run, expected):
    module = Module(a=Linear(steps=steps), b=Constant(2.0), c=Unending())
    module.plan_schedules(run, shorten=True)
    assert module.schedules["a"] == Linear(steps=expected)
    assert module.shortened_schedules == ({} if expected == steps else {"a": (steps, expected)})


def test_a_schedule_of_a_penalty_is_planned_too():
    from aevb import objectives

    penalty = objectives.DIP(Linear(0.0, 10.0, fraction=0.5))
    objective = objectives.Penalised(objectives.ELBO(beta=Linear(steps=80)), [penalty])
    objective.plan_schedules(20, shorten=True)
    assert objective.final_schedule_step == 10
    objective.set_step(5)
    assert objective.objective.beta == 0.5
