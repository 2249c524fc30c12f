"""Checks of data against a model: shape, finite values, support of the likelihood.

Outside the support a density is only a number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ..errors import DataError
from ..notes import Part, Text, message
from ..types import Batch
from ._eval_mode import eval_mode

if TYPE_CHECKING:
    from ._vae import VAE


def as_tensor(values: Any, name: str, general: str) -> Tensor:
    """An array as a tensor; ``general`` is the function that takes data of other kinds, too."""
    if isinstance(values, Tensor):
        return values
    try:
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"`{name}` is of type {type(values).__name__}, and must be a tensor or an array",
            argument=name,
            suggestions=(message("Use {function}", function=Part(general)),),
        ) from error


@torch.no_grad()
def check_batch(model: VAE, batch: Batch, name: str, start: int = 0) -> None:
    """Refuse rows of another shape, with non-finite values or outside the likelihood's support.

    The batch is in model units, and its first row has the number ``start``.
    """
    x = batch.x
    if tuple(x.shape[1:]) != model.event_shape:
        raise DataError(
            f"`{name}` has batches of shape {tuple(x.shape)}; "
            f"the model takes {('B', *model.event_shape)}",
            argument=name,
        )
    complete = bool(x.sum().isfinite())  # in one pass; a sum that overflows is looked at below
    like = next(model.parameters(), torch.zeros(()))
    with eval_mode(model):  # one row is no batch of a batch norm
        if not complete:
            _check_finite(model, batch, name, start)
        z = torch.zeros(1, *model.latent_shape, dtype=like.dtype, device=like.device)
        support = model.likelihood(z, model.null_context).support
    if support is None:
        return
    inside = support.check(x.to(like))
    if not inside.all():
        row = int((~inside.reshape(len(x), -1).all(1)).nonzero()[0])
        raise DataError(
            message(
                f"row {start + row} of `{name}` holds "
                f"{_value_outside_support(x.to(like)[row], support):g}, "
                "outside the support of {likelihood}",
                likelihood=f"`likelihoods.{type(model.likelihood).__name__}`",
            ),
            argument=name,
            suggestions=(_suggest_likelihood(x),),
        )


def _check_finite(model: VAE, batch: Batch, name: str, start: int) -> None:
    """Refuse rows with values that are not finite, where they are no missing cells."""
    missing = model.likelihood.allows_missing
    empty = batch.x.isnan() if missing else torch.zeros_like(batch.x, dtype=torch.bool)
    broken = ~(batch.x.isfinite() | empty).flatten(1).all(1)
    if broken.any():
        raise DataError(
            f"row {start + int(broken.nonzero()[0])} of `{name}` holds NaN or infinity, "
            "which this model cannot take",
            argument=name,
            suggestions=("Drop or fill it",) if missing else (_suggest_missing(),),
        )
    _check_encoder(model, batch, empty, name, start)


def _suggest_missing() -> Text:
    """How to let NaN mean an empty cell."""
    return (
        "Drop or fill it, or let NaN mean an empty cell: "
        "likelihoods.Missing(...), networks.FillMissing(...)"
    )


def _check_encoder(model: VAE, batch: Batch, empty: Tensor, name: str, start: int) -> None:
    """Refuse empty cells where the posterior's network would turn them into NaN."""
    incomplete = empty.flatten(1).any(1).nonzero()
    if not len(incomplete) or model.posterior.n_rows is not None:
        return
    row, like = int(incomplete[0]), next(model.parameters(), torch.zeros(()))
    context = model.null_context if batch.context is None else batch.context[row : row + 1]
    if model.infer(Batch(batch.x[row : row + 1].to(like), context)).mean.isnan().any():
        raise DataError(
            f"row {start + row} of `{name}` has empty cells, "
            "for which the posterior's network returns NaN",
            argument=name,
            suggestions=(
                "Put `networks.FillMissing(...)` around the network, "
                "inside `networks.Standardise` where there is one",
            ),
        )


def _value_outside_support(row: Tensor, support: constraints.Constraint) -> float:
    """A value of the row outside the support: the smallest, the largest, or one with a fraction."""
    observed = row[~row.isnan()]
    suspects = [observed.min(), observed.max(), *observed[observed != observed.round()][:1]]
    outside = [value for value in suspects if not support.check(value.expand(1, *row.shape)).all()]
    return (outside or suspects)[0].item()


def _suggest_likelihood(x: Tensor) -> Text:
    """A likelihood whose support contains the data."""
    x = x[~x.isnan()]
    low, high, whole = x.min().item(), x.max().item(), bool((x == x.round()).all())
    if low >= 0 and whole and high > 255:
        return message("Use {part} for counts", part=Part("likelihoods.NegativeBinomial"))
    if low >= 0 and whole:
        levels = {"levels": max(int(high) + 1, 2)}
        return message(
            "Use {part} for grey levels", part=Part("likelihoods.DiscretisedLogistic", levels)
        )
    if low >= 0 and high <= 1:
        return message(
            "Use {part} for values in [0, 1], or binarise the data",
            part=Part("likelihoods.ContinuousBernoulli"),
        )
    return message("Use {part} for real numbers", part=Part("likelihoods.Normal"))
