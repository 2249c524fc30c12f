"""Means with standard errors."""

import math

import numpy
import pytest
import scipy.stats
import torch

from aevb.data import Rows
from aevb.metrics._estimate import Estimate, format_with_error
from aevb.metrics._rows import evenly_spaced_rows


@pytest.mark.parametrize("values", [[1.0, 4.0], [0.5, -2.0, 7.0]])
def test_mean_and_standard_error(values):
    found = Estimate.from_values(torch.tensor(values))
    assert (found.mean, found.standard_error) == pytest.approx(
        (numpy.mean(values), scipy.stats.sem(values))
    )
    bits = found.bits_per_dimension(6)
    assert (bits.mean, bits.standard_error) == pytest.approx(
        (-found.mean / (6 * math.log(2)), found.standard_error / (6 * math.log(2)))
    )


def test_one_value_has_no_error():
    found = Estimate.from_values(torch.tensor([3.0]))
    assert found.mean == 3 and math.isnan(found.standard_error)
    assert format_with_error(3.0, math.nan, 1) == "3.0"
    assert format_with_error(3.0, 0.256, 1) == "3.0 ± 0.3"


@pytest.mark.parametrize(
    "count, expected", [(1, [0]), (2, [0, 8]), (5, [0, 2, 4, 6, 8]), (9, list(range(9)))]
)
def test_rows_are_evenly_spaced(count, expected):
    rows = evenly_spaced_rows(Rows(torch.arange(9.0)[:, None]), count)
    assert rows.tensor()[:, 0].tolist() == expected
    assert len(evenly_spaced_rows(Rows(torch.arange(9.0)[:, None]), 10)) == 9
