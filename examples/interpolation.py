"""Interpolation between pictures in latent space on three paths. Takes about 2 minutes.

The pairs are a held-out 2 and 6, and two drawings of one character. The paths are a straight line,
an arc, and the geodesic: the shortest path as measured in the decoded pictures, with steps of equal
length. The script prints the length of each path in the pictures and the unevenness of its steps.
Writes interpolation.png and interpolation.json; without the data set "omniglot" on this computer
the characters are left out.

Usage: python examples/interpolation.py [--record]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import torch
from common.record import SMOKE, write_picture, write_record
from torch import Tensor

import aevb
from aevb import inference, plots
from aevb._random import seed_scope
from aevb.data import Dataset, list_datasets
from aevb.inference._latent_paths import LatentPath, PathKind
from aevb.models import VAE
from aevb.plots._canvas import new_figure

STEPS, FINE_STEPS = 11, 49
"""Steps of the pictures, and steps for the length of a path."""

PATHS: Sequence[PathKind] = get_args(PathKind)


def train(data: Dataset, epochs: int, latent: int, hidden: int) -> VAE:
    """Train a VAE."""
    with seed_scope(0):
        recipe = aevb.presets.vae(data.spec, latent=latent, hidden=[hidden, hidden])
    return aevb.fit(recipe, data, epochs=epochs, progress=False).model


def interpolate_all(
    model: VAE, start: Tensor, end: Tensor, steps: int
) -> dict[PathKind, LatentPath]:
    """The three paths from one picture to another."""
    return {path: inference.interpolate(model, start, end, steps, path) for path in PATHS}


def measure(model: VAE, start: Tensor, end: Tensor) -> dict[str, Any]:
    """The length of each path over the distance of its ends, and the deviation of its steps over
    their mean, in the decoded pictures."""
    fine = interpolate_all(model, start, end, FINE_STEPS)
    distance = (fine["linear"].x[-1] - fine["linear"].x[0]).norm()
    return {
        path: {
            "length": round((walk.step_lengths.sum() / distance).item(), 4),
            "unevenness": round((walk.step_lengths.std() / walk.step_lengths.mean()).item(), 4),
        }
        for path, walk in fine.items()
    }


def picture_of_class(data: Dataset, name: str, number: int = 0) -> Tensor:
    """A held-out picture of a class."""
    assert data.spec.class_names is not None
    assert data.test.labels is not None
    return data.test[int((data.test.labels == data.spec.class_names.index(name)).nonzero()[number])]


def character_pairs(data: Dataset, pairs: int) -> list[tuple[Tensor, Tensor]]:
    """Two held-out drawings of some characters, which are spread over the alphabets."""
    labels = data.test.labels
    assert labels is not None
    chosen = labels.unique()[torch.linspace(0, len(labels.unique()) - 1, pairs).long()]
    return [tuple(data.test[(labels == label).nonzero()[:2, 0]]) for label in chosen]


def digits() -> tuple[VAE, list[tuple[Tensor, Tensor]]]:
    """A model of digits, and the pair to interpolate between."""
    data = aevb.data.load("digits")
    model = train(data, 2 if SMOKE else 300, latent=8, hidden=200)
    return model, [(picture_of_class(data, "2"), picture_of_class(data, "6"))]


def characters() -> tuple[VAE, list[tuple[Tensor, Tensor]]]:
    """A model of characters, and pairs of drawings."""
    data = aevb.data.load("omniglot", labels="character", binarise="dynamic")
    return train(data, 20, latent=32, hidden=300), character_pairs(data, 3)


def main() -> None:
    """Train, interpolate, and write the picture and the record."""
    cases = {"digits": digits()}
    if not SMOKE and any(known.name == "omniglot" and known.folder for known in list_datasets()):
        cases["characters"] = characters()
    pairs = [(model, *pair) for model, several in cases.values() for pair in several]
    picture = new_figure(6.4, 1.75 * len(pairs), layout="constrained")
    panels = picture.subplots(len(pairs) * len(PATHS), 1, squeeze=False)[:, 0].tolist()
    for model, start, end in pairs:
        for path, walk in interpolate_all(model, start, end, STEPS).items():
            panel = plots.interpolation(
                walk, limits=(0.0, float(torch.stack([start, end]).max())), ax=panels.pop(0)
            )
            panel.set_title(path, fontsize=8, loc="left", pad=2)
    write_picture("interpolation", picture.axes[0])
    write_record(
        "interpolation",
        {
            name: [measure(model, *pair) for pair in several]
            for name, (model, several) in cases.items()
        },
    )


if __name__ == "__main__":
    main()
