"""Normalised expression: the shares of the columns of counts, at one library size for all rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from .._row_noise import RowNoise
from ..data._formatting import format_list
from ..distributions import FixedCells, ZeroInflated, marginals
from ..errors import ArgumentError, IncompatibleError, check_counts
from ..models import VAE
from ..notes import Argument, message
from ..types import Batch
from ._blockwise import map_batches
from ._inputs import TrainedModel, resolve_input

DEFAULT_LIBRARY = 1e4


def normalised_expression(
    model: VAE | TrainedModel,
    x: Any = None,
    *,
    library: float = DEFAULT_LIBRARY,
    label: Mapping[str, Any] | None = None,
    samples: int = 16,
    seed: int = 0,
    block_size: int | None = None,
) -> Tensor:
    """Estimate the share of each column in the counts of a row, times a library size.

    ``library * E_q(z|x) [m(z) / sum m(z)]`` with the means ``m(z)`` of the counts, without
    additional zeros of a zero-inflated likelihood. The library size of the row has no part in it.
    With ``label``, rows are decoded as if they were of another batch; the encoder keeps their own.

    Lopez et al., Deep generative modeling for single-cell transcriptomics (2018).

    Args:
        model: The model, or a run.
        x: Rows of counts, as for ``encode``.
        library: The sum of each row of the result.
        label: Values of variables of the condition under which rows are decoded, such as
            ``{"batch": "b"}``; others keep the values of the row.
        samples: Number of draws of the latent per row.
        seed: Seed of the draws, which depend on the row and the seed only.
        block_size: Number of rows per pass; ``None``: by their size.

    Returns:
        Expression ``[N, *event]`` on the CPU.

    Raises:
        IncompatibleError: The likelihood is not of counts.
        ArgumentError: ``library`` is not positive, ``samples`` is below 1, or ``label`` has an
            unknown variable or class.

    Example:
        >>> import aevb, numpy as np
        >>> x = np.random.default_rng(0).poisson(2.0, (50, 4))
        >>> data = aevb.data.load(x, likelihood="poisson", condition="library_size")
        >>> model = aevb.presets.count_vae(data.spec, latent=2, hidden=[8]).model
        >>> normalised_expression(model, data.test, library=100).sum(1).round()
        tensor([100., 100., 100., 100., 100.])
    """
    check_counts(samples=samples)
    if not 0 < library < math.inf:
        raise ArgumentError("give a positive number", argument="library", value=library)
    net, rows = resolve_input(model, x)
    check_counts_likelihood(net)
    changed = changed_context(net, label)

    def express(batch: Batch) -> Tensor:
        with RowNoise.from_batch(batch, seed, net.constant_cells).samples(samples):
            z = net.infer(batch).sample(torch.Size([samples]))
        means = means_of_counts(net.likelihood(z, changed(batch.context)))
        axes = tuple(range(2, means.dim()))
        return library * (means / means.sum(axes, keepdim=True)).mean(0)

    return map_batches(net, express, rows, None, block_size)


def check_counts_likelihood(model: VAE) -> None:
    """Refuse a model whose likelihood is not of counts.

    Raises:
        IncompatibleError: It is none.
    """
    if not model.likelihood.unbounded or model.likelihood.measure != "probability":
        raise IncompatibleError(
            "expression is a share of counts, and the likelihood is not of counts",
            argument="model",
            suggestions=(
                message("Fit {preset} to counts", preset=Argument("preset", "count_vae")),
            ),
        )


def means_of_counts(p: Distribution) -> Tensor:
    """The mean of each cell, without additional zeros."""
    p = p.base if isinstance(p, FixedCells) else p
    cells = marginals(p)
    return cells.base.mean if isinstance(cells, ZeroInflated) else p.mean


def changed_context(
    model: VAE, label: Mapping[str, Any] | None
) -> Callable[[Tensor | None], Tensor | None]:
    """A function that puts the values of ``label`` into a context ``[B, C]``."""
    variables = {} if model.condition is None else {v.name: v for v in model.condition.variables}
    label = label or {}
    for name in label:
        if name not in variables:
            raise ArgumentError(
                f"the model is conditioned on {format_list(variables) or 'nothing'}",
                argument="label",
                value=name,
            )
    numbers = {name: torch.tensor([variables[name].to_number(x)]) for name, x in label.items()}

    def change(context: Tensor | None) -> Tensor | None:
        if context is None:
            return None
        parts = context.split([variable.width for variable in variables.values()], 1)
        return torch.cat(
            [
                variable.to_context(numbers[name].to(part)).expand_as(part)
                if name in numbers
                else part
                for part, (name, variable) in zip(parts, variables.items(), strict=True)
            ],
            1,
        )

    return change
