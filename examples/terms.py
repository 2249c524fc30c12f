"""What each term of the bound does: three models of digits that share everything but the bound. Takes about 20 seconds.

Climbed are the reconstruction alone, the divergence alone, and both; the networks, their first weights, the order of the data and all
draws are the same. Writes terms.png, maps of one draw of the code for each held-out digit, and terms.json.
Usage: python examples/terms.py [--record]
"""

from typing import Any

from common.record import SMOKE, draw, keep, measured, ranged

import aevb
from aevb import inference, metrics, objectives, plots
from aevb._random import seed_scope
from aevb.data import Dataset
from aevb.models import VAE
from aevb.objectives import Objective
from aevb.plots._canvas import new_figure

CLIMBED: dict[str, Objective] = {
    "reconstruction only": objectives.Reconstruction(),
    "divergence only": objectives.Rate(),
    "both": objectives.ELBO(),
}


def digits() -> Dataset:
    """Half of the digits to train on, and 719 held-out ones."""
    return aevb.data.load("digits", split=(0.5, 0.1, 0.4))


def train(data: Dataset, epochs: int, hidden: int = 200) -> dict[str, VAE]:
    """A model for each bound, all from the same weights."""

    def one(objective: Objective) -> VAE:
        with seed_scope(0):
            model = aevb.presets.vae(data.spec, latent=2, hidden=[hidden, hidden]).model
        # the last weights, not those with the best bound on validation rows: a bound that was not climbed must not choose them
        return aevb.fit(
            model, data.train, objective=objective, epochs=epochs, batch_size=64, progress=False
        ).model

    return {name: one(objective) for name, objective in CLIMBED.items()}


def measure(model: VAE, data: Dataset) -> dict[str, Any]:
    """The two terms on held-out digits, the divergence in its two parts, and how well codes tell the digits apart."""
    terms = metrics.rate_distortion(model, data.test)
    found = metrics.latent_information(model, data.test)
    told = metrics.separation(model, data.train, data.test, full=False)
    return {
        "reconstruction": measured(terms.reconstruction),
        "divergence": measured(terms.rate),
        "mutual_information": measured(found.mutual_information),
        "aggregate_divergence": measured(found.marginal_kl),
        "accuracy_of_neighbours": ranged(told.sampled_neighbour_accuracy),
    }


def main() -> None:
    data = digits()
    models = train(data, 2 if SMOKE else 150)
    picture = new_figure(9.6, 3.6, layout="constrained")
    for place, (name, model) in zip(picture.subplots(1, 3), models.items(), strict=True):
        with seed_scope(0):
            codes = inference.encode(model, data.test, sample=True)
        plots.latent_map(
            codes, data.test.labels, data.spec.class_names, prior_contours=True, ax=place
        )
        place.set_title(name, fontsize=10)
    draw("terms", picture.axes[0])
    keep(
        "terms",
        {"rows": len(data.test)} | {name: measure(model, data) for name, model in models.items()},
    )


if __name__ == "__main__":
    main()
