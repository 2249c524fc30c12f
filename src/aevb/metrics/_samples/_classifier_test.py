"""Classifier two-sample test of samples against data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from .._features import pixel_features
from .._intervals import Interval, proportion_interval
from .._optional import import_sklearn
from ._feature_tables import feature_tables

MIN_CLASSIFIER_ROWS = 20
"""Fewest rows of either set."""


@dataclass(frozen=True)
class TwoSampleTest:
    """Result of a classifier that separates samples from data; the accuracy is 1/2 if it cannot.

    Args:
        accuracy: On held-out rows.
        p_value: Probability of an accuracy at least as high for two sets of one distribution.
        n_rows: Number of held-out rows, half of them samples.
    """

    accuracy: Interval
    p_value: float
    n_rows: int


def classifier_test(real: Any, generated: Any, *, seed: int = 0) -> TwoSampleTest:
    """Test whether gradient-boosted trees can separate samples from data.

    They train on half of the rows of either set and are tested on the other half, with as many
    samples as data in each: otherwise chance would be below 1/2. The p-value is that of the normal
    limit of the accuracy under one distribution, ``N(1/2, 1 / (4 n))``. Designed for tables; images
    are treated as rows of pixels.

    Lopez-Paz and Oquab, Revisiting classifier two-sample tests (2017). Needs scikit-learn.

    Args:
        real: Rows ``[N, *event]``: a tensor, an array or ``Rows``.
        generated: Samples ``[M, *event]``.
        seed: Seed of the split and of the trees.

    Returns:
        The accuracy with its p-value.

    Raises:
        DataError: There are fewer than 20 rows in a set, shapes differ, or values are not finite.
        MissingExtraError: scikit-learn is not installed.

    Example:
        >>> x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
        >>> classifier_test(x[:20], x[20:] + 100).accuracy.value
        1.0
    """
    ensemble = import_sklearn("ensemble", "the classifier two-sample test")
    sets = feature_tables(real, generated, pixel_features(), MIN_CLASSIFIER_ROWS)
    half = min(map(len, sets)) // 2
    generator = torch.Generator().manual_seed(seed)
    shuffled = [table[torch.randperm(len(table), generator=generator)] for table in sets]
    train, test = (
        torch.cat([table[start : start + half] for table in shuffled]).numpy()
        for start in (0, half)
    )
    truth = torch.arange(2 * half) >= half
    leaf = min(20, max(2, half // 5))  # with scikit-learn's 20, fewer than 40 rows never split
    model = ensemble.HistGradientBoostingClassifier(min_samples_leaf=leaf, random_state=seed).fit(
        train, truth.numpy()
    )
    hits = torch.from_numpy(model.predict(test)) == truth
    accuracy = proportion_interval(hits)
    z = (accuracy.value - 0.5) * 2 * math.sqrt(len(hits))
    return TwoSampleTest(accuracy, 0.5 * math.erfc(z / math.sqrt(2)), len(hits))
