"""Augmentation of a small training set with decoded neighbours of its rows. Takes about 40 seconds.

A VAE learns from all training digits without their labels. For one or five labelled digits of each
class, neighbours are drawn from the posterior, decoded, and added to the training set of a
classifier under the same label. The script compares the nearest neighbour and a logistic regression
with and without them, over ten seeds, each with its own VAE and labelled rows. A classifier may
gain from more rows of any kind, so the comparison includes as many plain copies of the rows and as
many copies with noise in the pixels. Writes augmentation.png and augmentation.json.

Usage: python examples/augmentation.py [--record]
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from common.record import SMOKE, interval_record, write_picture, write_record
from torch import Tensor

import aevb
from aevb import inference, metrics, plots
from aevb._random import seed_scope
from aevb.data import Dataset, Rows
from aevb.data._masked_labels import labelled_row_index, mask_labels
from aevb.metrics import Interval
from aevb.models import VAE

LABELS, COPIES = (10, 50), 20
NOISE = 2.0
"""Standard deviation in grey levels of 16; of 1, 2 and 4 the best with 50 labels."""

CLASSIFIERS: dict[str, Callable[..., Interval]] = {
    "nearest neighbour": partial(metrics.knn_accuracy, neighbours=1),
    "logistic regression": metrics.linear_probe_accuracy,
}


def train(data: Dataset, seeds: int, epochs: int, latent: int = 4, hidden: int = 200) -> list[VAE]:
    """Train a VAE of all training rows for each seed."""

    def make_recipe(seed: int) -> aevb.Recipe:
        with seed_scope(seed):
            return aevb.presets.vae(data.spec, latent=latent, hidden=[hidden, hidden])

    recipes = [make_recipe(seed) for seed in range(seeds)]
    results = aevb.fit_many(
        recipes, data.train, seed=list(range(seeds)), epochs=epochs, batch_size=64, progress=False
    )
    return [result.model for result in results]


def select_labelled(data: Dataset, labels: int, seed: int) -> Rows:
    """The labelled training rows, the same number of each class."""
    return data.train.subset(labelled_row_index(mask_labels(data, labels, seed).train))


def training_sets(model: VAE, x: Tensor, seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Training sets made of the rows ``x``, with the index of the source of each row."""
    indices, copies = torch.arange(len(x)), x.repeat(COPIES, 1, 1)
    with seed_scope(seed):
        augmented = inference.augment(model, x, COPIES)
        noisy = (copies + NOISE * torch.randn_like(copies)).clamp(0, 16)
    additions = {"neighbours": augmented.x, "copies": copies, "noise": noisy}
    return {"rows alone": (x, indices)} | {
        name: (torch.cat([x, rows]), torch.cat([indices, augmented.source_rows]))
        for name, rows in additions.items()
    }


def accuracies(models: list[VAE], data: Dataset, labels: int) -> dict[str, dict[str, list[float]]]:
    """Accuracy on held-out digits by training set and classifier, for each seed."""
    result: dict[str, dict[str, list[float]]] = {}
    for seed, model in enumerate(models):
        rows = select_labelled(data, labels, seed)
        assert rows.labels is not None
        for name, (x, source) in training_sets(model, rows.tensor(), seed).items():
            for kind, classify in CLASSIFIERS.items():
                share = classify(x, rows.labels[source], data.test.tensor(), data.test.labels).value
                result.setdefault(name, {}).setdefault(kind, []).append(share)
    return result


def measure(models: list[VAE], data: Dataset, labels: int) -> dict[str, Any]:
    """Accuracies over seeds, and the gain of each training set over the rows alone per seed."""
    by_set = accuracies(models, data, labels)
    alone = by_set.pop("rows alone")
    gain = {
        name: {
            kind: interval_record(
                metrics.interval_over_seeds(
                    [b - a for a, b in zip(alone[kind], values, strict=True)]
                )
            )
            for kind, values in each.items()
        }
        for name, each in by_set.items()
    }
    return {
        "accuracy": {
            kind: interval_record(metrics.interval_over_seeds(values))
            for kind, values in alone.items()
        },
        "gain": gain,
    }


def main() -> None:
    """Train, measure, and write the picture and the record."""
    data = aevb.data.load("digits", split=(0.5, 0.1, 0.4))
    models = train(data, 2 if SMOKE else 10, 2 if SMOKE else 100)
    x = select_labelled(data, 10, 0).tensor()
    with seed_scope(0):
        neighbours = inference.augment(models[0], x, 4).x
    write_picture(
        "augmentation", plots.images(torch.cat([x, neighbours]), len(x), limits=(0.0, 16.0))
    )
    figures = {str(labels): measure(models, data, labels) for labels in LABELS}
    write_record(
        "augmentation",
        {"copies": COPIES, "seeds": len(models), "held_out": len(data.test)} | figures,
    )


if __name__ == "__main__":
    main()
