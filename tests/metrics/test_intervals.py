"""Intervals equal their textbook formulas, at small unequal numbers and at every limit."""

import math

import numpy
import pytest
import scipy.stats
import torch

from aevb.errors import ArgumentError, DataError
from aevb.metrics import _intervals as intervals
from aevb.metrics._intervals import Interval

Z = scipy.stats.norm.ppf(0.975)


def near(expected):
    """Equal to the precision of scipy's quantiles."""
    return pytest.approx(expected, rel=1e-8)


def ends(interval):
    return interval.value, interval.low, interval.high


@pytest.mark.parametrize(
    "value, low, high, text",
    [
        (12.3456, 12.0, 12.9, "12.35"),  # the width 0.9 has its second digit in hundredths
        (12.3456, 12.0, 13.0, "12.3"),
        (12.3456, 0.0, 45.0, "12"),
        (123.456, 0.0, 450.0, "123"),
        (0.123456789, 0.1234567, 0.1234568, "0.12346"),  # no more than 5 decimals
        (12.3456, 12.3456, 12.3456, "12.3"),
        (12.3456, -math.inf, math.inf, "12.3"),
        (12.3456, 1.0, math.nan, "12.3"),
        (999_999.4, 999_999.0, 999_999.9, "999999.40"),
        (1e6, 999_999.0, 1_000_000.5, "1e+06"),
        (-1234567.0, -1234568.0, -1234566.0, "-1.23e+06"),
    ],
)
def test_decimals_follow_the_width(value, low, high, text):
    interval = Interval(value, low, high, "rows")
    assert interval.is_finite == math.isfinite(high - low)
    assert interval.format_number(value) == text
    assert str(interval) == text + (
        f" ({interval.format_number(low)} to {interval.format_number(high)})"
        if interval.is_finite
        else ""
    )


@pytest.mark.parametrize("degrees", [-3, 0, 1, 2, 3, 4])
def test_quantiles_of_few_degrees_are_exact(degrees):
    truth = scipy.stats.t.ppf(0.975, max(degrees, 1))
    assert intervals.student_t_quantile(degrees) == pytest.approx(truth, rel=1e-10)


@pytest.mark.parametrize("degrees, tolerance", [(5, 4e-4), (50, 1e-8), (200, 1e-11)])
def test_quantiles_of_more_degrees_lack_the_fifth_term_of_the_series(degrees, tolerance):
    # Abramowitz and Stegun, 26.7.5; the tolerance is about the term after that, 2.5 / degrees^5
    fifth = (79 * Z**9 + 776 * Z**7 + 1482 * Z**5 - 1920 * Z**3 - 945 * Z) / 92160
    truth = scipy.stats.t.ppf(0.975, degrees) - fifth / degrees**4
    assert intervals.student_t_quantile(degrees) == pytest.approx(truth, abs=tolerance)


@pytest.mark.parametrize(
    "value, error, bounds, low, high",
    [
        (2.0, 0.5, (-math.inf, math.inf), -1, 1),
        (2.0, 0.5, (1.5, 3.0), 1.5, 3.0),
        (2.0, 0.5, (2.5, 3.0), 2.0, 3.0),  # a value outside its bounds is in its interval
        (2.0, 0.5, (1.0, 1.5), 1.0, 2.0),
        (2.0, math.nan, (-math.inf, math.inf), -math.inf, math.inf),
        (2.0, math.inf, (0.0, 5.0), 0.0, 5.0),
        (2.0, math.nan, (0.0, 5.0), 0.0, 5.0),
    ],
)
def test_t_interval_stays_within_its_bounds(value, error, bounds, low, high):
    reach = 0.5 * scipy.stats.t.ppf(0.975, 3)
    low, high = (value - reach, value + reach) if (low, high) == (-1, 1) else (low, high)
    result = intervals.t_interval(value, error, 3, "rows", bounds)
    assert ends(result) == pytest.approx((value, low, high)) and result.method == "rows"


@pytest.mark.parametrize("values", [[1.0, 4.0], [0.5, -2.0, 7.0, 1.0]])
def test_intervals_of_means_equal_scipy(values):
    low, high = scipy.stats.t.interval(
        0.95, len(values) - 1, numpy.mean(values), scipy.stats.sem(values)
    )
    truth = near((numpy.mean(values), low, high))
    seeds = intervals.interval_over_seeds(values)
    assert ends(seeds) == truth and seeds.method.startswith(str(len(values)))
    assert ends(intervals.interval_over_rows(torch.tensor(values))) == truth
    cut = intervals.interval_over_rows(torch.tensor(values), (0.0, 3.0))
    assert ends(cut) == pytest.approx((numpy.mean(values), 0.0, 3.0))


def test_one_value_has_no_interval():
    with pytest.raises(DataError) as caught:
        intervals.interval_over_seeds([1.0])
    assert caught.value.argument == "values"
    single = intervals.interval_over_rows(torch.tensor([3.0]))
    assert ends(single) == (3.0, -math.inf, math.inf) and not single.is_finite


@pytest.mark.parametrize("hits, rows", [(0, 7), (2, 7), (6, 7), (7, 7), (1, 1)])
def test_shares_have_the_interval_of_wilson(hits, rows):
    truth = scipy.stats.binomtest(hits, rows).proportion_ci(method="wilson")
    result = intervals.proportion_interval(torch.arange(rows) < hits)
    assert ends(result) == pytest.approx((hits / rows, truth.low, truth.high), abs=1e-12)
    assert 0 <= result.low <= result.value <= result.high <= 1


def test_errors_of_two_sources_are_combined():
    first, second = Interval(1.0, 0.7, 1.5, "a"), Interval(9.0, 8.6, 10.2, "b")
    both = intervals.add_independent_error(first, second)
    assert ends(both) == pytest.approx((1.0, 1 - 0.5, 1 + 1.3))  # hypot(0.3, 0.4), (0.5, 1.2)
    cut = intervals.add_independent_error(first, second, (0.6, 2.0))
    assert ends(cut) == pytest.approx((1.0, 0.6, 2.0))
    assert ends(intervals.widest_interval(first, second)) == (1.0, 0.7, 10.2)
    assert ends(intervals.widest_interval(second, first)) == (9.0, 0.7, 10.2)


@pytest.mark.parametrize("rows, kept", [(7, 3), (10, 5)])
def test_halves_are_rescaled_to_another_sample(rows, kept):
    parts = [0.3, 0.5, 0.9]
    error = numpy.std(parts, ddof=1) * math.sqrt(kept / (rows - kept))
    reach = scipy.stats.t.ppf(0.975, 2) * error
    result = intervals.interval_from_halves(0.4, torch.tensor(parts), rows)
    assert ends(result) == pytest.approx((0.4, 0.4 - reach, 0.4 + reach), rel=1e-6)  # float32
    assert ends(intervals.interval_from_halves(0.4, torch.tensor(parts), rows, (0.1, 0.7))) == (
        0.4,
        0.1,
        0.7,
    )


def test_halves_are_sorted_rows_without_repetition():
    generator = torch.Generator().manual_seed(5)
    expected = [sorted(torch.randperm(9, generator=generator)[:4].tolist()) for _ in range(2)]
    assert [half.tolist() for half in intervals.random_halves(9, 2, 5)] == expected
    with pytest.raises(ArgumentError) as caught:
        next(intervals.random_halves(9, 1, 5))
    assert (caught.value.argument, caught.value.value) == ("repeats", 1)


@pytest.mark.parametrize("bounds, high", [({}, 1.0), ({"bounds": (-math.inf, math.inf)}, None)])
def test_each_half_has_its_own_seed(bounds, high):
    calls = []

    def statistic(rows, seed):
        calls.append((rows.tolist(), seed))
        return rows.double().mean().item() / 6

    result = intervals.half_sample_interval(statistic, 7, repeats=3, seed=11, **bounds)
    halves = [half.tolist() for half in intervals.random_halves(7, 3, 11)]
    assert calls == [(list(range(7)), 11), *zip(halves, (12, 13, 14), strict=True)]
    parts = [numpy.mean(half) / 6 for half in halves]
    reach = scipy.stats.t.ppf(0.975, 2) * numpy.std(parts, ddof=1) * math.sqrt(3 / 4)
    low = 0.5 - reach if bounds else max(0.0, 0.5 - reach)
    assert ends(result) == near((0.5, low, 0.5 + reach if high is None else min(high, 0.5 + reach)))


def test_jackknife_removes_the_bias_of_a_variance():
    """The plug-in variance is too small by (n - 1) / n; the jackknife finds this exactly."""
    values = numpy.array([0.5, 2.0, 3.0, 7.0, -1.0])
    without = torch.tensor([numpy.var(numpy.delete(values, index)) for index in range(5)])
    result = intervals.jackknife(numpy.var(values), without, (6.0, 9.0))
    spread = math.sqrt(4 / 5 * ((without - without.mean()) ** 2).sum().item())
    reach, exact = scipy.stats.t.ppf(0.975, 4) * spread, numpy.var(values, ddof=1)
    assert ends(result.plug_in) == pytest.approx((numpy.var(values), 6.0, 9.0))
    assert ends(result.bias_corrected) == pytest.approx((exact, exact - reach, exact + reach))
    open_ended = intervals.jackknife(numpy.var(values), without).plug_in
    assert ends(open_ended)[1:] == pytest.approx(
        (numpy.var(values) - reach, numpy.var(values) + reach)
    )


def test_random_groups_are_of_nearly_equal_size():
    groups = intervals.random_groups(11, 4, seed=3)
    assert sorted(torch.bincount(groups).tolist()) == [2, 3, 3, 3]
    order = torch.randperm(11, generator=torch.Generator().manual_seed(3))
    assert torch.equal(groups, order.remainder(4))
