"""The effect of each term of the bound: three models of digits. Takes about 20 seconds.

The models maximise the reconstruction alone, minus the KL divergence alone, and both. They share
the networks, the first weights, the order of the data and all draws. Writes terms.png, maps of one
draw of z for each held-out digit, and terms.json.

Usage: python examples/terms.py [--record]
"""

from typing import Any

from common.record import SMOKE, estimate_record, interval_record, write_picture, write_record

import aevb
from aevb import inference, metrics, objectives, plots
from aevb._random import seed_scope
from aevb.data import Dataset
from aevb.models import VAE
from aevb.objectives import Objective
from aevb.plots._canvas import new_figure

OBJECTIVES: dict[str, Objective] = {
    "reconstruction only": objectives.Reconstruction(),
    "divergence only": objectives.Rate(),
    "both": objectives.ELBO(),
}


def digits() -> Dataset:
    """Half of the digits for training, and 719 held-out digits."""
    return aevb.data.load("digits", split=(0.5, 0.1, 0.4))


def train(data: Dataset, epochs: int, hidden: int = 200) -> dict[str, VAE]:
    """Train a model with each objective from the same weights."""

    def train_one(objective: Objective) -> VAE:
        with seed_scope(0):
            model = aevb.presets.vae(data.spec, latent=2, hidden=[hidden, hidden]).model
        # without validation rows the last weights are kept: the ELBO must not select the weights of
        # another objective
        return aevb.fit(
            model, data.train, objective=objective, epochs=epochs, batch_size=64, progress=False
        ).model

    return {name: train_one(objective) for name, objective in OBJECTIVES.items()}


def measure(model: VAE, data: Dataset) -> dict[str, Any]:
    """The terms on held-out digits, the two parts of the divergence, and the class separation."""
    terms = metrics.rate_distortion(model, data.test)
    information = metrics.latent_information(model, data.test)
    separation = metrics.class_separation(model, data.train, data.test, full=False)
    return {
        "reconstruction": estimate_record(terms.reconstruction),
        "divergence": estimate_record(terms.rate),
        "mutual_information": estimate_record(information.mutual_information),
        "aggregate_divergence": estimate_record(information.marginal_kl),
        "accuracy_of_neighbours": interval_record(separation.knn_accuracy_sampled),
    }


def main() -> None:
    """Train, measure, and write the picture and the record."""
    data = digits()
    models = train(data, 2 if SMOKE else 150)
    figure = new_figure(9.6, 3.6, layout="constrained")
    for panel, (name, model) in zip(figure.subplots(1, 3), models.items(), strict=True):
        with seed_scope(0):
            z = inference.encode(model, data.test, sample=True)
        plots.latent_map(z, data.test.labels, data.spec.class_names, prior_contours=True, ax=panel)
        panel.set_title(name, fontsize=10)
    write_picture("terms", figure.axes[0])
    write_record(
        "terms",
        {"rows": len(data.test)} | {name: measure(model, data) for name, model in models.items()},
    )


if __name__ == "__main__":
    main()
