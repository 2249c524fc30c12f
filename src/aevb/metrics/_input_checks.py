"""What a model can be asked about: data of its shape, finite, inside the support of its likelihood. Outside, a density is only a number."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import constraints

from .._memory import default_block_size
from ..data import Rows
from ..errors import DataError
from ..models import VAE
from ..types import Batch

INPUT_CHECK_BLOCK_SIZE = 4096


@torch.no_grad()
def check_data(model: VAE, rows: Rows, name: str) -> None:
    """Refuse rows that the model cannot take: another shape, a number that is not finite, a value outside the likelihood's support."""
    if tuple(rows.event_shape) != model.event_shape:
        raise DataError(
            f"`{name}` has events of shape {tuple(rows.event_shape)}; the model was built for {model.event_shape}."
        )
    ordered, block = (
        rows.in_storage_order(),
        default_block_size(math.prod(model.event_shape), max_rows=INPUT_CHECK_BLOCK_SIZE),
    )
    for start in range(0, len(rows), block):
        check_batch(model, Batch(ordered[start : start + block]), name, start)


@torch.no_grad()
def check_batch(model: VAE, batch: Batch, name: str, start: int = 0) -> None:
    """The same for one batch, whose rows are counted from ``start``."""
    x = batch.x
    if tuple(x.shape[1:]) != model.event_shape:
        raise DataError(
            f"`{name}` has batches of shape {tuple(x.shape)}; the model takes {('B', *model.event_shape)}."
        )
    empty = x.isnan() if model.likelihood.allows_missing else torch.zeros_like(x, dtype=torch.bool)
    broken = ~(x.isfinite() | empty).flatten(1).all(1)
    if broken.any():
        raise DataError(
            f"row {start + int(broken.nonzero()[0])} of `{name}` holds NaN or infinity, which this model cannot take; drop or fill it"
            + (
                "."
                if model.likelihood.allows_missing
                else ", or let NaN mean an empty cell: likelihoods.Missing(...), networks.FillMissing(...)."
            )
        )
    _check_encoder(model, batch, empty, name, start)
    like = next(model.parameters(), torch.zeros(()))
    support = model.likelihood(
        torch.zeros(1, *model.latent_shape, dtype=like.dtype, device=like.device),
        model.null_context,
    ).support
    if support is None:
        return
    inside = support.check(x.to(like))
    if not inside.all():
        row = int((~inside.reshape(len(x), -1).all(1)).nonzero()[0])
        raise DataError(
            f"row {start + row} of `{name}` holds {_value_outside_support(x.to(like)[row], support):g}, outside the support of "
            f"`likelihoods.{type(model.likelihood).__name__}`. " + _suggest_likelihood(x)
        )


def _check_encoder(model: VAE, batch: Batch, empty: Tensor, name: str, start: int) -> None:
    """Refuse empty cells where the posterior's network would make NaN of them."""
    holed = empty.flatten(1).any(1).nonzero()
    if not len(holed) or model.posterior.n_rows is not None:
        return
    row = int(holed[0])
    context = model.null_context if batch.context is None else batch.context[row : row + 1]
    if model.infer(Batch(model.to_model_input(batch.x[row : row + 1]), context)).mean.isnan().any():
        raise DataError(
            f"row {start + row} of `{name}` has empty cells, of which the posterior's network makes NaN; put `networks.FillMissing(...)` "
            "around it, inside of `networks.Standardise` where there is one."
        )


def _value_outside_support(row: Tensor, support: constraints.Constraint) -> float:
    """A value of the row that the support does not hold: its least, its greatest, or one with a fraction."""
    there = row[~row.isnan()]
    suspects = [there.min(), there.max(), *there[there != there.round()][:1]]
    outside = [value for value in suspects if not support.check(value.expand(1, *row.shape)).all()]
    return (outside or suspects)[0].item()


def _suggest_likelihood(x: Tensor) -> str:
    x = x[~x.isnan()]
    low, high, whole = x.min().item(), x.max().item(), bool((x == x.round()).all())
    if low >= 0 and whole and high > 255:
        return "Use likelihoods.NegativeBinomial for counts."
    if low >= 0 and whole:
        return f"Use likelihoods.DiscretisedLogistic(..., levels={max(int(high) + 1, 2)}) for grey levels."
    if low >= 0 and high <= 1:
        return "Use likelihoods.ContinuousBernoulli for values in [0, 1], or binarise the data."
    return "Use likelihoods.Normal for real numbers."
