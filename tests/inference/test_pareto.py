"""The fit of a generalised Pareto tail against the published algorithm in numpy."""

import math

import numpy as np
import pytest
import torch

from aevb.inference._pareto import pareto_k, pareto_k_threshold, tail_length


def zhang_stephens(excess: np.ndarray) -> float:
    """The shape of ascending excesses: Zhang and Stephens (2009) with the prior of the paper."""
    n = len(excess)
    m = 30 + int(math.sqrt(n))
    j = np.arange(1, m + 1)
    quartile = excess[int(n / 4 + 0.5) - 1]
    b = 1 / excess[-1] + (1 - np.sqrt(m / (j - 0.5))) / (3 * quartile)
    k = np.array([np.log1p(-each * excess).mean() for each in b])
    likelihood = n * (np.log(-b / k) - k - 1)
    weights = np.array([1 / np.exp(likelihood - own).sum() for own in likelihood])
    shape = np.log1p(-(weights * b).sum() * excess).mean()
    return (n * shape + 10 * 0.5) / (n + 10)


@pytest.mark.parametrize("length", [5, 6, 9, 10, 23, 70])
@pytest.mark.parametrize("shape", [0.1, 0.7, 1.4])
def test_the_shape_of_a_tail(length, shape):
    """Rows of unequal scale: a factor on all weights changes nothing."""
    generator = torch.Generator().manual_seed(length)
    exponential = -torch.rand(length + 1, 2, generator=generator, dtype=torch.float64).log()
    largest = (shape * exponential + torch.tensor([0.0, 300.0])).sort(0, descending=True).values
    expected = []
    for row in largest.T.numpy():
        weights = np.exp(row - row[0])
        expected.append(zhang_stephens((weights[:-1] - weights[-1])[::-1]))
    assert pareto_k(largest).tolist() == pytest.approx(expected, rel=1e-7)


def test_tails_without_a_shape():
    rows = torch.zeros(8, 3, dtype=torch.float64)
    rows[:, 1] = -torch.arange(8.0)
    rows[:, 2] = -math.inf
    found = pareto_k(rows)
    assert found[0] == 0 and found[1].isfinite() and found[1] != 0 and found[2].isnan()
    alone = pareto_k(rows[:, 1:2])
    assert alone[0] == found[1]
    assert pareto_k(rows[:5]).isnan().all() and pareto_k(rows[:5]).shape == (3,)
    assert pareto_k(rows[:6])[:2].isfinite().all()


@pytest.mark.parametrize(
    "samples, length", [(1, 0), (20, 0), (21, 5), (25, 5), (26, 6), (225, 45), (230, 46), (400, 60)]
)
def test_the_tail_has_a_fifth_of_the_weights_at_first(samples, length):
    assert tail_length(samples) == length


def test_the_threshold_of_a_reliable_average():
    found = [pareto_k_threshold(k) for k in (1, 2, 10, 100, 2000, 3000)]
    expected = [0.0, 1 - 1 / math.log10(2), 0.0, 0.5, 1 - 1 / math.log10(2000), 0.7]
    assert found == pytest.approx(expected)
