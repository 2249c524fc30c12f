"""Classifier two-sample test of samples against data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ...errors import check_choice
from .._features import pixel_features
from .._intervals import NORMAL_QUANTILE_975, Interval, proportion_interval
from .._optional import import_sklearn
from ._feature_tables import feature_tables

MIN_CLASSIFIER_ROWS = 20
"""Fewest rows of either set."""


ClassifierName = Literal["gradient_boosting", "logistic_regression"]


@dataclass(frozen=True)
class TwoSampleTest:
    """Result of a classifier that separates samples from data; the accuracy is 1/2 if it cannot.

    Args:
        accuracy: On held-out rows.
        p_value: Probability of an accuracy at least as high for two sets of one distribution.
        n_rows: Number of held-out rows, half of them samples.
        auc: Area under the curve of the classifier's scores: the probability that a sample scores
            higher than a row of the data.
        classifier: The classifier.
    """

    accuracy: Interval
    p_value: float
    n_rows: int
    auc: Interval
    classifier: ClassifierName


def classifier_test(
    real: Any, generated: Any, *, classifier: ClassifierName = "gradient_boosting", seed: int = 0
) -> TwoSampleTest:
    """Test whether a classifier can separate samples from data.

    By default gradient-boosted trees, which find almost any difference; logistic regression finds
    differences of means only. The classifier trains on half of the rows of either set and is tested
    on the other half, with as many samples as data in each: otherwise chance would be below 1/2.
    The p-value is that of the normal limit of the accuracy under one distribution, ``N(1/2, 1 /
    (4 n))``. Designed for tables; images are treated as rows of pixels.

    Lopez-Paz and Oquab, Revisiting classifier two-sample tests (2017). Needs scikit-learn.

    Args:
        real: Rows ``[N, *event]``: a tensor, an array or ``Rows``.
        generated: Samples ``[M, *event]``.
        classifier: ``"gradient_boosting"`` or ``"logistic_regression"``.
        seed: Seed of the split and of the trees.

    Returns:
        The accuracy with its p-value, and the area under the curve with the interval of DeLong et
        al. (1988).

    Raises:
        ArgumentError: The classifier is unknown.
        DataError: There are fewer than 20 rows in a set, shapes differ, or values are not finite.
        MissingExtraError: scikit-learn is not installed.

    Example:
        >>> x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
        >>> classifier_test(x[:20], x[20:] + 100).accuracy.value
        1.0
    """
    check_choice("classifier", classifier, get_args(ClassifierName))
    sets = feature_tables(real, generated, pixel_features(), MIN_CLASSIFIER_ROWS)
    half = min(map(len, sets)) // 2
    generator = torch.Generator().manual_seed(seed)
    shuffled = [table[torch.randperm(len(table), generator=generator)] for table in sets]
    train, test = (
        torch.cat([table[start : start + half] for table in shuffled]).numpy()
        for start in (0, half)
    )
    truth = torch.arange(2 * half) >= half
    model = _CLASSIFIERS[classifier](half, seed).fit(train, truth.numpy())
    hits = torch.from_numpy(model.predict(test)) == truth
    accuracy = proportion_interval(hits)
    z = (accuracy.value - 0.5) * 2 * math.sqrt(len(hits))
    scores = torch.from_numpy(model.decision_function(test))
    return TwoSampleTest(
        accuracy,
        0.5 * math.erfc(z / math.sqrt(2)),
        len(hits),
        area_under_curve(scores[half:], scores[:half]),
        classifier,
    )


def _gradient_boosting(n_rows: int, seed: int) -> Any:
    """Trees for ``n_rows`` rows of either set."""
    ensemble = import_sklearn("ensemble", "the classifier two-sample test")
    leaf = min(20, max(2, n_rows // 5))  # with scikit-learn's 20, fewer than 40 rows never split
    return ensemble.HistGradientBoostingClassifier(min_samples_leaf=leaf, random_state=seed)


def _logistic_regression(n_rows: int, seed: int) -> Any:
    """A linear classifier of standardised features."""
    linear_model = import_sklearn("linear_model", "the classifier two-sample test")
    scaler = import_sklearn("preprocessing", "the classifier two-sample test").StandardScaler()
    pipeline = import_sklearn("pipeline", "the classifier two-sample test")
    return pipeline.make_pipeline(scaler, linear_model.LogisticRegression(max_iter=1000))


_CLASSIFIERS: dict[str, Callable[[int, int], Any]] = {
    "gradient_boosting": _gradient_boosting,
    "logistic_regression": _logistic_regression,
}


def area_under_curve(positive: Tensor, negative: Tensor) -> Interval:
    """The probability that a score ``[N]`` exceeds one of ``[M]``; equal scores count half.

    With the interval of DeLong, DeLong and Clarke-Pearson (1988).

    >>> area_under_curve(torch.tensor([2.0, 3.0]), torch.tensor([1.0, 2.0])).value
    0.875
    """
    above, below = _share_below(positive, negative), 1 - _share_below(negative, positive)
    value = above.mean().item()
    parts = [(each.var() / len(each)).item() for each in (above, below)]
    reach = NORMAL_QUANTILE_975 * math.sqrt(sum(parts))
    return Interval(value, max(0.0, value - reach), min(1.0, value + reach), "DeLong")


def _share_below(scores: Tensor, others: Tensor) -> Tensor:
    """The share of the others below each score; equal ones count half."""
    ordered = others.sort().values
    below, up_to = (torch.searchsorted(ordered, scores, right=right) for right in (False, True))
    return (below + up_to).double() / (2 * len(others))
