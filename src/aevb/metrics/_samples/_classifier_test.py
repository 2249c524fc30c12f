"""Whether a classifier tells samples from data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from .._features import pixel_features
from .._intervals import Interval, proportion_interval
from .._optional import import_sklearn
from ._feature_tables import feature_tables

MIN_CLASSIFIER_ROWS = 20  # rows of either set


@dataclass(frozen=True)
class TwoSampleTest:
    """Whether a classifier tells samples from data: accuracy 1/2 where it cannot."""

    accuracy: Interval
    p_value: (
        float  # of an accuracy at least as high where both sets are drawn from one distribution
    )
    n_rows: int  # held-out rows, half of them samples


def classifier_test(real: Any, generated: Any, *, seed: int = 0) -> TwoSampleTest:
    """Train gradient-boosted trees to tell samples from data on half of the rows of either set, and test them on the other half.

    As many samples as data are taken, for training and for testing: what one half had too many of, the other would have too few of, and
    chance would be below 1/2. The p-value is that of the normal distribution to which the accuracy tends, ``N(1/2, 1 / (4 n))``, where
    both are draws from one distribution. Made for tables; images are rows of pixels.

    Lopez-Paz and Oquab, Revisiting classifier two-sample tests (2017). Needs scikit-learn. Raises ``DataError`` for fewer than 20 rows
    of either, for rows of another shape, and for numbers that are not finite.

    >>> x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    >>> classifier_test(x[:20], x[20:] + 100).accuracy.value
    1.0
    """
    ensemble = import_sklearn("ensemble", "the classifier two-sample test")
    sets = feature_tables(real, generated, pixel_features(), MIN_CLASSIFIER_ROWS)
    half = min(map(len, sets)) // 2
    generator = torch.Generator().manual_seed(seed)
    shuffled = [table[torch.randperm(len(table), generator=generator)] for table in sets]
    known, asked = (
        torch.cat([table[start : start + half] for table in shuffled]).numpy()
        for start in (0, half)
    )
    truth = torch.arange(2 * half) >= half
    leaf = min(20, max(2, half // 5))  # rows: with scikit-learn's 20, fewer than 40 are never split
    model = ensemble.HistGradientBoostingClassifier(min_samples_leaf=leaf, random_state=seed).fit(
        known, truth.numpy()
    )
    hits = torch.from_numpy(model.predict(asked)) == truth
    accuracy = proportion_interval(hits)
    z = (accuracy.value - 0.5) * 2 * math.sqrt(len(hits))
    return TwoSampleTest(accuracy, 0.5 * math.erfc(z / math.sqrt(2)), len(hits))
