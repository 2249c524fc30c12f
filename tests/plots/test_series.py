"""Pictures of series and of video."""

import numpy as np
import pytest
import torch

from aevb import plots
from aevb.errors import ArgumentError


def test_each_channel_has_a_panel_with_a_line_per_series():
    x = torch.arange(24.0).reshape(2, 4, 3)
    x[1, 2:] = torch.nan
    panels = plots.series(x, x + 1, ["a", "b", "c"]).child_axes
    assert [panel.get_title() for panel in panels] == ["a", "b", "c"]
    solid, dashed = panels[1].lines[:2], panels[1].lines[2:]
    np.testing.assert_array_equal(solid[0].get_ydata(), [1, 4, 7, 10])
    np.testing.assert_array_equal(solid[1].get_ydata(), [13, 16, np.nan, np.nan])
    np.testing.assert_array_equal(dashed[0].get_ydata(), [2, 5, 8, 11])
    assert dashed[0].get_color() == solid[0].get_color()


def test_other_data_are_refused():
    with pytest.raises(ArgumentError):
        plots.series(torch.zeros(3, 4))


def test_frames_of_a_video_are_side_by_side():
    x = np.random.default_rng(0).random((2, 3, 1, 4, 5))
    strips = plots.film_strips(x)
    assert strips.shape == (2, 1, 4, 15)
    np.testing.assert_array_equal(strips[1, :, :, 5:10], x[1, 1])
