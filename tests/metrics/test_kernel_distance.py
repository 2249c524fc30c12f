"""Kernel distance and its jackknife equal sums over pairs of rows."""

import numpy
import pytest
import torch

from aevb import metrics
from aevb.errors import ArgumentError
from aevb.metrics._intervals import jackknife, random_groups
from aevb.metrics._samples import _kernel_distance as kernels
from aevb.metrics._samples._feature_tables import random_rows


def sets(rows_a, rows_b):
    generator = torch.Generator().manual_seed(2)
    return (
        torch.randn(rows_a, 3, generator=generator).double(),
        torch.randn(rows_b, 3, generator=generator).double() + 0.5,
    )


def plain_distance(a, b):
    def kernel(x, y):
        return (x @ y / 3 + 1) ** 3

    within = [
        numpy.mean([kernel(x, y) for i, x in enumerate(z) for j, y in enumerate(z) if i != j])
        for z in (a, b)
    ]
    return sum(within) - 2 * numpy.mean([kernel(x, y) for x in a for y in b])


@pytest.mark.parametrize(
    "rows, groups, used", [((11, 8), 2, 2), ((11, 8), 20, 4), ((4, 4), 20, 2), ((6, 15), 3, 3)]
)
def test_distance_and_jackknife(rows, groups, used):
    a, b = sets(*rows)
    group_a, group_b = (random_groups(count, used, 7).numpy() for count in rows)
    without = [
        plain_distance(a.numpy()[group_a != g], b.numpy()[group_b != g]) for g in range(used)
    ]
    expected = jackknife(plain_distance(a.numpy(), b.numpy()), torch.tensor(without)).plug_in
    result = metrics.kernel_distance(a, b, groups=groups, seed=7)
    found = result.distance
    assert (found.value, found.low, found.high) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )
    assert (result.n_real, result.n_generated) == rows


def test_at_most_so_many_rows():
    a, b = sets(11, 8)
    cut = metrics.kernel_distance(random_rows(a, 4, 3), random_rows(b, 4, 3), seed=3)
    result = metrics.kernel_distance(a, b, max_rows=4, seed=3)
    assert (result.distance, result.n_real, result.n_generated) == (cut.distance, 4, 4)
    with pytest.raises(ArgumentError) as caught:
        metrics.kernel_distance(a, b, max_rows=3)
    assert (caught.value.argument, caught.value.value) == ("max_rows", 3)


@pytest.mark.parametrize("diagonal", [True, False])
def test_sums_over_more_rows_than_a_block(diagonal):
    """1,030 rows are three blocks, and the last has 6."""
    a, b = sets(1030, 1030) if not diagonal else sets(1030, 5)
    b = a if not diagonal else b
    groups_a, groups_b = torch.arange(1030) % 3, torch.arange(len(b)) % 3
    kernel = (a.numpy() @ b.numpy().T / 3 + 1) ** 3
    if not diagonal:
        numpy.fill_diagonal(kernel, 0)
    expected = [
        [kernel[numpy.ix_(groups_a == g, groups_b == h)].sum() for h in range(3)] for g in range(3)
    ]
    found = kernels._kernel_sums(a, b, groups_a, groups_b, include_diagonal=diagonal)
    numpy.testing.assert_allclose(found, expected)
