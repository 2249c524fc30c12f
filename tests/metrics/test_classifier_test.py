"""The classifier two-sample test equals its steps one by one."""

import numpy
import pytest
import scipy.stats
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from aevb import metrics
from aevb.errors import ArgumentError, DataError
from aevb.metrics._samples._classifier_test import area_under_curve


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
    assert (result.n_rows, result.classifier) == (2 * half, "gradient_boosting")
    scores = model.decision_function(test)
    assert result.auc.value == pytest.approx(roc_auc_score(truth, scores))
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


def test_logistic_regression_sees_means_and_no_spread():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(400, 2, generator=generator) for _ in range(2))
    test = {
        (name, shift): metrics.classifier_test(a, b * scale + shift, classifier=name)
        for name in ("logistic_regression", "gradient_boosting")
        for shift, scale in ((1.0, 1.0), (0.0, 3.0))
    }
    assert test["logistic_regression", 1.0].auc.low > 0.7
    linear, trees = (test[name, 0.0] for name in ("logistic_regression", "gradient_boosting"))
    assert linear.auc.value < 0.6 and trees.auc.low > 0.7  # 0.5 by three standard errors
    assert linear.classifier == "logistic_regression"


def test_the_interval_of_an_area_is_that_of_placements():
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.randint(0, 6, (n,), generator=generator).double() for n in (15, 22))
    wins = (a[:, None] > b).double() + 0.5 * (a[:, None] == b).double()
    error = (wins.mean(1).var() / 15 + wins.mean(0).var() / 22).sqrt()
    area = area_under_curve(a, b)
    assert area.value == pytest.approx(wins.mean().item())
    assert area.high - area.value == pytest.approx(1.959964 * error.item(), rel=1e-6)


def test_an_unknown_classifier_is_refused():
    with pytest.raises(ArgumentError) as caught:
        metrics.classifier_test(*[torch.randn(20, 2)] * 2, classifier="forest")
    assert caught.value.argument == "classifier"
