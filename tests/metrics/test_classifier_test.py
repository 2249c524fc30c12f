"""The classifier two-sample test equals its steps one by one."""

import numpy
import pytest
import scipy.stats
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

from aevb import metrics
from aevb.errors import DataError


@pytest.mark.parametrize("rows", [(20, 20), (20, 33), (47, 41), (240, 220)])
def test_accuracy_on_the_other_half(rows):
    generator = torch.Generator().manual_seed(3)
    a, b = (torch.randn(count, 2, generator=generator) for count in rows)
    b = b + 0.7
    half, shuffle = min(rows) // 2, torch.Generator().manual_seed(5)
    parts = [part[torch.randperm(len(part), generator=shuffle)].double().numpy() for part in (a, b)]
    train = numpy.concatenate([part[:half] for part in parts])
    test = numpy.concatenate([part[half : 2 * half] for part in parts])
    truth = numpy.repeat([False, True], half)
    leaf = {20: 2, 33: 2, 41: 4, 220: 20}[min(rows)]
    model = HistGradientBoostingClassifier(min_samples_leaf=leaf, random_state=5).fit(train, truth)
    hits = int((model.predict(test) == truth).sum())
    interval = scipy.stats.binomtest(hits, 2 * half).proportion_ci(method="wilson")
    result = metrics.classifier_test(a, b, seed=5)
    assert result.n_rows == 2 * half
    assert (result.accuracy.value, result.accuracy.low, result.accuracy.high) == pytest.approx(
        (hits / (2 * half), interval.low, interval.high)
    )
    assert result.p_value == pytest.approx(
        scipy.stats.norm.sf(hits, half, numpy.sqrt(2 * half) / 2)
    )


@pytest.mark.parametrize("rows", [(19, 20), (20, 19)])
def test_fewer_than_20_rows_are_refused(rows):
    with pytest.raises(DataError):
        metrics.classifier_test(*(torch.randn(count, 2) for count in rows))
