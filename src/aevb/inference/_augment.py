"""Data augmentation with decoded neighbours in the latent space."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .._row_noise import RowNoise, draw_seed
from ..distributions._support import has_real_support
from ..errors import ArgumentError, IncompatibleError, check_counts
from ..models import VAE
from ..notes import Argument, message
from ..types import Batch
from ._blockwise import map_batches
from ._inputs import TrainedModel, resolve_input


@dataclass(frozen=True)
class AugmentedData:
    """Generated rows and their sources; ``labels[augmented.source_rows]`` are their labels.

    Args:
        x: Generated rows ``[copies * N, *event]``, on the CPU.
        source_rows: Index of the source of each row, ``[copies * N]`` int64.
    """

    x: Tensor
    source_rows: Tensor


def augment(
    model: VAE | TrainedModel,
    x: Any = None,
    copies: int = 1,
    spread: float = 1.0,
    *,
    context: Tensor | None = None,
    label: Any = None,
    mean: bool = True,
    seed: int | None = None,
    block_size: int | None = None,
) -> AugmentedData:
    """Generate neighbours of rows: ``x' = E[x|z]`` with ``z = m + spread (z_q - m)``.

    ``z_q`` is a draw from ``q(z|x)`` and ``m`` its mean. With ``spread=1`` the posterior cannot
    distinguish the neighbours from the row. The first ``N`` results are one copy of each row, and
    so on. The draws of a row depend on the row, the seed and the number of the copy only.

    Args:
        model: The model, or a run.
        x: As for ``encode``.
        copies: Number of neighbours per row.
        spread: Factor of the distance from the mean.
        context: Context ``[N, C]`` or ``[C]`` of a conditional model.
        label: Labels in place of ``context``, as for ``networks.Condition.to_context``.
        mean: Whether to return expected data; otherwise draws of the likelihood.
        seed: Seed of the draws; by default the default random stream draws a seed.
        block_size: Number of rows per pass; ``None``: by their size.

    Returns:
        The generated rows and their sources.

    Raises:
        ArgumentError: ``copies`` is below 1 or ``spread`` is negative.
        IncompatibleError: ``spread`` is not 1 and the latents cannot move freely, or the context
            does not fit the model.

    Example:
        >>> from aevb import likelihoods, networks, posteriors, priors
        >>> model = VAE(
        ...     priors.Normal(2),
        ...     posteriors.Normal(networks.MLP(9, [8]), 2),
        ...     likelihoods.Bernoulli(networks.MLP(2, [8]), (9,)),
        ... )
        >>> augmented = augment(model, torch.ones(3, 9), copies=2)
        >>> augmented.x.shape, augmented.source_rows.tolist()
        (torch.Size([6, 9]), [0, 1, 2, 0, 1, 2])
    """
    if not spread >= 0:
        raise ArgumentError("it must be at least 0", argument="spread", value=spread)
    check_counts(copies=copies)
    chosen = context is not None or label is not None
    model, rows = resolve_input(model, x, needs_context=not chosen)
    if spread != 1 and not has_real_support(model.prior(None, model.null_context)):
        raise IncompatibleError(
            f"latents of `priors.{type(model.prior).__name__}` are constrained, so that their "
            "distances cannot be scaled",
            argument="spread",
            value=spread,
            suggestions=(message("Write {spread}", spread=Argument("spread", 1)),),
        )

    seed = draw_seed(model.device) if seed is None else seed

    def neighbours(batch: Batch, copy: int) -> Tensor:
        q = model.infer(batch)
        with RowNoise.from_batch(batch, seed, model.constant_cells).samples(start=copy):
            z = q.sample() if spread == 1 else q.mean + spread * (q.sample() - q.mean)
            decoded = model.likelihood(z, batch.context)
            return model.to_data_units(decoded.mean if mean else decoded.sample())

    context = model.resolve_context(len(rows), context, label) if chosen else None
    parts = [
        map_batches(model, partial(neighbours, copy=copy), rows, context, block_size)
        for copy in range(copies)
    ]
    return AugmentedData(torch.cat(parts), torch.arange(len(rows)).repeat(copies))
