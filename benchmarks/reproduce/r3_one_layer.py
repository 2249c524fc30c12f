"""R3: the VAE with one layer of latent variables, the baseline of flows, on fixed MNIST.

Latent 40, encoder and decoder with layers of 400 ReLU, Adam at 1e-4, batch 100, 500 epochs, the
learning rate times 10^-0.2 at epochs 200 and 350, the weights with the best validation, log p(x) of
the 10,000 test images by 200 importance samples. Published: -89.9 (Rezende and Mohamed 2015) and
-89.78 (Pythae, whose protocol this is). The script of Pythae has one hidden layer each way and a
second one in a comment; both are trained here. Reproduced: -89.8 within 0.5.

Takes about 11 minutes for one layer and up to 34 minutes for two on one core with bfloat16
instructions; `--layers 1` trains one of them.
"""

from __future__ import annotations

from argparse import Namespace

import frame
from frame import NATS, ReproducedNumber, Stopwatch

import aevb
from aevb._random import seed_scope
from aevb.data import Dataset
from aevb.metrics import LogLikelihood
from aevb.training import adam

SAMPLES = 200
DROPS = (0.4, 0.7)  # of the run: epochs 200 and 350 of 500


def falling(step: int, total: float) -> float:
    """The learning rate of Pythae's reproduction."""
    return 10 ** (-0.2 * sum(step >= share * total for share in DROPS))


def train_and_evaluate(layers: int, data: Dataset, options: Namespace) -> LogLikelihood:
    """Train with this number of hidden layers each way, and evaluate."""
    with seed_scope(options.seed):
        model = frame.bernoulli_vae(40, [400] * layers)
    aevb.fit(
        model,
        data,
        optimizer=adam(1e-4),
        lr_schedule=falling,
        epochs=options.epochs,
        batch_size=100,
        seed=options.seed,
        precision=options.precision,
        callbacks=[frame.print_epochs(20)],
    )
    return frame.log_likelihood(model, data, SAMPLES, options)


def main() -> None:
    """Run the reproduction."""
    options = frame.parse_options(__doc__, epochs=500, layers=[1, 2])
    data = frame.load_data("binarized-mnist", options)
    watch = Stopwatch()
    for layers in options.layers:
        found = train_and_evaluate(layers, data, options)
        near = {
            "published": -89.9,
            "source": "Rezende and Mohamed 2015; Pythae: -89.78",
            "low": -90.3,
            "high": -89.3,
        }
        what = f"{NATS}, {layers} hidden layer{'s' if layers > 1 else ''} each way"
        number = ReproducedNumber(what, found.mean, found.standard_error, **near, seconds=watch())
        frame.write_record("r3", [number], options, add=True, importance_samples=SAMPLES)


if __name__ == "__main__":
    main()
