"""Going through a data set in blocks, on the model's device, in evaluation mode, on a random stream of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import torch

from .._matmul import use_onednn_linear
from .._random import seed_scope
from ..data import Rows
from ..errors import ArgumentError, DataError
from ..models import VAE
from ..models._eval_mode import eval_mode
from ..networks import set_precision
from ..networks._heads import MixedPrecisionModule
from ..types import Batch
from ._input_checks import check_data


def as_model_rows(model: VAE, x: Any) -> Rows:
    """Data as rows on the model's device, or a ``DataError`` where there are none, or the model cannot take them."""
    rows = Rows.from_array(x).to(model.device)
    if len(rows) == 0:
        raise DataError("`x` has no rows: give at least one.")
    rows = _with_model_context(model, rows)
    with seeded_evaluation(model, seed=0):
        check_data(model, rows, "x")
    return rows


def _with_model_context(model: VAE, rows: Rows) -> Rows:
    """The rows with what the model is told of them, and nothing that it is not; an error where it is not there."""
    condition = model.condition
    if condition is None:
        return replace(rows, context_table=None)
    if rows.context_table is None and not condition.is_optional:
        condition.check_context(None)
    return rows


def iter_batches(
    rows: Rows, batch_size: int, dtype: torch.dtype = torch.float32
) -> Iterator[Batch]:
    """Consecutive batches of at most ``size`` rows."""
    for start in range(0, len(rows), batch_size):
        index = torch.arange(start, min(start + batch_size, len(rows)), device=rows.index_device)
        batch = rows.batch(index)
        context = None if batch.context is None else batch.context.to(dtype)
        yield Batch(batch.x.to(dtype), context, batch.index, batch.dataset_size)


def model_dtype(model: VAE) -> torch.dtype:
    return next(model.parameters(), torch.zeros(())).dtype


@contextmanager
def network_precision(model: VAE, precision: Literal["float32", "bfloat16"]) -> Iterator[None]:
    """Run the networks in this precision inside the block; densities stay in float32 or better."""
    if precision not in ("float32", "bfloat16"):
        raise ArgumentError(f'`precision` is {precision!r}; use "float32" or "bfloat16".')
    outer = {
        module: module.precision
        for module in model.modules()
        if isinstance(module, MixedPrecisionModule)
    }
    set_precision(model, torch.bfloat16 if precision == "bfloat16" else None)
    try:
        yield
    finally:
        for module, before in outer.items():
            module.precision = before


@contextmanager
def seeded_evaluation(model: VAE, seed: int) -> Iterator[None]:
    """Evaluation mode, no gradients, a stream of random numbers of its own; everything is put back afterwards."""
    with eval_mode(model), torch.no_grad(), seed_scope(seed, model.device), use_onednn_linear():
        yield
