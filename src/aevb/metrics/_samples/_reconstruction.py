"""How close data come back."""

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
from ...models import VAE
from ...objectives._ssim import ssim
from .._blocks import as_model_rows, iter_batches, model_dtype, seeded_evaluation
from .._intervals import Interval, interval_over_rows


@dataclass(frozen=True)
class ReconstructionQuality:
    """How close data come back, each over data; ``data_range`` is what signal is compared with."""

    squared_error: Interval  # mean over the elements of a datum, in the units of the data squared or, where these were given, in others
    psnr: (
        Interval | None
    )  # dB: 10 log10(data_range^2 / squared error), averaged over data; None where elements have units of their own
    ssim: Interval | None  # of images
    data_range: float | None


def reconstruction_quality(
    model: VAE,
    x: Any,
    data_range: float | None = None,
    *,
    units: Tensor | None = None,
    block_size: int = 256,
) -> ReconstructionQuality:
    """Squared error, PSNR and, for images, SSIM between data ``[N, *event]`` and their reconstructions, the decoder's means.

    Empty cells do not count, nor rows of nothing else. ``data_range`` is the distance between the smallest and the largest value there can
    be (that of ``x`` by default). ``units`` ``[*event]`` are those of the elements where they have none in common, as columns of a table:
    with their deviations a squared error of 1 is that of the columns' means, and PSNR, which knows one range, is left out.

    Raises ``ArgumentError`` for a range or units that are not above 0, ``DataError`` where all cells are empty.

    >>> from aevb import likelihoods, networks, posteriors, priors
    >>> model = VAE(
    ...     priors.Normal(2),
    ...     posteriors.Normal(networks.MLP(64, [8]), 2),
    ...     likelihoods.Bernoulli(networks.MLP(2, [8]), (8, 8)),
    ... )
    >>> found = reconstruction_quality(model, torch.ones(5, 8, 8), data_range=1.0)
    >>> found.ssim is not None, found.psnr.value > 0
    (True, True)
    """
    rows = as_model_rows(model, x)
    low, high, whole = _value_range(rows)
    span = high - low if data_range is None else data_range
    if units is None and not span > 0:
        raise ArgumentError(
            f"`data_range` is {span:g}; give the distance between the smallest and the largest value, as data_range=255."
        )
    if units is not None and (tuple(units.shape) != model.event_shape or not (units > 0).all()):
        raise ArgumentError(
            f"`units` has the shape {tuple(units.shape)}; give a number above 0 for each of {model.event_shape}."
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
            made = model.decode(model.infer(batch).mean, batch.context)
            errors.append(((batch.x - made) / scale).double().square().flatten(1).nanmean(1).cpu())
            if image:
                similar.append(ssim(_as_images(batch.x), _as_images(made), span).double().cpu())
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
    """The smallest and the largest value, and whether no cell is empty; a piece at a time, since rows may lie in a file."""
    low, high, whole = math.inf, -math.inf, True
    for start in range(0, len(rows), 4096):
        piece = rows[start : start + 4096]
        there = piece[~piece.isnan()]
        whole = whole and there.numel() == piece.numel()
        if there.numel():
            low, high = min(low, there.min().item()), max(high, there.max().item())
    if low > high:
        raise DataError(
            "`x` has no cell that is not empty: nothing can be compared with what comes back."
        )
    return low, high, whole


def _as_images(x: Tensor) -> Tensor:
    return x if x.dim() == 4 else x.unsqueeze(1)
