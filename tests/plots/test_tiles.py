"""Images in a grid."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from aevb import plots
from aevb.errors import ArgumentError
from aevb.plots._tiles import tile_images


@pytest.mark.parametrize("shape", [(5, 4, 6), (5, 1, 4, 6), (5, 3, 4, 6)])
def test_tiles_contain_every_image_in_order(shape):
    x = torch.rand(shape)
    picture = tile_images(x, 2, (0.0, 1.0))
    assert picture.shape == (3 * 5 - 1, 2 * 7 - 1, 4)
    third = picture[5:9, 0:6]  # the third image: second row, first column
    grey = x[2].expand(3, 4, 6) if x.ndim == 3 or shape[1] == 1 else x[2]
    np.testing.assert_allclose(third[..., :3], grey.permute(1, 2, 0).numpy(), atol=1e-6)
    # gaps and the missing sixth image are transparent
    assert (picture[4, :, 3] == 0).all() and (picture[10:, 7:, 3] == 0).all()


def test_limits_are_black_and_white_and_values_beyond_are_clipped():
    picture = tile_images(torch.tensor([[[-1.0, 0.0, 5.0, 10.0, 20.0]]]), 1, (0.0, 10.0))
    np.testing.assert_allclose(picture[0, :, 0], [0, 0, 0.5, 1, 1])


def test_a_single_image_is_refused():
    with pytest.raises(ArgumentError) as caught:
        plots.images(torch.rand(8, 8))
    assert caught.value.argument == "x" and "x[None]" in caught.value.suggestions[0]


def test_blurring_loses_high_frequencies_and_noise_adds_them():
    x = torch.rand(16, 28, 28, generator=torch.Generator().manual_seed(0))
    blurred = nn.functional.avg_pool2d(x[:, None], 3, 1, 1)[:, 0]
    assert plots.high_frequency_ratio(x, x) == pytest.approx(1)
    assert plots.high_frequency_ratio(x, blurred) < 0.2
    assert plots.high_frequency_ratio(x, x + torch.rand(x.shape)) > 1.5
    assert math.isnan(plots.high_frequency_ratio(torch.ones(2, 8, 8), x[:2, :8, :8]))


def test_high_frequency_ratio_of_pure_waves():
    x = torch.arange(16, dtype=torch.float64)
    slow, fast = torch.cos(2 * torch.pi * x * 2 / 16), torch.cos(2 * torch.pi * x * 6 / 16)
    wave = (slow + fast).expand(1, 16, 16)
    assert plots.high_frequency_ratio(
        wave, (7 * slow + fast / 2).expand(1, 16, 16)
    ) == pytest.approx(0.25)
