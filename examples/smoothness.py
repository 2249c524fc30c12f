"""Midpoints of an autoencoder and of a VAE, halfway between held-out digits. Takes 90 seconds.

Five models of each kind with the same networks and the same number of epochs. For the midpoints in
latent space between pairs of held-out digits the script computes the Fréchet distance of the
decoded midpoints to other held-out digits, in principal components, and the mean entropy of a
classifier of digits, which is high where a picture looks like no digit. The same numbers of the
reconstructed ends separate the effect of the interpolation. Runs with two and with eight latent
variables. Writes smoothness.png, paths with two latent variables, and smoothness.json.

Usage: python examples/smoothness.py [--record]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from common.record import SMOKE, interval_record, write_picture, write_record
from matplotlib.axes import Axes
from torch import Tensor

import aevb
from aevb import inference, metrics, plots
from aevb._random import seed_scope
from aevb.data import Dataset
from aevb.metrics import Features, pca_features
from aevb.models import VAE

KINDS = {"autoencoder": aevb.presets.autoencoder, "VAE": aevb.presets.vae}
LATENT_SIZES = (2, 8)
COMPONENTS, SHOWN_PAIRS, STEPS, WHITE = 16, 3, 9, 16.0


@dataclass(frozen=True)
class MidpointScorer:
    """Scores of pictures by digits and a classifier that no model has seen.

    Args:
        features: Features of the Fréchet distance.
        digits: Held-out digits that are not ends of a path.
        classifier: A classifier of digits.
    """

    features: Features
    digits: Tensor
    classifier: Any

    @classmethod
    def from_data(cls, data: Dataset, digits: Tensor) -> MidpointScorer:
        """Fit a logistic regression to the validation rows, which no model is trained on."""
        from sklearn.linear_model import LogisticRegression

        validation = data.validation
        assert validation.labels is not None
        classifier = LogisticRegression(C=0.01, max_iter=1000).fit(
            validation.tensor().flatten(1).numpy(), validation.labels.numpy()
        )
        return cls(pca_features(validation, COMPONENTS), digits, classifier)

    def distance(self, x: Tensor) -> float:
        """The Fréchet distance without the bias of few rows."""
        interval = metrics.frechet_distance(self.digits, x, self.features).bias_corrected
        assert interval is not None, "too few rows for 16 components"
        return interval.value

    def entropy(self, x: Tensor) -> float:
        """Mean entropy of the classifier in nats; log 10 = 2.30 if it guesses."""
        p = torch.from_numpy(self.classifier.predict_proba(x.flatten(1).numpy()))
        return -torch.special.xlogy(p, p).sum(1).mean().item()


def train(
    kind: str, data: Dataset, seeds: int, epochs: int, latent: int, hidden: int = 200
) -> list[VAE]:
    """Train models that differ in their seed."""

    def make_recipe(seed: int) -> aevb.Recipe:
        with seed_scope(seed):
            return KINDS[kind](data.spec, latent=latent, hidden=[hidden, hidden])

    recipes = [make_recipe(seed) for seed in range(seeds)]
    results = aevb.fit_many(
        recipes, data.train, seed=list(range(seeds)), epochs=epochs, batch_size=64, progress=False
    )
    return [result.model for result in results]


def midpoints(model: VAE, start: Tensor, end: Tensor) -> Tensor:
    """The decoded midpoints between the latent variables of pairs of digits."""
    return inference.decode(
        model, torch.lerp(inference.encode(model, start), inference.encode(model, end), 0.5)
    )


def measure(models: dict[str, list[VAE]], data: Dataset) -> dict[str, Any]:
    """Distance and entropy of midpoints and ends by kind, and their differences, over seeds."""
    x = data.test.tensor()
    start, end, others = x.tensor_split(3)
    size = min(len(start), len(end))
    start, end, scorer = start[:size], end[:size], MidpointScorer.from_data(data, others)
    scores: dict[str, dict[str, list[float]]] = {}
    for kind, trained in models.items():
        halfway = [midpoints(model, start, end) for model in trained]
        ends = [inference.reconstruct(model, start) for model in trained]
        scores[kind] = {
            "distance": [scorer.distance(x) for x in halfway],
            "entropy": [scorer.entropy(x) for x in halfway],
            "distance_of_ends": [scorer.distance(x) for x in ends],
            "entropy_of_ends": [scorer.entropy(x) for x in ends],
        }
    for each in scores.values():
        each |= {
            f"further_{name}": differences(each[f"{name}_of_ends"], each[name])
            for name in ("distance", "entropy")
        }
    gaps = {
        name: metrics.interval_over_seeds(
            differences(scores["autoencoder"][name], scores["VAE"][name])
        )
        for name in scores["VAE"]
    }
    return {
        "pairs": size,
        "pixels_between": {
            "distance": scorer.distance((start + end) / 2),
            "entropy": scorer.entropy((start + end) / 2),
        },
        "digits": {"distance": scorer.distance(start), "entropy": scorer.entropy(start)},
        **{
            kind: {
                name: interval_record(metrics.interval_over_seeds(values))
                for name, values in each.items()
            }
            for kind, each in scores.items()
        },
        "difference": {name: interval_record(value) for name, value in gaps.items()},
    }


def differences(first: list[float], second: list[float]) -> list[float]:
    """The second minus the first, seed by seed."""
    return [b - a for a, b in zip(first, second, strict=True)]


def draw_paths(models: dict[str, list[VAE]], data: Dataset) -> Axes:
    """Some paths: the first autoencoder above the first VAE."""
    x = data.test.tensor()
    pairs = zip(x[:SHOWN_PAIRS], x[len(x) // 3 :][:SHOWN_PAIRS], strict=True)
    paths = [
        inference.interpolate(trained[0], *pair, STEPS).x
        for pair in pairs
        for trained in models.values()
    ]
    gap = torch.full((STEPS, *x.shape[1:]), WHITE)
    rows = [row for pair in zip(paths[::2], paths[1::2], strict=True) for row in (*pair, gap)]
    return plots.images(torch.cat(rows[:-1]), STEPS, limits=(0.0, WHITE))


def main() -> None:
    """Train, measure, and write the picture and the record."""
    data, record = aevb.data.load("digits", split=(0.4, 0.2, 0.4)), {}
    for latent in LATENT_SIZES:
        models = {
            kind: train(kind, data, 2 if SMOKE else 5, 2 if SMOKE else 150, latent)
            for kind in KINDS
        }
        if latent == LATENT_SIZES[0]:
            write_picture("smoothness", draw_paths(models, data))
        record[str(latent)] = measure(models, data)
    write_record("smoothness", record)


if __name__ == "__main__":
    main()
