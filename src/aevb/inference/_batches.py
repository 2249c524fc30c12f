"""Evaluation of rows in batches: on the model's device, with a random stream of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

from .._matmul import use_onednn_linear
from .._random import seed_scope
from .._row_noise import share_moment_noise
from ..data import Rows
from ..data._rows import load_stored_values
from ..errors import check_choice
from ..models import VAE
from ..models._eval_mode import eval_mode
from ..networks import set_precision
from ..networks._heads import MixedPrecisionModule
from ..types import Batch, Terms


def iter_batches(
    rows: Rows, batch_size: int, dtype: torch.dtype = torch.float32
) -> Iterator[Batch]:
    """Consecutive batches of at most ``batch_size`` rows."""
    for start in range(0, len(rows), batch_size):
        stop = min(start + batch_size, len(rows))
        index = torch.arange(start, stop, device=rows.index_device)
        batch = rows.batch_of(load_stored_values(rows.stored_values[start:stop]), index)
        context = None if batch.context is None else batch.context.to(dtype)
        yield Batch(batch.x.to(dtype), context, batch.index, batch.dataset_size)


def model_dtype(model: VAE) -> torch.dtype:
    """The floating-point type of the model's weights."""
    return next(model.parameters(), torch.zeros(())).dtype


@contextmanager
def network_precision(model: VAE, precision: Literal["float32", "bfloat16"]) -> Iterator[None]:
    """Run the networks in this precision inside the block; densities stay in float32 or better."""
    check_choice("precision", precision, ("float32", "bfloat16"))
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
    """Evaluation mode, no gradients and a random stream of its own; the block changes no state."""
    with (
        eval_mode(model),
        torch.no_grad(),
        seed_scope(seed, model.device),
        share_moment_noise(),
        use_onednn_linear(),
    ):
        yield


def rate_and_distortion(model: VAE, terms: Terms) -> tuple[Tensor, Tensor]:
    """Rate and distortion of each row, ``[B]`` each, float64; the rate is NaN without a density."""
    distortion = -terms.log_likelihood.double().mean(0)
    if not model.posterior.has_density:
        return torch.full_like(distortion, torch.nan), distortion
    sampled = (terms.log_posterior - terms.log_prior).double().mean(0)
    exact = sampled if terms.kl is None else terms.kl.double()
    return exact.mean(0) if exact.dim() > 1 else exact, distortion
