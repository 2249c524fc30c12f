"""Start of a model at a Gaussian or a mixture of Gaussians of the training rows."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .. import posteriors, priors
from .._conditional import Conditional
from ..distributions import from_scale
from ..distributions._factors import Factors, fit_factors
from ..likelihoods._likelihood import Likelihood
from ..likelihoods._linear_cells import LinearCells
from ..networks import Heads
from ..networks._columns import find_number_inputs
from ._mixture_start import MixtureStart, fit_mixture_start

CHECKED_ROWS = 100  # on which the inputs of the encoder must be the cells of the likelihood
TOLERANCE = 1e-3  # of these, relative to 1 and the cell: float32


@torch.no_grad()
def start_from_data(
    prior: Conditional,
    posterior: Conditional,
    likelihood: Likelihood,
    x: Tensor,
    context: Tensor | None,
) -> None:
    """Set untrained heads such that the bound is the log-density of a Gaussian.

    With a prior that is a mixture of Gaussians with full covariances it is about that of a mixture
    where this is better on held-out rows. Nothing happens unless both networks have a skip, the
    posterior is ``posteriors.Normal`` of a vector, and its encoder reads the numbers whose
    locations are linear outputs of the decoder.

    Args:
        prior: The prior.
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
    size = math.prod(shape)
    least = max(cells.least_scale, math.exp(-posterior.scale_bound))
    start = _start_prior(prior, cells, size, least) or fit_factors(
        cells.mean, cells.covariance, size
    )
    likelihood.start_linear(start.factors if isinstance(start, MixtureStart) else start)
    _start_posterior(posterior, start, inputs)


def _start_prior(
    prior: Conditional, cells: LinearCells, latent: int, least_scale: float
) -> MixtureStart | None:
    """Set an untrained prior that is a mixture to the rows where they have clusters."""
    if not isinstance(prior, priors.Mixture) or prior.lower is None or prior.raw.any():
        return None
    least_scale = max(least_scale, math.exp(-prior.scale_bound))
    start = fit_mixture_start(cells.values, latent, len(prior.logits), least_scale)
    if start is None:
        prior.set_standard_normal()
    else:
        prior.set_components(start.weight, start.mean, start.covariance)
    return start


def has_linear_encoder(posterior: Conditional) -> bool:
    """Whether a posterior is ``posteriors.Normal`` whose network has a skip."""
    return isinstance(posterior, posteriors.Normal) and posterior.heads.linear_inputs > 0


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


def _start_posterior(
    posterior: posteriors.Normal, start: Factors | MixtureStart, inputs: list[int]
) -> None:
    """The posterior of factors or of a mixture, a linear map of the cells."""
    heads, gain = posterior.heads, start.posterior_map
    parameters = sum(map(math.prod, heads.shapes))
    factors, latent = start.factors if isinstance(start, MixtureStart) else start, len(gain)
    weight = gain.new_zeros(parameters, heads.linear_inputs)
    weight[:latent, inputs] = gain
    bias = gain.new_zeros(parameters)
    bias[:latent] = -gain @ factors.mean
    scale = start.posterior_variance.sqrt()
    bias[latent : 2 * latent] = from_scale(scale, posterior.scale_bound)
    heads.start_linear(weight, bias)
