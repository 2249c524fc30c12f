"""Disentanglement, completeness and informativeness equal their definitions."""

import math

import numpy
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier

from aevb import metrics
from aevb.metrics._disentanglement import _dci as dci
from aevb.metrics._disentanglement._factor_table import FactorTable
from aevb.metrics._intervals import half_sample_interval

IMPORTANCE = [[0.6, 0.0, 0.1], [0.4, 1.0, 0.2], [0.0, 0.0, 0.0], [0.0, 0.0, 0.7]]


def concentration(row):
    shares = [value / sum(row) for value in row if value > 0] if sum(row) else []
    if not shares:
        return 0.0
    return 1 + sum(share * math.log(share) for share in shares) / math.log(len(row))


def test_concentration_of_rows():
    table = torch.tensor(IMPORTANCE).double()
    assert dci._concentration(table).tolist() == pytest.approx(list(map(concentration, IMPORTANCE)))
    assert dci._concentration(torch.tensor([[0.3], [0.0]])).tolist() == [1.0, 1.0]
    assert dci._concentration(torch.tensor([[0.5, 0.5]])).tolist() == pytest.approx([0.0])


def test_scores_weigh_latents_by_their_importance():
    table = torch.tensor(IMPORTANCE).double()
    shares = [sum(row) / 3 for row in IMPORTANCE]
    expected = [
        sum(share * concentration(row) for share, row in zip(shares, IMPORTANCE, strict=True)),
        numpy.mean([concentration(column) for column in zip(*IMPORTANCE, strict=True)]),
        0.7,
    ]
    accuracy = torch.tensor([0.5, 0.7, 0.9]).double()
    scores = dci._dci_scores(dci._ForestScores(table, accuracy))
    assert scores.tolist() == pytest.approx(expected)
    nothing = dci._dci_scores(dci._ForestScores(torch.zeros(2, 2).double(), accuracy))
    assert nothing.tolist() == pytest.approx([0.0, 0.0, 0.7])


@pytest.mark.parametrize("most", [20, 2000])
def test_forests_learn_on_one_half_and_are_tested_on_the_other(most, monkeypatch):
    monkeypatch.setattr(dci, "MAX_FOREST_ROWS", most)
    monkeypatch.setattr(dci, "FOREST_TREES", 3)
    generator = torch.Generator().manual_seed(1)
    factors = torch.randint(2, (61, 2), generator=generator)
    z = (factors + 1.5 * torch.rand(61, 2, generator=generator)).double()
    z = z * torch.tensor([1e-44, 1e44], dtype=torch.float64)  # outside of the range of float32
    z = torch.cat([z, torch.zeros(61, 1)], 1)
    table = FactorTable.from_arrays(z, factors)
    found = {}

    def forests(rows, seed):
        train, test = table.split(rows, seed)
        scale = abs(z.numpy()).max(0).clip(1e-300)
        importance, accuracy = [], []
        for k in range(2):
            forest = RandomForestClassifier(3, max_features=None, random_state=seed)
            forest.fit(train.z.numpy()[:most] / scale, train.factors[:most, k].numpy())
            importance.append(forest.feature_importances_)
            accuracy.append(
                forest.score(test.z.numpy()[:most] / scale, test.factors[:most, k].numpy())
            )
        found.setdefault(seed, numpy.stack(importance, 1))
        columns = [concentration(column) for column in numpy.stack(importance)]
        weights = numpy.sum(importance, 0) / numpy.sum(importance)
        rows = [concentration(row) for row in numpy.stack(importance, 1)]
        return [float(weights @ rows), float(numpy.mean(columns)), float(numpy.mean(accuracy))]

    result = metrics.dci(z, factors, repeats=2, seed=4)
    for index, name in enumerate(("disentanglement", "completeness", "informativeness")):
        expected = half_sample_interval(
            lambda rows, seed, index=index: forests(rows, seed)[index], 61, repeats=2, seed=4
        )
        interval = getattr(result, name)
        assert (interval.value, interval.low, interval.high) == pytest.approx(
            (expected.value, expected.low, expected.high)
        )
    numpy.testing.assert_allclose(result.importance, found[4])
