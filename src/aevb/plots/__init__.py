"""Pictures of data, models and runs.

Each function returns matplotlib ``Axes``; it opens no window and changes no global state. Pass
``ax`` to draw into a figure of your own. Images have shape ``(H, W)`` or ``(C, H, W)``; every other
event is a row of a table. ``series`` draws series, and ``film_strips`` makes images of video.

>>> import torch
>>> from aevb.plots import images
>>> images(torch.rand(6, 8, 8), n_columns=3).figure.savefig("six.png")  # doctest: +SKIP
"""

from ._canvas import PALETTE, png, svg
from ._columns import correlations, marginals
from ._comparison import forest_plot, validation_curves
from ._curves import kl_per_dimension, training_curves
from ._events import interpolation, reconstructions, samples
from ._latent import LatentProjection, latent_map, project_latents
from ._manifold import has_manifold, manifold, percentile_grid
from ._rate_distortion import rate_distortion
from ._series import film_strips, series
from ._tables import associations, column_marginals
from ._tiles import high_frequency_ratio, images

__all__ = [
    "PALETTE",
    "LatentProjection",
    "associations",
    "column_marginals",
    "correlations",
    "film_strips",
    "forest_plot",
    "has_manifold",
    "high_frequency_ratio",
    "images",
    "interpolation",
    "kl_per_dimension",
    "latent_map",
    "manifold",
    "marginals",
    "percentile_grid",
    "png",
    "project_latents",
    "rate_distortion",
    "reconstructions",
    "samples",
    "series",
    "svg",
    "training_curves",
    "validation_curves",
]
