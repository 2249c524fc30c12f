"""Going through a data set in blocks, on the model's device, in evaluation mode, on a random stream of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import torch

from ..data import Rows
from ..errors import ArgumentError, DataError
from ..models import VAE
from ..models.mode import at_rest
from ..networks import set_precision
from ..networks.heads import Cast
from ..products import routed
from ..random import seeded
from ..types import Batch
from .support import check_data


def rows_of(model: VAE, x: Any) -> Rows:
    """Data as rows on the model's device, or a ``DataError`` where there are none, or the model cannot take them."""
    rows = Rows.of(x).to(model.device)
    if len(rows) == 0:
        raise DataError("`x` has no rows: give at least one.")
    rows = _told(model, rows)
    with evaluating(model, seed=0):
        check_data(model, rows, "x")
    return rows


def _told(model: VAE, rows: Rows) -> Rows:
    """The rows with what the model is told of them, and nothing that it is not; an error where it is not there."""
    condition = model.condition
    if condition is None:
        return replace(rows, told=None)
    if rows.told is None and not condition.optional:
        condition.told(None)
    return rows


def blocks(rows: Rows, size: int, dtype: torch.dtype = torch.float32) -> Iterator[Batch]:
    """Consecutive batches of at most ``size`` rows."""
    for start in range(0, len(rows), size):
        index = torch.arange(start, min(start + size, len(rows)), device=rows.home)
        batch = rows.batch(index)
        context = None if batch.context is None else batch.context.to(dtype)
        yield Batch(batch.x.to(dtype), context, batch.index, batch.total)


def dtype_of(model: VAE) -> torch.dtype:
    return next(model.parameters(), torch.zeros(())).dtype


@contextmanager
def networks_in(model: VAE, precision: Literal["float32", "bfloat16"]) -> Iterator[None]:
    """Run the networks in this precision inside the block; densities stay in float32 or better."""
    if precision not in ("float32", "bfloat16"):
        raise ArgumentError(f'`precision` is {precision!r}; use "float32" or "bfloat16".')
    outer = {module: module.precision for module in model.modules() if isinstance(module, Cast)}
    set_precision(model, torch.bfloat16 if precision == "bfloat16" else None)
    try:
        yield
    finally:
        for module, before in outer.items():
            module.precision = before


@contextmanager
def evaluating(model: VAE, seed: int) -> Iterator[None]:
    """Evaluation mode, no gradients, a stream of random numbers of its own; everything is put back afterwards."""
    with at_rest(model), torch.no_grad(), seeded(seed, model.device), routed():
        yield
