"""From one picture to another between their codes: a 2 into a 6, and between two drawings of one character. Takes about 2 minutes.

Each pair of pictures is walked between three times: in a straight line, along an arc, and along the shortest path as measured in the
decoded pictures, whose steps are of one length. Printed is how far a walk goes in the pictures, and how uneven its steps are. Writes
interpolation.png and interpolation.json; the characters are left out where the set "omniglot" is not on this computer.
Usage: python examples/interpolation.py [--record]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import torch
from common.record import SMOKE, draw, keep
from torch import Tensor

import aevb
from aevb import inference, plots
from aevb._random import seed_scope
from aevb.data import Dataset, list_datasets
from aevb.inference._latent_paths import LatentPath, PathKind
from aevb.models import VAE
from aevb.plots._canvas import new_figure

STEPS, FINE = 11, 49  # of the pictures, and to measure the walks with
PATHS: Sequence[PathKind] = get_args(PathKind)


def train(data: Dataset, epochs: int, latent: int, hidden: int) -> VAE:
    with seed_scope(0):
        recipe = aevb.presets.vae(data.spec, latent=latent, hidden=[hidden, hidden])
    return aevb.fit(recipe, data, epochs=epochs, progress=False).model


def walks(model: VAE, start: Tensor, end: Tensor, steps: int) -> dict[PathKind, LatentPath]:
    """The three ways from one picture to another."""
    return {path: inference.interpolate(model, start, end, steps, path) for path in PATHS}


def measure(model: VAE, start: Tensor, end: Tensor) -> dict[str, Any]:
    """How long each way is in the decoded pictures, by the distance of its ends, and the deviation of its steps by their mean."""
    fine = walks(model, start, end, FINE)
    ends = (fine["linear"].x[-1] - fine["linear"].x[0]).norm()
    return {
        path: {
            "length": round((walk.step_lengths.sum() / ends).item(), 4),
            "unevenness": round((walk.step_lengths.std() / walk.step_lengths.mean()).item(), 4),
        }
        for path, walk in fine.items()
    }


def of_class(data: Dataset, name: str, number: int = 0) -> Tensor:
    """A held-out picture of this class."""
    assert data.spec.class_names is not None
    assert data.test.labels is not None
    return data.test[int((data.test.labels == data.spec.class_names.index(name)).nonzero()[number])]


def same_character(data: Dataset, pairs: int) -> list[tuple[Tensor, Tensor]]:
    """Two held-out drawings of each of some characters, spread over the alphabets."""
    labels = data.test.labels
    assert labels is not None
    chosen = labels.unique()[torch.linspace(0, len(labels.unique()) - 1, pairs).long()]
    return [tuple(data.test[(labels == label).nonzero()[:2, 0]]) for label in chosen]


def digits() -> tuple[VAE, list[tuple[Tensor, Tensor]]]:
    data = aevb.data.load("digits")
    model = train(data, 2 if SMOKE else 300, latent=8, hidden=200)
    return model, [(of_class(data, "2"), of_class(data, "6"))]


def characters() -> tuple[VAE, list[tuple[Tensor, Tensor]]]:
    data = aevb.data.load("omniglot", labels="character", binarise="dynamic")
    return train(data, 20, latent=32, hidden=300), same_character(data, 3)


def main() -> None:
    found = {"digits": digits()}
    if not SMOKE and any(known.name == "omniglot" and known.folder for known in list_datasets()):
        found["characters"] = characters()
    pairs = [(model, *pair) for model, several in found.values() for pair in several]
    picture = new_figure(6.4, 1.75 * len(pairs), layout="constrained")
    panels = picture.subplots(len(pairs) * len(PATHS), 1, squeeze=False)[:, 0].tolist()
    for model, start, end in pairs:
        for path, walk in walks(model, start, end, STEPS).items():
            place = plots.interpolation(
                walk, limits=(0.0, float(torch.stack([start, end]).max())), ax=panels.pop(0)
            )
            place.set_title(path, fontsize=8, loc="left", pad=2)
    draw("interpolation", picture.axes[0])
    keep(
        "interpolation",
        {
            name: [measure(model, *pair) for pair in several]
            for name, (model, several) in found.items()
        },
    )


if __name__ == "__main__":
    main()
