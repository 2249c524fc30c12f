"""What a model can be asked about: data of its shape, finite, inside the support of its likelihood. Outside, a density is only a number."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..data import Rows
from ..errors import DataError
from ..memory import rows_at_once
from ..models import VAE
from ..types import Batch

BLOCK = 4096


@torch.no_grad()
def check_data(model: VAE, rows: Rows, name: str) -> None:
    """Refuse rows that the model cannot take: another shape, a number that is not finite, a value outside the likelihood's support."""
    if tuple(rows.event_shape) != model.event_shape:
        raise DataError(f"`{name}` has events of shape {tuple(rows.event_shape)}; the model was built for {model.event_shape}.")
    ordered, block = rows.ordered(), rows_at_once(math.prod(model.event_shape), most=BLOCK)
    for start in range(0, len(rows), block):
        check_batch(model, Batch(ordered[start : start + block]), name, start)


@torch.no_grad()
def check_batch(model: VAE, batch: Batch, name: str, start: int = 0) -> None:
    """The same for one batch, whose rows are counted from ``start``."""
    x = batch.x
    if tuple(x.shape[1:]) != model.event_shape:
        raise DataError(f"`{name}` has batches of shape {tuple(x.shape)}; the model takes {('B', *model.event_shape)}.")
    broken = ~x.isfinite().flatten(1).all(1)
    if broken.any():
        raise DataError(
            f"row {start + int(broken.nonzero()[0])} of `{name}` holds NaN or infinity, which this model cannot take; drop or fill it."
        )
    like = next(model.parameters(), torch.zeros(()))
    support = model.likelihood(torch.zeros(1, *model.latent_shape, dtype=like.dtype, device=like.device)).support
    inside = support.check(x.to(like)) if support is not None else None
    if inside is not None and not inside.all():
        row = int((~inside.reshape(len(x), -1).all(1)).nonzero()[0])
        raise DataError(
            f"row {start + row} of `{name}` holds {_offender(x[row]):g}, outside the support of "
            f"`likelihoods.{type(model.likelihood).__name__}`. " + _advice(x)
        )


def _offender(row: Tensor) -> float:
    low, high = row.min().item(), row.max().item()
    fractions = row[row != row.round()]
    return low if low < 0 else high if high > 1 or not len(fractions) else fractions[0].item()


def _advice(x: Tensor) -> str:
    low, high, whole = x.min().item(), x.max().item(), bool((x == x.round()).all())
    if low >= 0 and whole:
        return f"Use likelihoods.DiscretisedLogistic(..., levels={max(int(high) + 1, 2)}) for grey levels."
    if low >= 0 and high <= 1:
        return "Use likelihoods.ContinuousBernoulli for values in [0, 1], or binarise the data."
    return "Use likelihoods.Normal for real numbers."
