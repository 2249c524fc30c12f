"""Reconstructions and interpolations of images and of rows."""

import numpy as np
import torch
from tests.plots.axes import image_array, untrained_model

from aevb import plots
from aevb.inference import interpolate


def test_originals_are_above_their_reconstructions():
    x, y = torch.rand(20, 8, 8), torch.rand(20, 8, 8)
    picture = image_array(plots.reconstructions(x, y, limits=(0.0, 1.0)))
    np.testing.assert_allclose(picture[0:8, 9:17, 0], x[1], atol=1e-6)
    np.testing.assert_allclose(picture[9:17, 9:17, 0], y[1], atol=1e-6)
    # 4 transparent rows below the first pair
    np.testing.assert_allclose(picture[21:29, 0:8, 0], x[10], atol=1e-6)
    np.testing.assert_allclose(picture[30:38, 0:8, 0], y[10], atol=1e-6)


def test_no_image_of_an_incomplete_row_is_dropped():
    x = torch.rand(13, 8, 8)
    picture = image_array(plots.reconstructions(x, x))
    assert (
        picture.shape[0] == 38
        and (picture[30:38, 18:26, 3] == 1).all()
        and (picture[30:38, 27:, 3] == 0).all()
    )


def test_reconstructions_of_rows_are_scattered_against_originals():
    x, y = torch.randn(30, 3), torch.randn(30, 3)
    host = plots.reconstructions(x, y, ["a", "b", "c"])
    assert [part.get_title() for part in host.child_axes] == ["a", "b", "c"]
    np.testing.assert_allclose(
        host.child_axes[1].collections[0].get_offsets(),
        torch.stack([x[:, 1], y[:, 1]], 1),
        atol=1e-6,
    )


def test_the_ends_of_an_interpolation_are_the_reconstructions():
    model, x = untrained_model(), torch.rand(2, 8, 8)
    picture = image_array(
        plots.interpolation(interpolate(model, x[0], x[1], 5), limits=(-1.0, 1.0))
    )
    ends = ((model.reconstruct(x) + 1) / 2).clamp(0, 1)
    np.testing.assert_allclose(picture[:, :8, 0], ends[0], atol=1e-5)
    np.testing.assert_allclose(picture[:, -8:, 0], ends[1], atol=1e-5)
