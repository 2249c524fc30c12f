"""More data like those at hand: neighbours in the latent space, decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..distributions._support import has_real_support
from ..errors import ArgumentError, IncompatibleError
from ..models import VAE
from ..types import Batch
from ._blockwise import map_blocks


@dataclass(frozen=True)
class AugmentedData:
    """Made data, and the row that each was made from: ``labels[made.rows]`` are their labels."""

    x: Tensor  # [copies * N, *event], on the CPU
    source_rows: Tensor  # [copies * N], int64


def augment(
    model: VAE,
    x: Tensor,
    copies: int = 1,
    spread: float = 1.0,
    *,
    context: Tensor | None = None,
    label: Any = None,
    mean: bool = True,
    block_size: int | None = None,
) -> AugmentedData:
    """Decoded neighbours of data ``[N, *event]``: ``copies`` of each, ``x' = E[x|z]`` with ``z = m + spread (z_q - m)``.

    ``z_q`` is a draw from ``q(z|x)`` and ``m`` its mean: with ``spread`` 1 the neighbours are those that the posterior cannot tell from
    the datum, with more they lie further off. ``mean=False`` draws the data, too. The first ``N`` rows are one copy of each datum, and so
    on. Draws come from the default random stream.

    Raises ``ArgumentError`` for ``copies < 1`` or ``spread < 0``, and ``IncompatibleError`` for another spread than 1 where codes cannot
    move freely.

    >>> from aevb import likelihoods, networks, posteriors, priors
    >>> model = VAE(
    ...     priors.Normal(2),
    ...     posteriors.Normal(networks.MLP(9, [8]), 2),
    ...     likelihoods.Bernoulli(networks.MLP(2, [8]), (9,)),
    ... )
    >>> made = augment(model, torch.ones(3, 9), copies=2)
    >>> made.x.shape, made.rows.tolist()
    (torch.Size([6, 9]), [0, 1, 2, 0, 1, 2])
    """
    if copies < 1:
        raise ArgumentError(f"`copies` is {copies}; ask for at least 1 of each datum.")
    if not spread >= 0:
        raise ArgumentError(f"`spread` is {spread}; give 0 or more.")
    if spread != 1 and not has_real_support(model.prior(None, model.null_context)):
        raise IncompatibleError(
            f"`spread` is {spread}, and codes of `priors.{type(model.prior).__name__}` are not any real numbers, of which a multiple of "
            "their distance would be one, too; use spread=1."
        )

    def neighbours(x: Tensor, context: Tensor | None) -> Tensor:
        q = model.infer(Batch(model.to_model_input(x), context))
        z = q.sample() if spread == 1 else q.mean + spread * (q.sample() - q.mean)
        decoded = model.likelihood(z, context)
        return decoded.mean if mean else decoded.sample()

    told, rows = model.resolve_context(len(x), context, label), torch.arange(len(x)).repeat(copies)
    with torch.no_grad():
        return AugmentedData(
            map_blocks(
                model,
                neighbours,
                x[rows],
                None if told is None else told[rows.to(told.device)],
                block_size,
            ),
            rows,
        )
