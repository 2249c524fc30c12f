"""Standard errors and p-values equal those of scipy, at unequal sizes and at every limit."""

import math

import numpy
import pytest
import scipy.special
import scipy.stats
import torch

from aevb.metrics import _significance as significance
from aevb.metrics._estimate import Estimate

A = [0.5, 2.0, 3.5, 3.0, -1.0]
B = [1.5, 2.5, 2.0, 6.0, 0.0]
C = [4.0, 4.5, 7.0]


def functions_of(source, *tables):
    return significance.DIFFERENCE_FUNCTIONS[source](
        [torch.tensor(table, dtype=torch.float32) for table in tables]
    )


def parts(result):
    estimate, degrees = result
    return estimate.mean, estimate.standard_error, degrees


@pytest.mark.parametrize("degrees", [0.3, 1, 1.9, 2, 3, 4, 5, 8, 199, 199.7, 200])
@pytest.mark.parametrize("t", [0.0, 0.4, -1.3, 2.5, -7.0])
def test_p_values_up_to_200_degrees_are_exact(t, degrees):
    truth = 2 * scipy.stats.t.sf(abs(t), degrees)
    assert significance.student_t_p_value(t, degrees) == pytest.approx(truth, abs=1e-13)


@pytest.mark.parametrize("degrees", [200.1, 201, 350.5])
@pytest.mark.parametrize("t", [0.4, -1.3, 2.5])
def test_p_values_of_many_degrees_have_the_normal_form(t, degrees):
    """Abramowitz and Stegun, 26.7.8."""
    x = abs(t) * (1 - 1 / (4 * degrees)) / math.sqrt(1 + t**2 / (2 * degrees))
    assert significance.student_t_p_value(t, degrees) == pytest.approx(
        2 * scipy.stats.norm.sf(x), rel=1e-12
    )
    assert significance.student_t_p_value(t, degrees) == pytest.approx(
        2 * scipy.stats.t.sf(abs(t), degrees), abs=1e-5
    )


@pytest.mark.parametrize(
    "t, degrees", [(math.nan, 5), (math.nan, 500), (1.0, 0), (1.0, -2), (1.0, math.nan)]
)
def test_p_values_are_unknown_without_degrees_of_freedom(t, degrees):
    assert math.isnan(significance.student_t_p_value(t, degrees))


@pytest.mark.parametrize("a, b", [(0.5, 0.5), (1.0, 0.5), (3.5, 2.0), (0.2, 7.0), (90.0, 0.5)])
@pytest.mark.parametrize("x", [0.0, 1e-9, 0.1, 0.5, 0.8, 0.999, 1.0])
def test_incomplete_beta(x, a, b):
    truth = scipy.special.betainc(a, b, x)
    assert significance._incomplete_beta(x, 1 - x, a, b) == pytest.approx(truth, rel=1e-12)


@pytest.mark.parametrize("degrees", [1, 2, 7])
def test_p_values_stay_between_0_and_1(degrees):
    for t in (0.0, 1e9, math.inf):
        assert 0 <= significance.student_t_p_value(t, degrees) <= 1
    assert significance.student_t_p_value(0.0, degrees) == 1.0


@pytest.mark.parametrize(
    "p_values", [[0.3], [0.02, 0.01], [0.2, 0.011, 0.013, 0.9], [0.6, math.nan, 0.01, 0.5]]
)
def test_holm_is_the_largest_scaled_p_value_up_to_each(p_values):
    known = [p for p in p_values if not math.isnan(p)]
    scaled = {p: (len(known) - rank) * p for rank, p in enumerate(sorted(known))}
    expected = [
        math.nan if math.isnan(p) else min(1.0, max(scaled[q] for q in known if q <= p))
        for p in p_values
    ]
    assert significance.holm_correction(p_values) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("first, second, a, b", [(0, 1, A, B), (1, 0, B, A)])
def test_paired_rows(first, second, a, b):
    mean, error, degrees = parts(functions_of("paired rows", A, B)(first, second))
    truth = scipy.stats.ttest_rel(a, b)
    assert (mean / error, degrees) == pytest.approx((truth.statistic, truth.df))
    assert mean == pytest.approx(numpy.mean(a) - numpy.mean(b))


@pytest.mark.parametrize("first, second, a, b", [(1, 2, B, C), (2, 1, C, B)])
def test_unpaired_rows(first, second, a, b):
    mean, error, degrees = parts(functions_of("rows", A, B, C)(first, second))
    truth = scipy.stats.ttest_ind(a, b, equal_var=False)
    assert (mean / error, degrees) == pytest.approx((truth.statistic, truth.df))
    assert mean == pytest.approx(numpy.mean(a) - numpy.mean(b))


def test_unpaired_rows_without_spread():
    difference = functions_of("rows", [1.0, 1.0], [3.0, 3.0, 3.0], [5.0], A)
    assert parts(difference(0, 1)) == (-2.0, 0.0, math.inf)
    assert difference(0, 2)[0].mean == -4 and math.isnan(difference(0, 2)[0].standard_error)
    # one side without spread: the degrees of freedom of the other
    assert parts(difference(0, 3)) == pytest.approx((-0.6, scipy.stats.sem(A), 4))


def test_seeds_share_the_spread_of_all_configurations():
    """Single runs and runs that failed do not count in the spread."""
    tables = (A, C, [2.0], [1.0, math.nan], [5.0, math.inf])
    difference = functions_of("seeds", *tables)
    squares = sum(numpy.var(table) * len(table) for table in (A, C))
    spread = math.sqrt(squares / (4 + 2))
    for first, second in ((0, 1), (1, 0), (1, 2)):
        a, b = tables[first], tables[second]
        expected = (numpy.mean(a) - numpy.mean(b), spread * math.sqrt(1 / len(a) + 1 / len(b)), 6)
        assert parts(difference(first, second)) == pytest.approx(expected)
    assert math.isnan(functions_of("seeds", [1.0], [2.0])(0, 1)[0].standard_error)
    assert functions_of("seeds", [1.0], [2.0])(0, 1)[1] == 0


def test_paired_seeds_are_a_two_way_layout():
    """The error of three configurations over five seeds, from sums of squares by hand."""
    tables = numpy.array([A, B, [3.0, 1.0, -2.0, 5.0, 4.5]])
    grand = tables.mean()
    total = ((tables - grand) ** 2).sum()
    rows = 5 * ((tables.mean(1) - grand) ** 2).sum()
    columns = 3 * ((tables.mean(0) - grand) ** 2).sum()
    residual = (total - rows - columns) / (2 * 4)
    difference = functions_of("paired seeds", *tables.tolist())
    for first, second in ((0, 1), (2, 0)):
        mean = tables[first].mean() - tables[second].mean()
        assert parts(difference(first, second)) == pytest.approx(
            (mean, math.sqrt(2 * residual / 5), 8)
        )
    alone = functions_of("paired seeds", [1.0], [3.0])(0, 1)
    assert (alone[0].mean, alone[1]) == (-2.0, 0) and math.isnan(alone[0].standard_error)


@pytest.mark.parametrize(
    "mean, error, expected",
    [
        (math.inf, math.nan, 0.0),
        (-math.inf, 1.0, 0.0),
        (1.5, 0.5, 2 * scipy.stats.t.sf(3.0, 4)),
        (-0.5, 1.0, 2 * scipy.stats.t.sf(0.5, 4)),
        (0.0, 0.0, 1.0),
        (0.2, 0.0, 0.0),
        (0.0, math.nan, math.nan),
        (math.nan, 0.0, math.nan),
        (math.nan, 1.0, math.nan),
    ],
)
def test_p_value_of_a_difference(mean, error, expected):
    result = significance.difference_p_value(Estimate(mean, error), 4)
    assert result == pytest.approx(expected, nan_ok=True)
