"""Quality of reconstructions: squared error, PSNR and SSIM."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..._memory import default_block_size, explain_out_of_memory
from ...data import Rows
from ...data._spec import is_image
from ...errors import ArgumentError, DataError
from ...inference._batches import iter_batches, model_dtype, seeded_evaluation
from ...inference._inputs import as_model_rows
from ...models import VAE
from ...notes import Argument, message
from ...objectives._ssim import ssim
from .._intervals import Interval, interval_over_rows


@dataclass(frozen=True)
class ReconstructionQuality:
    """How close reconstructions are to the data, averaged over rows.

    Args:
        squared_error: Mean over the elements of a row, in squared units of the data.
        psnr: ``10 log10(data_range^2 / squared_error)`` in decibels; ``None`` where elements have
            different units.
        ssim: Structural similarity of images.
        data_range: Difference of the largest and the smallest possible value.
    """

    squared_error: Interval
    psnr: Interval | None
    ssim: Interval | None
    data_range: float | None


def reconstruction_quality(
    model: VAE,
    x: Any,
    data_range: float | None = None,
    *,
    units: Tensor | None = None,
    names: Tensor | None = None,
    block_size: int = 256,
) -> ReconstructionQuality:
    """Compare data with their reconstructions, the decoder's means.

    Missing cells do not count, nor rows of missing cells only.

    Args:
        model: The model. Its weights are not changed.
        x: Rows ``[N, *event]``: a tensor, an array or ``Rows``.
        data_range: Difference of the largest and the smallest possible value; that of ``x`` by
            default.
        units: What counts as 1 in each element, ``[*event]``, where elements have different units,
            as columns of a table. With their standard deviations a squared error of 1 is that of
            the columns' means. PSNR, which needs a single range, is then left out.
        names: Which elements are codes of categories, ``[*event]``: any other code is an error of 1
            unit.
        block_size: Largest number of rows that are reconstructed at once.

    Returns:
        Squared error, PSNR and, for images, SSIM.

    Raises:
        ArgumentError: ``data_range`` or ``units`` are not positive.
        DataError: All cells are missing, or a row is one that the model cannot take.

    Example:
        >>> from aevb import likelihoods, networks, posteriors, priors
        >>> model = VAE(
        ...     priors.Normal(2),
        ...     posteriors.Normal(networks.MLP(64, [8]), 2),
        ...     likelihoods.Bernoulli(networks.MLP(2, [8]), (8, 8)),
        ... )
        >>> result = reconstruction_quality(model, torch.ones(5, 8, 8), data_range=1.0)
        >>> result.ssim is not None, result.psnr.value > 0
        (True, True)
    """
    rows = as_model_rows(model, x)
    low, high, whole = _value_range(rows)
    span = high - low if data_range is None else data_range
    if units is None and not span > 0:
        raise ArgumentError(
            message(
                "give the difference of the largest and the smallest value, as {example}",
                example=Argument("data_range", 255),
            ),
            argument="data_range",
            value=span,
        )
    if units is not None and (tuple(units.shape) != model.event_shape or not (units > 0).all()):
        raise ArgumentError(
            f"`units` has the shape {tuple(units.shape)}; give a number above 0 for each of "
            f"{model.event_shape}",
            argument="units",
        )
    image = is_image(model.event_shape) and whole and units is None
    scale = 1.0 if units is None else units.to(model.device)
    block_size = default_block_size(math.prod(model.event_shape), max_rows=block_size)
    errors, similar = [], []
    with (
        seeded_evaluation(model, seed=0),
        explain_out_of_memory("in an evaluation", block=block_size),
    ):
        for batch in iter_batches(rows, block_size, model_dtype(model)):
            reconstruction = model.decode(model.infer(batch).mean, batch.context)
            x = model.to_data_units(batch.x)
            error = x - reconstruction
            if names is not None:
                wrong = (error != 0).to(error.dtype).where(~x.isnan(), math.nan)
                error = torch.where(names.to(error.device), wrong, error)
            errors.append((error / scale).double().square().flatten(1).nanmean(1).cpu())
            if image:
                similar.append(ssim(_as_images(x), _as_images(reconstruction), span).double().cpu())
    squared = torch.cat(errors)
    squared = squared[~squared.isnan()]
    error = interval_over_rows(squared, bounds=(0.0, math.inf))
    if units is not None:
        return ReconstructionQuality(error, None, None, None)
    decibels = (
        10 * (span**2 / squared.clamp(min=torch.finfo(torch.float32).eps ** 2 * span**2)).log10()
    )
    return ReconstructionQuality(
        error,
        interval_over_rows(decibels),
        interval_over_rows(torch.cat(similar)) if image else None,
        span,
    )


def _value_range(rows: Rows) -> tuple[float, float, bool]:
    """Smallest and largest value, and whether no cell is missing; in blocks, for rows in files."""
    low, high, whole = math.inf, -math.inf, True
    for start in range(0, len(rows), 4096):
        piece = rows[start : start + 4096]
        observed = piece[~piece.isnan()]
        whole = whole and observed.numel() == piece.numel()
        if observed.numel():
            low, high = min(low, observed.min().item()), max(high, observed.max().item())
    if low > high:
        raise DataError("all cells of `x` are missing, so that there is nothing to compare with")
    return low, high, whole


def _as_images(x: Tensor) -> Tensor:
    """Images ``[N, C, H, W]``."""
    return x if x.dim() == 4 else x.unsqueeze(1)
