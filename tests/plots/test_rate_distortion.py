"""The plane of rate and distortion."""

import math

import numpy as np
import pytest
from tests.plots.axes import legend_texts

from aevb import plots
from aevb.errors import ArgumentError


def elbo_lines(ax):
    """The lines of constant ELBO as their ends [2, 2]: they lie behind everything."""
    return [line.get_xydata() for line in ax.lines if line.get_zorder() == 1]


def test_runs_are_points_and_their_means_are_joined_in_the_order_of_beta():
    rate, distortion = [5.0, 5.2, 2.0, 2.4, 9.0], [40.0, 40.4, 44.0, 44.2, 37.0]
    ax = plots.rate_distortion(rate, distortion, latent=[2, 2, 2, 2, 8], beta=[0.5, 0.5, 4, 4, 1])
    small, large = (
        [points.get_offsets() for points in ax.collections],
        [line.get_xydata() for line in ax.lines if line.get_zorder() > 1],
    )
    np.testing.assert_allclose(np.concatenate(small), np.stack([rate, distortion], 1))
    np.testing.assert_allclose(large[0], [[5.1, 40.2], [2.2, 44.1]])
    np.testing.assert_allclose(large[1], [[9.0, 37.0]])
    assert [text.get_text() for text in ax.texts if "β" in text.get_text()] == [
        "β 0.5",
        "β 4",
        "β 1",
    ]
    assert legend_texts(ax) == ["latent 2", "latent 8"]


def test_the_elbo_along_a_line_is_that_of_its_label():
    ax = plots.rate_distortion([2.0, 7.0, 3.0], [90.0, 80.0, 86.0], latent=[1, 2, 4])
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    lines = {-round(float(line.sum(1)[0]), 6): line for line in elbo_lines(ax)}
    named = {float(text.get_text().split()[1].replace("−", "-")) for text in ax.texts}
    assert len(lines) >= 3 and named and named <= lines.keys()
    for bound, line in lines.items():
        # rate + distortion is the same at both ends
        np.testing.assert_allclose(line.sum(1), -bound)
        edges = np.isclose(line, [left, low]) | np.isclose(line, [right, high])
        assert edges.any(1).all()  # the ends are at the border of the window
    assert left < 2 and right > 7 and low < 80 and high > 90


def test_learning_rates_differ_in_their_marker():
    ax = plots.rate_distortion([1.0, 2.0], [5.0, 4.0], latent=[2, 2], learning_rate=[1e-3, 3e-3])
    assert [line.get_marker() for line in ax.lines if line.get_zorder() > 1] == ["o", "s"]
    assert legend_texts(ax) == ["latent 2", "learning rate 0.001", "learning rate 0.003"]
    assert not [text for text in ax.texts if "β" in text.get_text()]


def test_each_of_many_latent_sizes_has_a_colour():
    ax = plots.rate_distortion(np.arange(30.0), -np.arange(30.0), latent=np.arange(30))
    colours = [line.get_color() for line in ax.lines if line.get_zorder() > 1]
    assert len(set(colours)) == 30


@pytest.mark.parametrize(
    "arguments, culprit, sentence",
    [
        ({"rate": [], "distortion": [], "latent": []}, "rate", "at least one run"),
        (
            {"rate": [1.0, 2.0], "distortion": [1.0], "latent": [1, 2]},
            "distortion",
            "1 numbers, and `rate` has 2",
        ),
        ({"rate": [1.0], "distortion": [1.0], "latent": [1], "beta": [1, 2]}, "beta", "2 numbers"),
        ({"rate": [math.nan], "distortion": [1.0], "latent": [1]}, "rate", "nan"),
    ],
)
def test_unusable_runs_are_refused(arguments, culprit, sentence):
    with pytest.raises(ArgumentError, match=sentence) as caught:
        plots.rate_distortion(**arguments)
    assert caught.value.argument == culprit
