"""Power means and their derivatives against numpy and autograd, for unequal measures and groups."""

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from aevb.objectives._bounds import (
    ARITHMETIC_MEAN,
    IMPORTANCE_WEIGHTED_MEAN,
    PowerMean,
    leave_one_out_mean,
    path_factor,
    power_mean,
    responsibilities,
)

H = torch.tensor(
    [
        [0.5, -2.0, 30.0],
        [1.5, 0.25, 29.0],
        [-1.0, 0.75, -5.0],
        [0.0, -0.5, 28.5],
        [2.0, 1.0, 0.0],
        [0.25, -3.0, 31.0],
    ],
    dtype=torch.float64,
)
MEASURE = torch.tensor([0.1, 0.3, 0.05, 0.2, 0.25, 0.1], dtype=torch.float64)[:, None].log()
EQUAL = torch.full((6, 1), 1 / 6, dtype=torch.float64).log()
POWERS = [0.0, 1.0, 0.3, -0.7, 2.0]
MEANS = [
    PowerMean(((1.0, 0.0),)),
    PowerMean(((1.0, 1.0),)),
    PowerMean(((1.0, 0.4),)),
    PowerMean(((0.3, 0.0), (0.7, 1.0))),
    PowerMean(((2.0, 0.5), (-1.0, 0.2))),
    PowerMean(((1.0, 1.0),), groups=2),
    PowerMean(((0.25, 0.0), (0.75, 0.5)), groups=3),
]


def numpy_mean(h, log_measure, power):
    measure = np.exp(log_measure)
    if power == 0:
        return (measure * h).sum(0)
    return logsumexp(power * h, 0, b=np.broadcast_to(measure, h.shape)) / power


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("measure", [MEASURE, EQUAL], ids=["unequal", "equal"])
def test_a_power_mean_and_its_derivatives(power, measure):
    expected = numpy_mean(H.numpy(), measure.numpy(), power)
    np.testing.assert_allclose(power_mean(H, measure, power).numpy(), expected, rtol=1e-12)
    h = H.clone().requires_grad_()
    (first,) = torch.autograd.grad(power_mean(h, measure, power).sum(), h)
    torch.testing.assert_close(responsibilities(H, measure, power), first)
    # d(w_k f'(h_k))/dh_k of one draw: w_k (1 - s + s w_k) is the path weight
    factor = 1 - power + power * first
    torch.testing.assert_close(path_factor(H, measure, power), factor)


def groups_of(mean: PowerMean, h: np.ndarray, log_measure: np.ndarray):
    """Consecutive draws of each group, with a measure that has the sum 1."""
    size = len(h) // mean.groups
    for g in range(mean.groups):
        part = slice(g * size, (g + 1) * size)
        yield part, h[part], log_measure[part] + math.log(mean.groups)


@pytest.mark.parametrize("mean", MEANS, ids=str)
def test_sums_of_means_over_groups(mean):
    measure = EQUAL if mean.groups > 1 else MEASURE
    value, weights, path = np.zeros(3), np.zeros((6, 3)), np.zeros((6, 3))
    for part, h, m in groups_of(mean, H.numpy(), measure.numpy()):
        for a, s in mean.components:
            value += a * numpy_mean(h, m, s) / mean.groups
            w = np.exp(m + s * h) / np.exp(m + s * h).sum(0)
            weights[part] += a * w / mean.groups
            path[part] += a * w * (1 - s + s * w) / mean.groups
    np.testing.assert_allclose(mean(H, measure).numpy(), value, rtol=1e-12)
    np.testing.assert_allclose(mean.weights(H, measure).numpy(), weights, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(mean.path_weights(H, measure).numpy(), path, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(
        mean.path_factor(H, measure).numpy(), path / weights, rtol=1e-10, atol=1e-14
    )


@pytest.mark.parametrize("mean", MEANS, ids=str)
def test_a_draw_left_out_is_replaced_by_the_mean_of_the_others(mean):
    measure = EQUAL if mean.groups > 1 else MEASURE
    found = mean.leave_one_out(H, measure).numpy()
    for k in range(6):
        others = np.delete(H.numpy(), k, 0).mean(0)
        replaced = H.clone()
        replaced[k] = torch.from_numpy(others)
        expected = others if mean.components == ((1.0, 0.0),) else mean(replaced, measure).numpy()
        np.testing.assert_allclose(found[k], expected, rtol=1e-12)
    np.testing.assert_allclose(
        leave_one_out_mean(H)[2].numpy(), np.delete(H.numpy(), 2, 0).mean(0), rtol=1e-12
    )


def test_a_sum_of_means_has_no_factor_where_its_weight_is_0():
    mean = PowerMean(((1.0, 1.0), (1.0, 2.0)))
    h = torch.tensor([[0.0], [-2000.0]], dtype=torch.float64)
    factor = mean.path_factor(h, torch.full((2, 1), 0.5, dtype=torch.float64).log())
    assert factor.tolist() == [[1.0], [0.0]]


def test_which_mean_is_the_average():
    assert ARITHMETIC_MEAN.is_average and not IMPORTANCE_WEIGHTED_MEAN.is_average
    assert [mean.is_average for mean in MEANS] == [True] + [False] * 6
