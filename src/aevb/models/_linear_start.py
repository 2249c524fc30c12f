"""Start of encoder and decoder at a Gaussian, by factor analysis of the training rows."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .. import posteriors
from .._conditional import Conditional
from ..distributions import from_scale
from ..distributions._factors import Factors, fit_factors
from ..likelihoods._likelihood import Likelihood
from ..likelihoods._linear_cells import LinearCells
from ..networks import Heads
from ..networks._columns import find_number_inputs

CHECKED_ROWS = 100  # on which the inputs of the encoder must be the cells of the likelihood
TOLERANCE = 1e-3  # of these, relative to 1 and the cell: float32


@torch.no_grad()
def start_at_gaussian(
    posterior: Conditional, likelihood: Likelihood, x: Tensor, context: Tensor | None
) -> None:
    """Set untrained heads such that the bound is the log-density of a Gaussian.

    Nothing happens unless both networks have a skip, the posterior is ``posteriors.Normal`` of a
    vector, and its encoder reads the numbers whose locations are linear outputs of the decoder.

    Args:
        posterior: The posterior.
        likelihood: The likelihood, initialised from the rows.
        x: Rows of data ``[N, *event]``.
        context: Context ``[N, C]`` of these rows.
    """
    if not isinstance(posterior, posteriors.Normal) or not _is_untrained(posterior.heads):
        return
    cells, shape = likelihood.linear_cells(x), posterior.heads.shapes[0]
    if cells is None or len(shape) > 1:
        return
    inputs = find_number_inputs(posterior.heads.network, cells.places)
    inputs = list(range(len(cells.mean))) if inputs is None else inputs
    if not _reads_cells(posterior.heads, cells, inputs, x, context):
        return
    factors = fit_factors(cells.mean, cells.covariance, math.prod(shape))
    likelihood.start_linear(factors)
    _start_posterior(posterior.heads, factors, inputs)


def _is_untrained(heads: Heads) -> bool:
    head = heads.head
    return isinstance(head, nn.Linear) and heads.linear_inputs > 0 and not head.bias.any()


def _reads_cells(
    heads: Heads, cells: LinearCells, inputs: list[int], x: Tensor, context: Tensor | None
) -> bool:
    """Whether the skip of the encoder holds the cells at these places."""
    if len(inputs) != len(cells.mean) or max(inputs) >= heads.linear_inputs:
        return False
    some = None if context is None else context[:CHECKED_ROWS]
    features = heads.features(x[:CHECKED_ROWS], some)[:, -heads.linear_inputs :]
    found, wanted = features[:, inputs].cpu().double(), cells.values[:CHECKED_ROWS]
    close = (found - wanted).abs() <= TOLERANCE * (1 + wanted.abs())
    return bool((close | wanted.isnan()).double().mean() > 1 - TOLERANCE)


def _start_posterior(heads: Heads, factors: Factors, inputs: list[int]) -> None:
    """The exact posterior of the factors."""
    latent, parameters = len(factors.posterior_map), sum(map(math.prod, heads.shapes))
    weight = factors.loadings.new_zeros(parameters, heads.linear_inputs)
    weight[:latent, inputs] = factors.posterior_map
    bias = factors.loadings.new_zeros(parameters)
    bias[:latent] = -factors.posterior_map @ factors.mean
    bias[latent : 2 * latent] = from_scale(factors.posterior_variance.sqrt())
    heads.start_linear(weight, bias)
