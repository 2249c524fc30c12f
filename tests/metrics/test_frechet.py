"""Frechet distances, and their jackknife, equal formulas over the rows that are left."""

import math

import numpy
import pytest
import scipy.linalg
import torch

from aevb import metrics
from aevb.errors import ArgumentError, DataError
from aevb.metrics._intervals import Interval, jackknife, random_groups
from aevb.metrics._samples import _feature_tables as tables
from aevb.metrics._samples._frechet import FrechetDistance


def plain_distance(mean_a, covariance_a, mean_b, covariance_b):
    root = scipy.linalg.sqrtm(covariance_a @ covariance_b)
    return (
        ((mean_a - mean_b) ** 2).sum()
        + numpy.trace(covariance_a)
        + numpy.trace(covariance_b)
        - 2 * numpy.trace(root).real
    )


def sets(rows_a, rows_b, dimensions=2):
    generator = torch.Generator().manual_seed(1)
    mix = torch.eye(dimensions) + 0.5
    a, b = (
        torch.randn(rows, dimensions, generator=generator).double() @ mix.double()
        for rows in (rows_a, rows_b)
    )
    return a, 2 * b + 1


def of_rows(a, b):
    return plain_distance(
        a.mean(0), numpy.cov(a.T).reshape(2, 2), b.mean(0), numpy.cov(b.T).reshape(2, 2)
    )


def test_distance_of_gaussians():
    generator = numpy.random.default_rng(0)
    (mean_a, mean_b), roots = generator.normal(size=(2, 3)), generator.normal(size=(2, 3, 3))
    pair = mean_a, roots[0] @ roots[0].T, mean_b, roots[1] @ roots[1].T
    found = metrics.gaussian_frechet_distance(*map(torch.from_numpy, pair))
    assert found == pytest.approx(plain_distance(*pair), rel=1e-9)


@pytest.mark.parametrize(
    "change, argument",
    [
        ({"mean_b": torch.zeros(3)}, "mean_b"),
        ({"mean_a": torch.zeros(2, 1)}, "mean_a"),
        ({"covariance_a": torch.eye(3)}, "covariance_a"),
        ({"covariance_b": torch.zeros(2)}, "covariance_b"),
        ({"covariance_a": torch.diag(torch.tensor([1.0, -1.1e-6]))}, "covariance_a"),
        ({"covariance_b": torch.diag(torch.tensor([-10.1e-6, 10.0]))}, "covariance_b"),
    ],
)
def test_invalid_moments_are_refused(change, argument):
    good = {
        "mean_a": torch.zeros(2),
        "covariance_a": torch.diag(torch.tensor([-9e-6, 10.0])),  # a 0 with rounding error
        "mean_b": torch.ones(2),
        "covariance_b": torch.eye(2),
    }
    distance = metrics.gaussian_frechet_distance(**good)
    assert distance == pytest.approx(2 + 10 + 2 - 2 * math.sqrt(10), abs=2e-5)
    with pytest.raises(ArgumentError) as caught:
        metrics.gaussian_frechet_distance(**good | change)
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    "rows, groups, used", [((17, 11), 3, 3), ((17, 11), 20, 5), ((6, 17), 20, 3)]
)
def test_jackknife_leaves_out_a_group_of_both_sets(rows, groups, used):
    a, b = sets(*rows)
    group_a, group_b = (random_groups(count, used, 7).numpy() for count in rows)
    without = [of_rows(a.numpy()[group_a != g], b.numpy()[group_b != g]) for g in range(used)]
    whole = of_rows(a.numpy(), b.numpy())
    expected = jackknife(whole, torch.tensor(without), (0.0, math.inf))
    result = metrics.frechet_distance(a, b, groups=groups, seed=7)
    for found, truth in (
        (result.distance, expected.plug_in),
        (result.bias_corrected, expected.bias_corrected),
    ):
        assert (found.value, found.low, found.high) == pytest.approx(
            (truth.value, truth.low, truth.high)
        )
    assert (result.n_real, result.n_generated, result.dimensions) == (*rows, 2)
    assert result.n_constant_features == 0


@pytest.mark.parametrize(
    "rows, dimensions, constant, known",
    [
        ((8, 20), 5, 0, True),  # 2 groups of 4 rows leave 4: no; 4 groups of 2 leave 6
        ((8, 20), 6, 0, False),
        ((20, 8), 6, 0, False),
        ((8, 20), 6, 1, True),
        ((9, 20), 5, 0, True),  # 4 groups, of which the largest has 3 rows, leave 6
        ((9, 20), 6, 0, False),
        ((20, 8), 8, 2, False),
        ((20, 8), 8, 3, True),
    ],
)
def test_bias_is_known_with_more_rows_than_varying_features(rows, dimensions, constant, known):
    a, b = sets(*rows, dimensions)
    a[:, :constant] = 1.0
    if constant > 1:
        a[:, 1], b[:, 1], b[:, 0] = torch.arange(float(len(a))), 2.0, 3.0
    result = metrics.frechet_distance(a, b)
    assert result.n_constant_features == constant
    assert (result.bias_corrected is not None) == known


def test_sets_without_spread_have_no_distance():
    a, b = sets(5, 6)
    for pair in ((a * 0, b), (a, b * 0)):
        assert metrics.frechet_distance(*pair).n_constant_features == 2
    with pytest.raises(DataError):
        metrics.frechet_distance(a * 0, b * 0 + 1)


@pytest.mark.parametrize(
    "corrected, constant, expected",
    [
        (None, 0, [("frechet_bias_unknown", {"rows": 7, "features": 4})]),
        (2.0, 0, []),  # the bias is within the interval
        (1.9, 1, [("frechet_bias", None), ("constant_features", {"constant": 1, "features": 4})]),
        (4.0, 0, []),
    ],
)
def test_notes_of_bias_and_constant_features(corrected, constant, expected):
    distance = Interval(3.0, 2.5, 4.0, "")
    bias_corrected = None if corrected is None else Interval(corrected, 0.0, 9.0, "")
    notes = FrechetDistance(distance, bias_corrected, None, 9, 7, 4, constant).notes
    assert [note.code for note in notes] == [code for code, _ in expected]
    for note, (_, data) in zip(notes, expected, strict=True):
        assert dict(note.data) == (
            data or {"rows": 7, "features": 4, "bias": pytest.approx(3.0 - corrected)}
        )


# tables and groups of rows


@pytest.mark.parametrize(
    "rows, accepted", [((4, 4), True), ((3, 4), False), ((4, 3), False), ((9, 4), True)]
)
def test_rows_of_either_set(rows, accepted):
    if accepted:
        a, b = tables.feature_tables(*sets(*rows), metrics.pixel_features(), 4)
        assert (len(a), len(b)) == rows
    else:
        with pytest.raises(DataError) as caught:
            tables.feature_tables(*sets(*rows), metrics.pixel_features(), 4)
        assert caught.value.argument == ("real" if rows[0] < 4 else "generated")


def test_sets_of_other_shapes_or_without_features_are_refused():
    a, b = sets(5, 6)
    with pytest.raises(DataError):
        tables.feature_tables(a, b.unsqueeze(1), metrics.pixel_features(), 4)
    with pytest.raises(DataError) as caught:
        tables.feature_tables(a, b * math.nan, metrics.pixel_features(), 4)
    assert caught.value.argument == "generated"


def test_random_rows_up_to_a_limit():
    table = torch.arange(9)[:, None]
    assert torch.equal(tables.random_rows(table, 9, 3), table)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(3))
    assert tables.random_rows(table, 8, 3)[:, 0].tolist() == order[:8].tolist()


@pytest.mark.parametrize(
    "rows, groups, used", [((9, 7), 2, 2), ((9, 7), 3, 3), ((9, 7), 4, 3), ((7, 12), 20, 3)]
)
def test_groups_of_two_rows_or_more(rows, groups, used):
    pair = tables.random_group_pairs(torch.zeros(rows[0]), torch.zeros(rows[1]), groups, 5)
    for found, count in zip(pair, rows, strict=True):
        assert torch.equal(found, random_groups(count, used, 5))
    with pytest.raises(ArgumentError):
        tables.random_group_pairs(torch.zeros(9), torch.zeros(9), 1, 5)
