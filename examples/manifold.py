"""The latent space at equally spaced percentiles of the prior, as a picture: digits, and faces. Takes about a minute.

With two latent variables the whole of the space can be seen; neighbours are alike, and one digit turns into another. Printed is how much
neighbours on the grid differ, beside any two of its pictures. Writes manifold.png and manifold.json, and manifold_faces.png where the set
"frey-faces" is on this computer. Usage: python examples/manifold.py [--record]
"""

from __future__ import annotations

from typing import Any

from common.record import SMOKE, draw, keep

import aevb
from aevb import plots
from aevb._random import seed_scope
from aevb.data import Dataset, list_datasets
from aevb.models import VAE

GRID = 24  # points along a side


def train(data: Dataset, epochs: int, hidden: int) -> VAE:
    with seed_scope(0):
        recipe = aevb.presets.vae(data.spec, latent=2, hidden=[hidden, hidden])
    return aevb.fit(recipe, data, epochs=epochs, ema=0.99, progress=False).model


def smoothness(model: VAE, n: int = GRID) -> dict[str, float]:
    """Mean squared difference of neighbours along each axis of the grid, over that of any two pictures of the grid."""
    x = model.decode(plots.percentile_grid(n).reshape(-1, 2)).flatten(1).double()
    across, up = (x.reshape(n, n, -1).diff(dim=axis).square().sum(-1).mean() for axis in (1, 0))
    pairs = (
        2 * x.var(0, correction=0).sum() * len(x) / (len(x) - 1)
    )  # the mean over all pairs of different pictures
    return {"first": round((across / pairs).item(), 5), "second": round((up / pairs).item(), 5)}


def main() -> None:
    models = {"digits": train(aevb.data.load("digits"), 3 if SMOKE else 300, hidden=200)}
    draw("manifold", plots.manifold(models["digits"], n=10 if SMOKE else GRID))
    if not SMOKE and any(known.name == "frey-faces" and known.folder for known in list_datasets()):
        models["faces"] = train(aevb.data.load("frey-faces", network="mlp"), 150, hidden=200)
        draw("manifold_faces", plots.manifold(models["faces"], n=16))
    figures: dict[str, Any] = {
        name: {str(n): smoothness(model, n) for n in (GRID // 2, GRID)}
        for name, model in models.items()
    }
    keep("manifold", figures)


if __name__ == "__main__":
    main()
