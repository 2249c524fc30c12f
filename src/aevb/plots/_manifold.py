"""The decoded plane of a two-dimensional latent space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from ..data._spec import is_image
from ..errors import ArgumentError, IncompatibleError
from ..inference._batches import model_dtype, seeded_evaluation
from ..models import VAE
from ..notes import Part, message
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
    """The expected data at ``n`` by ``n`` equally spaced percentiles of the prior.

    The first latent variable grows to the right, the second upwards, as on a latent map; equal
    areas contain equal mass of the prior. A table has a map for each column. Kingma and Welling
    (2014), figure 4.

    Args:
        model: A model with a standard normal prior over two latent variables.
        n: Points along each side.
        columns: Names of the columns of a table.
        limits: The values that are black and white; by default the range of the decoded images.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The axes.

    Raises:
        IncompatibleError: The latent space is not two-dimensional, or the prior is not standard
            normal.
        ArgumentError: ``n`` is less than 1.
    """
    if not has_manifold(model):
        raise IncompatibleError(
            message(
                f"a percentile manifold needs the prior {{needed}}, and this model has the latent "
                f"shape {model.latent_shape} and the prior {type(model.prior).__name__}",
                needed=Part("priors.Normal", {"latent": 2}),
            ),
            suggestions=("Use plots.latent_map with plots.project_latents",),
        )
    z = percentile_grid(n).to(model.device, model_dtype(model))
    with seeded_evaluation(model, seed=0):
        x = model.decode(z.reshape(n * n, 2))
    if is_image(model.event_shape):
        return images(x, n, limits=limits, ax=ax)
    return column_maps(to_array(x).reshape(n, n, -1), columns, ax=ax)


def percentile_grid(n: int) -> Tensor:
    """Latent points at the percentiles ``(i + 1/2) / n`` of the standard normal distribution.

    Args:
        n: Points along each side.

    Returns:
        Points ``[n, n, 2]``; the first row has the largest values of the second variable.

    Raises:
        ArgumentError: ``n`` is less than 1.

    Example:
        >>> percentile_grid(2)[0]
        tensor([[-0.6745,  0.6745],
                [ 0.6745,  0.6745]])
    """
    if n < 1:
        raise ArgumentError("it must be at least 1", argument="n", value=n)
    line = Normal(0.0, 1.0).icdf((torch.arange(n) + 0.5) / n)
    up, right = torch.meshgrid(line.flip(0), line, indexing="ij")
    return torch.stack([right, up], -1)


@torch.no_grad()
def has_manifold(model: VAE) -> bool:
    """Whether ``manifold`` can draw the model.

    Args:
        model: Any model.

    Returns:
        Whether the model has no context, two latent variables and a standard normal prior.
    """
    return (
        model.latent_shape == (2,) and model.condition is None and has_standard_normal_prior(model)
    )


@torch.no_grad()
def has_standard_normal_prior(model: VAE) -> bool:
    """Whether the prior is ``N(0, I)`` for every context."""
    if model.prior.needs_context:
        return False
    p = model.prior(None, model.null_context)
    gaussian = isinstance(p, Independent) and isinstance(p.base_dist, Normal)
    return gaussian and bool((p.mean == 0).all() and (p.stddev == 1).all())
