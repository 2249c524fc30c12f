"""Structural similarity of images: 1 for equal images of any size.

Wang et al., Image quality assessment: from error visibility to structural similarity (2004), and
Multiscale structural similarity for image quality assessment (2003).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
# shares of the range that, squared, keep the quotients of luminance and contrast finite
SSIM_STABILITY = (0.01, 0.03)
SSIM_SCALE_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # finest scale first
SSIM_MIN_SIDE = 4  # pixels along the shorter side of the coarsest scale
SSIM_FACTOR_FLOOR = 1e-2  # the power of a factor has no bounded slope at 0, and no value below


def ssim(x: Tensor, y: Tensor, data_range: float) -> Tensor:
    """Compute the structural similarity of images.

    It is the mean over windows of luminance times contrast and structure. Windows are Gaussian, 11
    x 11 with a standard deviation of 1.5; along an axis that is shorter, the window is as long as
    the image and the deviation in proportion. Only windows inside the image count.

    Args:
        x: Images of shape ``[N, C, H, W]``.
        y: Images of the same shape.
        data_range: Distance between the darkest and the brightest possible value.

    Returns:
        A tensor of shape ``[N]``.

    Example:
        >>> x = torch.rand(2, 1, 8, 8)
        >>> bool((ssim(x, x, data_range=1.0) - 1).abs().max() < 1e-6)
        True
    """
    luminance, structure = _luminance_and_structure(x, y, data_range)
    return (luminance * structure).mean((1, 2, 3))


def ms_ssim(x: Tensor, y: Tensor, data_range: float) -> Tensor:
    """Compute the multi-scale structural similarity ``prod_s c_s^(w_s)``.

    Each scale has half the size of the last; ``c_s`` is the mean of contrast and structure, at the
    coarsest scale times the luminance. The exponents ``w_s`` are those of the paper's five scales.
    Images with too few pixels for five have as many as leave 4 along the shorter side, with the
    exponents rescaled to the same sum. A factor below 0.01 counts as 0.01.

    Args:
        x: Images of shape ``[N, C, H, W]``.
        y: Images of the same shape.
        data_range: Distance between the darkest and the brightest possible value.

    Returns:
        A tensor of shape ``[N]``.

    Example:
        >>> x = torch.rand(2, 3, 28, 28)
        >>> bool((ms_ssim(x, x, data_range=1.0) - 1).abs().max() < 1e-6)
        True
    """
    count = count_scales(x)
    rescaled = sum(SSIM_SCALE_EXPONENTS) / sum(SSIM_SCALE_EXPONENTS[:count])
    result = x.new_ones(x.shape[:2])
    for scale, exponent in enumerate(SSIM_SCALE_EXPONENTS[:count]):
        if scale:
            x, y = (F.avg_pool2d(image, 2, ceil_mode=True) for image in (x, y))
        luminance, structure = _luminance_and_structure(x, y, data_range)
        factor = luminance * structure if scale == count - 1 else structure
        result = result * factor.mean((2, 3)).clamp(min=SSIM_FACTOR_FLOOR).pow(rescaled * exponent)
    return result.mean(1)


def count_scales(x: Tensor) -> int:
    """Return the number of scales of an image ``[..., H, W]``."""
    side, count = min(x.shape[-2:]), 1
    while count < len(SSIM_SCALE_EXPONENTS) and (side := (side + 1) // 2) >= SSIM_MIN_SIDE:
        count += 1
    return count


def _luminance_and_structure(x: Tensor, y: Tensor, data_range: float) -> tuple[Tensor, Tensor]:
    """Luminance, and contrast times structure, of every window: ``[N, C, h, w]`` each."""
    dark, flat = ((factor * data_range) ** 2 for factor in SSIM_STABILITY)
    mean_x, mean_y, square_x, square_y, product = _window_means(
        torch.stack([x, y, x * x, y * y, x * y])
    )
    luminance = (2 * mean_x * mean_y + dark) / (mean_x**2 + mean_y**2 + dark)
    variances = square_x - mean_x**2 + square_y - mean_y**2
    return luminance, (2 * (product - mean_x * mean_y) + flat) / (variances + flat)


def _window_means(images: Tensor) -> Tensor:
    """Weighted means over windows, ``[..., H, W]`` to ``[..., h, w]``: one axis after the other."""
    height, width = images.shape[-2:]
    rows = images.reshape(-1, 1, height, width)
    means = F.conv2d(
        F.conv2d(rows, _gaussian_window(height, rows).reshape(1, 1, -1, 1)),
        _gaussian_window(width, rows).reshape(1, 1, 1, -1),
    )
    return means.reshape(*images.shape[:-2], *means.shape[-2:])


def _gaussian_window(side: int, like: Tensor) -> Tensor:
    """Gaussian weights ``[size]`` for an axis of ``side`` pixels."""
    size = min(SSIM_WINDOW, side)
    offset = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    return torch.softmax(-0.5 * (offset / (SSIM_SIGMA * size / SSIM_WINDOW)).square(), 0)
