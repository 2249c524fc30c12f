"""Structural similarity against loops over windows."""

import math

import numpy as np
import pytest
import torch

from aevb.objectives._ssim import count_scales, ms_ssim, ssim

EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def window(side: int) -> np.ndarray:
    size = min(11, side)
    sigma = 1.5 * size / 11
    weights = [math.exp(-0.5 * ((i - (size - 1) / 2) / sigma) ** 2) for i in range(size)]
    return np.array(weights) / sum(weights)


def maps(x: np.ndarray, y: np.ndarray, data_range: float):
    """Luminance, and contrast times structure, of every window of two images ``[H, W]``."""
    down, across = window(x.shape[0]), window(x.shape[1])
    weight = np.outer(down, across)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    bright, structured = [], []
    for i in range(x.shape[0] - len(down) + 1):
        for j in range(x.shape[1] - len(across) + 1):
            a = x[i : i + len(down), j : j + len(across)]
            b = y[i : i + len(down), j : j + len(across)]
            mean_a, mean_b = (weight * a).sum(), (weight * b).sum()
            var_a, var_b = (weight * (a - mean_a) ** 2).sum(), (weight * (b - mean_b) ** 2).sum()
            cov = (weight * (a - mean_a) * (b - mean_b)).sum()
            bright.append((2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1))
            structured.append((2 * cov + c2) / (var_a + var_b + c2))
    return np.array(bright), np.array(structured)


def halved(image: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels; of fewer at the edge of an odd side."""
    height, width = ((side + 1) // 2 for side in image.shape)
    return np.array(
        [
            [image[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean() for j in range(width)]
            for i in range(height)
        ]
    )


def images(height: int, width: int, noise: float = 0.4):
    generator = torch.Generator().manual_seed(height)
    x = 3 * torch.rand(2, 2, height, width, generator=generator, dtype=torch.float64)
    other = 3 * torch.rand(2, 2, height, width, generator=generator, dtype=torch.float64)
    return x, (1 - noise) * x + noise * other


@pytest.mark.parametrize("height, width", [(13, 12), (11, 7), (3, 14), (1, 1)])
def test_the_mean_over_windows_of_luminance_and_structure(height, width):
    x, y = images(height, width)
    expected = []
    for n in range(2):
        values = [np.prod(maps(x[n, c].numpy(), y[n, c].numpy(), 3.0), 0).mean() for c in range(2)]
        expected.append(np.mean(values))
    assert ssim(x, y, 3.0).tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "side, count",
    [(1, 1), (6, 1), (7, 2), (8, 2), (13, 3), (24, 3), (25, 4), (48, 4), (49, 5), (500, 5)],
)
def test_the_coarsest_scale_has_four_pixels(side, count):
    assert count_scales(torch.zeros(1, side, side + 9)) == count
    assert count_scales(torch.zeros(1, side + 9, side)) == count


@pytest.mark.parametrize("noise", [0.4, 1.0])
@pytest.mark.parametrize("height, width", [(6, 5), (9, 7), (14, 17)])
def test_the_product_over_scales(height, width, noise):
    """Odd sides, one to three scales, and factors below the floor where images are unrelated."""
    x, y = images(height, width, noise)
    count = count_scales(x)
    expected = []
    for n in range(2):
        channels = []
        for c in range(2):
            a, b, product = x[n, c].numpy(), y[n, c].numpy(), 1.0
            for scale in range(count):
                if scale:
                    a, b = halved(a), halved(b)
                bright, structured = maps(a, b, 3.0)
                last = scale == count - 1
                factor = max(0.01, (bright * structured if last else structured).mean())
                share = EXPONENTS[scale] * sum(EXPONENTS) / sum(EXPONENTS[:count])
                product *= factor**share
            channels.append(product)
        expected.append(np.mean(channels))
    assert ms_ssim(x, y, 3.0).tolist() == pytest.approx(expected, rel=1e-9)
