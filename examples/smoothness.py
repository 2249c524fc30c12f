"""A VAE interpolates smoothly where an autoencoder does not: halfway between held-out digits. Takes about 90 seconds.

Five models of either kind, the same networks and as many epochs, and the midpoints between the codes of pairs of held-out digits. Measured
are the Frechet distance of the decoded midpoints to other held-out digits, in principal components, and the mean entropy of what a
classifier of digits says of them: high where they look like no digit. The same is measured of the ends' reconstructions: what midpoints
have beyond that is the interpolation's own. Once with two latent variables, and once with eight. Writes
smoothness.png, walks with two, and smoothness.json. Usage: python examples/smoothness.py [--record]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from common.record import SMOKE, draw, keep, ranged
from matplotlib.axes import Axes
from torch import Tensor

import aevb
from aevb import inference, metrics, plots
from aevb._random import seed_scope
from aevb.data import Dataset
from aevb.metrics._features import Features, pca_features
from aevb.models import VAE

KINDS = {"autoencoder": aevb.presets.autoencoder, "VAE": aevb.presets.vae}
LATENT = (2, 8)
COMPONENTS, SHOWN, STEPS, WHITE = 16, 3, 9, 16.0


@dataclass(frozen=True)
class Judge:
    """What midpoints are held against: held-out digits that are no ends, and a classifier, neither of which a model has seen."""

    features: Features
    digits: Tensor
    classifier: Any

    @classmethod
    def of(cls, data: Dataset, digits: Tensor) -> Judge:
        """A logistic regression on the validation part, which trains no model here."""
        from sklearn.linear_model import LogisticRegression

        known = data.validation
        assert known.labels is not None
        classifier = LogisticRegression(C=0.01, max_iter=1000).fit(
            known.tensor().flatten(1).numpy(), known.labels.numpy()
        )
        return cls(pca_features(known, COMPONENTS), digits, classifier)

    def distance(self, x: Tensor) -> float:
        """The Frechet distance without the bias of few rows."""
        found = metrics.frechet_distance(self.digits, x, self.features).bias_corrected
        assert found is not None, "rows enough for 16 components"
        return found.value

    def entropy(self, x: Tensor) -> float:
        """Of what the classifier says, in nats, averaged: 0 where it is certain, log 10 = 2.30 where it knows nothing."""
        p = torch.from_numpy(self.classifier.predict_proba(x.flatten(1).numpy()))
        return -torch.special.xlogy(p, p).sum(1).mean().item()


def train(
    kind: str, data: Dataset, seeds: int, epochs: int, latent: int, hidden: int = 200
) -> list[VAE]:
    """Models that differ in their seed, trained side by side."""

    def one(seed: int) -> aevb.Recipe:
        with seed_scope(seed):
            return KINDS[kind](data.spec, latent=latent, hidden=[hidden, hidden])

    models = [one(seed) for seed in range(seeds)]
    found = aevb.fit_many(
        models, data.train, seed=list(range(seeds)), epochs=epochs, batch_size=64, progress=False
    )
    return [result.model for result in found]


def midpoints(model: VAE, start: Tensor, end: Tensor) -> Tensor:
    """What is expected halfway between the codes of two digits."""
    return inference.decode(
        model, torch.lerp(inference.encode(model, start), inference.encode(model, end), 0.5)
    )


def measure(models: dict[str, list[VAE]], data: Dataset) -> dict[str, Any]:
    """Both measures of both kinds with intervals over seeds, those of the ends' reconstructions beside them, and their differences."""
    x = data.test.tensor()
    start, end, others = x.tensor_split(3)
    size = min(len(start), len(end))
    start, end, judge = start[:size], end[:size], Judge.of(data, others)
    found: dict[str, dict[str, list[float]]] = {}
    for kind, trained in models.items():
        halfway = [midpoints(model, start, end) for model in trained]
        ends = [inference.reconstruct(model, start) for model in trained]
        found[kind] = {
            "distance": [judge.distance(x) for x in halfway],
            "entropy": [judge.entropy(x) for x in halfway],
            "distance_of_ends": [judge.distance(x) for x in ends],
            "entropy_of_ends": [judge.entropy(x) for x in ends],
        }
    for each in found.values():
        each |= {
            f"further_{name}": less(each[f"{name}_of_ends"], each[name])
            for name in ("distance", "entropy")
        }
    apart = {
        name: metrics.interval_over_seeds(less(found["autoencoder"][name], found["VAE"][name]))
        for name in found["VAE"]
    }
    return {
        "pairs": size,
        "pixels_between": {
            "distance": judge.distance((start + end) / 2),
            "entropy": judge.entropy((start + end) / 2),
        },
        "digits": {"distance": judge.distance(start), "entropy": judge.entropy(start)},
        **{
            kind: {
                name: ranged(metrics.interval_over_seeds(values)) for name, values in each.items()
            }
            for kind, each in found.items()
        },
        "difference": {name: ranged(value) for name, value in apart.items()},
    }


def less(first: list[float], second: list[float]) -> list[float]:
    """The second less the first, seed by seed."""
    return [b - a for a, b in zip(first, second, strict=True)]


def picture(models: dict[str, list[VAE]], data: Dataset) -> Axes:
    """Some walks, for each that of the first autoencoder above that of the first VAE."""
    x = data.test.tensor()
    pairs = zip(x[:SHOWN], x[len(x) // 3 :][:SHOWN], strict=True)
    walks = [
        inference.interpolate(trained[0], *pair, STEPS).x
        for pair in pairs
        for trained in models.values()
    ]
    gap = torch.full((STEPS, *x.shape[1:]), WHITE)
    rows = [row for pair in zip(walks[::2], walks[1::2], strict=True) for row in (*pair, gap)]
    return plots.images(torch.cat(rows[:-1]), STEPS, limits=(0.0, WHITE))


def main() -> None:
    data, figures = aevb.data.load("digits", split=(0.4, 0.2, 0.4)), {}
    for latent in LATENT:
        models = {
            kind: train(kind, data, 2 if SMOKE else 5, 2 if SMOKE else 150, latent)
            for kind in KINDS
        }
        if latent == LATENT[0]:
            draw("smoothness", picture(models, data))
        figures[str(latent)] = measure(models, data)
    keep("smoothness", figures)


if __name__ == "__main__":
    main()
