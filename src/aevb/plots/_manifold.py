"""The plane of a two-dimensional latent, decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from ..data._spec import is_image
from ..errors import ArgumentError, IncompatibleError
from ..metrics._blocks import model_dtype, seeded_evaluation
from ..models import VAE
from ._canvas import to_array
from ._columns import ColumnNames, column_maps
from ._tiles import ValueLimits, images

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def manifold(
    model: VAE,
    n: int = 20,
    columns: ColumnNames = None,
    *,
    limits: ValueLimits | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The data expected at ``n`` by ``n`` equally spaced percentiles of a standard normal prior over two latent variables.

    The first variable grows to the right, the second upwards, as on a map of the codes; equal areas hold equal mass of the prior. For a
    table a map of each column. Kingma and Welling (2014), figure 4.

    Raises ``IncompatibleError`` where the latent is not two-dimensional or the prior is not standard normal.
    """
    if not has_manifold(model):
        raise IncompatibleError(
            f"a percentile manifold needs the prior `priors.Normal(2)`, and this model has latent {model.latent_shape} with "
            f"`priors.{type(model.prior).__name__}`; use `plots.latent_map` with `plots.project_latents`."
        )
    z = percentile_grid(n).to(model.device, model_dtype(model))
    with seeded_evaluation(model, seed=0):
        x = model.decode(z.reshape(n * n, 2))
    if is_image(model.event_shape):
        return images(x, n, limits=limits, ax=ax)
    return column_maps(to_array(x).reshape(n, n, -1), columns, ax=ax)


def percentile_grid(n: int) -> Tensor:
    """Codes ``[n, n, 2]`` at the percentiles ``(i + 1/2) / n`` of the standard normal, through its inverse distribution function.

    The top row holds the largest values of the second variable.

    >>> percentile_grid(2)[0]
    tensor([[-0.6745,  0.6745],
            [ 0.6745,  0.6745]])
    """
    if n < 1:
        raise ArgumentError(f"`n` is {n}; give at least 1 point along each side.")
    line = Normal(0.0, 1.0).icdf((torch.arange(n) + 0.5) / n)
    up, right = torch.meshgrid(line.flip(0), line, indexing="ij")
    return torch.stack([right, up], -1)


@torch.no_grad()
def has_manifold(model: VAE) -> bool:
    """Whether the latent is two-dimensional and its prior standard normal."""
    return (
        model.latent_shape == (2,) and model.condition is None and has_standard_normal_prior(model)
    )


@torch.no_grad()
def has_standard_normal_prior(model: VAE) -> bool:
    """Whether the prior is ``N(0, I)``, whatever the model is told."""
    if model.prior.needs_context:
        return False
    p = model.prior(None, model.null_context)
    gaussian = isinstance(p, Independent) and isinstance(p.base_dist, Normal)
    return gaussian and bool((p.mean == 0).all() and (p.stddev == 1).all())
