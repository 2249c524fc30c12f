"""Weights of the exponential moving average."""

import pytest
import torch

from aevb.errors import ArgumentError
from aevb.training._ema import ExponentialMovingAverage


def test_early_steps_weigh_the_current_parameters_more():
    ema = ExponentialMovingAverage([torch.zeros(1)], 0.5)
    # 1 - min(decay, (1 + step) / (10 + step))
    expected = [1 - 1 / 10, 1 - 2 / 11, 1 - 8 / 17, 0.5, 0.5]
    assert [ema.update_weight(step) for step in (0, 1, 7, 8, 1000)] == pytest.approx(expected)


def test_average_is_the_recursion_of_its_weights():
    parameter = torch.tensor([1.0], dtype=torch.float64)
    ema = ExponentialMovingAverage([parameter], 0.9)
    expected = 1.0
    for step, value in enumerate((2.0, -1.0, 5.0), 1):
        parameter.fill_(value)
        ema.update(step)
        expected += (1 - (1 + step) / (10 + step)) * (value - expected)
    assert ema.averages[0].item() == pytest.approx(expected, rel=1e-14)  # float64 rounding


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5, float("nan")])
def test_decay_outside_the_open_unit_interval_is_refused(decay):
    with pytest.raises(ArgumentError) as caught:
        ExponentialMovingAverage([torch.zeros(1)], decay)
    assert caught.value.argument == "ema"
