"""The latent plane at equally spaced percentiles of the prior: digits and faces. Takes a minute.

Two latent variables can be shown as a whole: neighbours look alike, and one digit turns into
another. The script prints the difference of neighbours on the grid over that of any two of its
pictures. Writes manifold.png and manifold.json, and manifold_faces.png if the data set "frey-faces"
is on this computer.

Usage: python examples/manifold.py [--record]
"""

from __future__ import annotations

from typing import Any

from common.record import SMOKE, write_picture, write_record

import aevb
from aevb import plots
from aevb._random import seed_scope
from aevb.data import Dataset, list_datasets
from aevb.models import VAE

GRID_SIZE = 24
"""Points along each side."""


def train(data: Dataset, epochs: int, hidden: int) -> VAE:
    """Train a VAE with two latent variables."""
    with seed_scope(0):
        recipe = aevb.presets.vae(data.spec, latent=2, hidden=[hidden, hidden])
    return aevb.fit(recipe, data, epochs=epochs, ema=0.99, progress=False).model


def smoothness(model: VAE, n: int = GRID_SIZE) -> dict[str, float]:
    """Mean squared difference of neighbours along each axis, over that of any two pictures."""
    x = model.decode(plots.percentile_grid(n).reshape(-1, 2)).flatten(1).double()
    across, up = (x.reshape(n, n, -1).diff(dim=axis).square().sum(-1).mean() for axis in (1, 0))
    # the mean over all pairs of different pictures
    pairs = 2 * x.var(0, correction=0).sum() * len(x) / (len(x) - 1)
    return {"first": round((across / pairs).item(), 5), "second": round((up / pairs).item(), 5)}


def main() -> None:
    """Train, and write the pictures and the record."""
    models = {"digits": train(aevb.data.load("digits"), 3 if SMOKE else 300, hidden=200)}
    write_picture("manifold", plots.manifold(models["digits"], n=10 if SMOKE else GRID_SIZE))
    if not SMOKE and any(known.name == "frey-faces" and known.folder for known in list_datasets()):
        models["faces"] = train(aevb.data.load("frey-faces", network="mlp"), 150, hidden=200)
        write_picture("manifold_faces", plots.manifold(models["faces"], n=16))
    record: dict[str, Any] = {
        name: {str(n): smoothness(model, n) for n in (GRID_SIZE // 2, GRID_SIZE)}
        for name, model in models.items()
    }
    write_record("manifold", record)


if __name__ == "__main__":
    main()
