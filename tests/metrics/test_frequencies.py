"""Frequencies and latent classes equal plain formulas."""

import itertools
import math

import numpy
import pytest
import scipy.special
import scipy.stats
import torch

from aevb.metrics._baselines import _frequencies as frequencies

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize("levels", [3, None])
def test_smoothed_frequencies_of_columns(levels):
    train = torch.tensor([[0.0, 2.0], [1.0, 2.0], [1.0, math.nan], [0.0, 5.0], [1.0, 0.0]])
    x = torch.tensor([[1.0, 2.0], [0.0, 1.0], [math.nan, 5.0], [2.0, math.nan]])
    values, counts = frequencies._sort_columns(train)
    assert counts.tolist() == [5, 4]
    found = frequencies.Frequencies(values, counts, levels, 2.0).log_prob(x)
    expected = []
    for row in x.tolist():
        total = 0.0
        for column, value in enumerate(row):
            if math.isnan(value):
                continue
            seen = [v for v in train[:, column].tolist() if not math.isnan(v)]
            if levels:
                base = 1 / 3
            else:  # moments: the variance is at least a little above the mean
                mean = numpy.mean(seen)
                excess = max(numpy.var(seen) - mean, 1e-6 * mean)
                size = mean**2 / excess
                base = scipy.stats.nbinom.pmf(value, size, size / (size + mean))
            total += math.log((seen.count(value) + 2 * base) / (len(seen) + 2))
        expected.append(total)
    assert found.tolist() == pytest.approx(expected, rel=1e-6)


def test_columns_without_an_observed_cell():
    values, counts = frequencies._sort_columns(torch.full((3, 1), math.nan))
    assert counts.tolist() == [1] and values.isinf().all()


@pytest.mark.parametrize("rows", [15, 60])
def test_smoothing_is_chosen_by_every_fifth_row(rows):
    x = torch.randint(6, (rows, 2), generator=torch.Generator().manual_seed(1)).double()
    held_out = torch.arange(rows) % 5 == 4
    scores = [
        frequencies.Frequencies(*frequencies._sort_columns(x[~held_out]), 6, smoothing)
        .log_prob(x[held_out])
        .sum()
        .item()
        for smoothing in (0.5, 2.0, 8.0, 32.0)
    ]
    found = frequencies.fit_frequencies(x, 6)
    assert found.smoothing == (0.5, 2.0, 8.0, 32.0)[int(numpy.argmax(scores))]
    assert len(found.values) == rows


def plain_classes(x, weight, levels):
    """Class weights ``[K]`` and shares ``[K, D, levels]``, with one row of all rows' values."""
    rows, columns = x.shape
    shares = numpy.zeros((weight.shape[1], columns, levels))
    for k, d, value in itertools.product(range(weight.shape[1]), range(columns), range(levels)):
        marginal = ((x[:, d] == value).sum() + 1 / levels) / (rows + 1)
        mass = weight[x[:, d] == value, k].sum() + marginal
        shares[k, d, value] = mass / (weight[:, k].sum() + 1)
    return weight.sum(0) / weight.sum(), shares


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_latent_classes(steps):
    x = torch.randint(3, (13, 2), generator=torch.Generator().manual_seed(2))
    values = frequencies.one_hot_levels(x.double(), 3)
    weight = torch.rand(13, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float32)
    weight = weight.square()
    weight = (weight / weight.sum(1, keepdim=True)).double().numpy()
    table_of = x.numpy()
    for step in range(steps + 1):
        share, parts = plain_classes(table_of, weight, 3)
        joint = numpy.array(
            [
                [
                    math.log(share[k])
                    + sum(math.log(parts[k, d, value]) for d, value in enumerate(row))
                    for k in range(2)
                ]
                for row in table_of.tolist()
            ]
        )
        if step < steps:
            weight = scipy.special.softmax(joint, 1)
    expected = scipy.special.logsumexp(joint, 1)
    torch.set_default_dtype(torch.float32)  # classes are fitted in float32
    found = frequencies._fit_classes(values, 3, 2, steps, 4)
    numpy.testing.assert_allclose(found.log_prob(x.double()), expected, rtol=1e-4)
    outside = found.log_prob(torch.tensor([[3.0, 0.0], [0.0, math.nan], [2.0, 2.0]]))
    assert outside[0] == -math.inf and outside[1].isnan() and outside[2].isfinite()


@pytest.mark.parametrize(
    "scores, rows, best, fits",
    [
        ([1.0, 2.0, 3.0], 50, 4, 3),
        ([1.0, 0.5, 3.0], 50, 1, 2),
        ([1.0, 1.0, 3.0], 50, 1, 2),
        ([1.0, 2.0, 3.0], 4, 4, 3),
        ([1.0, 2.0, 3.0], 3, 2, 3),
    ],
)
def test_classes_until_one_is_worse(scores, rows, best, fits, monkeypatch):
    sizes, tried = dict(zip((1, 2, 4), scores, strict=True)), []

    class Fitted:
        def __init__(self, values, levels, classes, *options):
            tried.append((len(values), classes))
            self.classes = classes

        def log_prob(self, x):
            return torch.full((max(len(x), 1),), sizes[self.classes])

    monkeypatch.setattr(frequencies, "_fit_classes", Fitted)
    x = torch.zeros(rows, 2)
    found = frequencies.fit_latent_classes(x, 2, (1, 2, 4))
    kept = rows - rows // 5
    assert found.classes == best
    assert tried == [*((kept, size) for size in (1, 2, 4)[:fits]), (rows, best)]
