"""Pictures of data, models and runs: each function returns matplotlib Axes, shows nothing and leaves no state behind.

Give ``ax`` to draw into a figure of your own. Images are ``(H, W)`` or ``(C, H, W)``; every other event is a row of a table.

>>> from aevb.plots import images
>>> images(torch.rand(6, 8, 8), columns=3).figure.savefig("six.png")  # doctest: +SKIP
"""

from .canvas import PALETTE, png, svg
from .columns import correlations, marginals
from .comparison import differences, validation
from .curves import curves, kl_per_dimension
from .events import interpolation, reconstructions, samples
from .latent import Plane, latent_map, plane
from .manifold import has_manifold, manifold, percentile_grid
from .rate import rate_distortion
from .tiles import high_frequency_ratio, images

__all__ = [
    "PALETTE",
    "Plane",
    "correlations",
    "curves",
    "differences",
    "has_manifold",
    "high_frequency_ratio",
    "images",
    "interpolation",
    "kl_per_dimension",
    "latent_map",
    "manifold",
    "marginals",
    "percentile_grid",
    "plane",
    "png",
    "rate_distortion",
    "reconstructions",
    "samples",
    "svg",
    "validation",
]
