"""Does a small training set grow by decoding neighbours of its rows? One or five labelled digits of each class. Takes about 40 seconds.

A VAE learns from all training digits, without their labels. Of those labelled, neighbours are drawn from their posteriors, decoded, and
given to a classifier under the same label, beside the rows themselves. Compared are the nearest neighbour and a logistic regression with
and without, over ten seeds, each with a VAE and labelled rows of its own; and, since a classifier may gain from more rows of any kind, with
as many plain copies of the rows, and with as many that have noise in their pixels. Writes augmentation.png and augmentation.json.
Usage: python examples/augmentation.py [--record]
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from common.record import SMOKE, draw, keep, ranged
from torch import Tensor

import aevb
from aevb import inference, metrics, plots
from aevb._random import seed_scope
from aevb.data import Dataset, Rows
from aevb.data._masked_labels import labelled_row_index, mask_labels
from aevb.metrics import Interval
from aevb.models import VAE

LABELS, COPIES = (10, 50), 20
NOISE = 2.0  # grey levels of 16: of 1, 2 and 4 the best with 50 labels
CLASSIFIERS: dict[str, Callable[..., Interval]] = {
    "nearest neighbour": partial(metrics.neighbour_accuracy, neighbours=1),
    "logistic regression": metrics.probe_accuracy,
}


def train(data: Dataset, seeds: int, epochs: int, latent: int = 4, hidden: int = 200) -> list[VAE]:
    """A VAE of all training rows for each seed."""

    def one(seed: int) -> aevb.Recipe:
        with seed_scope(seed):
            return aevb.presets.vae(data.spec, latent=latent, hidden=[hidden, hidden])

    models = [one(seed) for seed in range(seeds)]
    found = aevb.fit_many(
        models, data.train, seed=list(range(seeds)), epochs=epochs, batch_size=64, progress=False
    )
    return [result.model for result in found]


def labelled(data: Dataset, labels: int, seed: int) -> Rows:
    """Training rows whose label is known, as many of each class."""
    return data.train.subset(labelled_row_index(mask_labels(data, labels, seed).train))


def grown(model: VAE, x: Tensor, seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Training sets from the rows ``x``, each with the row that every one of its own was made from."""
    own, again = torch.arange(len(x)), x.repeat(COPIES, 1, 1)
    with seed_scope(seed):
        made = inference.augment(model, x, COPIES)
        noisy = (again + NOISE * torch.randn_like(again)).clamp(0, 16)
    more = {"neighbours": made.x, "copies": again, "noise": noisy}
    return {"rows alone": (x, own)} | {
        name: (torch.cat([x, new]), torch.cat([own, made.source_rows]))
        for name, new in more.items()
    }


def accuracies(models: list[VAE], data: Dataset, labels: int) -> dict[str, dict[str, list[float]]]:
    """Of every training set and classifier on held-out digits, one for each seed."""
    found: dict[str, dict[str, list[float]]] = {}
    for seed, model in enumerate(models):
        rows = labelled(data, labels, seed)
        assert rows.labels is not None
        for name, (x, source) in grown(model, rows.tensor(), seed).items():
            for kind, classify in CLASSIFIERS.items():
                share = classify(x, rows.labels[source], data.test.tensor(), data.test.labels).value
                found.setdefault(name, {}).setdefault(kind, []).append(share)
    return found


def measure(models: list[VAE], data: Dataset, labels: int) -> dict[str, Any]:
    """Accuracies over seeds, and the gain of each set over the rows alone, seed by seed."""
    found = accuracies(models, data, labels)
    alone = found.pop("rows alone")
    gain = {
        name: {
            kind: ranged(
                metrics.interval_over_seeds(
                    [b - a for a, b in zip(alone[kind], values, strict=True)]
                )
            )
            for kind, values in each.items()
        }
        for name, each in found.items()
    }
    return {
        "accuracy": {
            kind: ranged(metrics.interval_over_seeds(values)) for kind, values in alone.items()
        },
        "gain": gain,
    }


def main() -> None:
    data = aevb.data.load("digits", split=(0.5, 0.1, 0.4))
    models = train(data, 2 if SMOKE else 10, 2 if SMOKE else 100)
    x = labelled(data, 10, 0).tensor()
    with seed_scope(0):
        made = inference.augment(models[0], x, 4).x
    draw("augmentation", plots.images(torch.cat([x, made]), len(x), limits=(0.0, 16.0)))
    figures = {str(labels): measure(models, data, labels) for labels in LABELS}
    keep(
        "augmentation",
        {"copies": COPIES, "seeds": len(models), "held_out": len(data.test)} | figures,
    )


if __name__ == "__main__":
    main()
