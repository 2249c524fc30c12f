"""Histograms and correlations of tables."""

import numpy as np
import pytest
from tests.plots.axes import image_array

from aevb import plots
from aevb.errors import ArgumentError


def test_histograms_cover_data_and_samples():
    rng = np.random.default_rng(0)
    whole = rng.integers(3, 6, size=(200, 1)).astype(float)
    host = plots.marginals(whole, rng.normal(4, 1, size=(200, 1)), ["$a$ < b"])
    bars = host.child_axes[0].patches[:-1]
    assert all(bar.get_width() == 1 for bar in bars) and sum(
        bar.get_height() for bar in bars
    ) == pytest.approx(1)


def test_correlations_are_those_of_the_rows():
    x, y = np.random.default_rng(0).normal(size=(2, 40, 3))
    x[:, 2] = 1.0  # constant: undefined, and no error
    left, right = plots.correlations(x, y).child_axes
    np.testing.assert_allclose(image_array(left)[0, 1], np.corrcoef(x[:, 0], x[:, 1])[0, 1])
    np.testing.assert_allclose(image_array(right), np.corrcoef(y.T))
    assert np.ma.masked_invalid(image_array(left))[0, 2] is np.ma.masked


def test_too_few_names_are_refused():
    with pytest.raises(ArgumentError, match="1 names for 3 columns") as caught:
        plots.marginals(np.zeros((4, 3)), np.zeros((4, 3)), ["a"])
    assert (caught.value.argument, caught.value.value) == ("columns", ["a"])
