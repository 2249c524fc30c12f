"""Small sets of images: the default of `aevb fit` against ten settings tuned by hand.

4,000 images of binarised MNIST, of OMNIGLOT (black and white) and of Fashion-MNIST (grey, the
fully connected network for each setting but the first), of which 400 validate; 400 other images
are tested. The value is log p(x) of the test images in nats, by importance sampling for all
settings, and by annealing on 100 of the images, because importance weights of small sets are often
unreliable (the share of images with a Pareto k above 0.7 is reported).

Takes hours on one core: name sets and settings to run some of them. Each result is written when
it is found.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

import aevb
from aevb.data import Dataset, Rows
from aevb.runs import ModelSettings, RunSettings, TrainingSettings

DATA = Path(os.environ.get("AEVB_DATA", "data"))
RESULT = Path(__file__).parent / "results" / "small_images.json"
TRAIN, HELD_OUT, ANNEALED = 3600, 400, 100
SAMPLES, PARETO_LIMIT = 500, 0.7


@dataclass(frozen=True)
class Setting:
    """A model and its training; the defaults of the library where nothing is set."""

    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)


ELBO, IWAE = {"preset": "vae", "latent": 32}, {"preset": "iwae", "latent": 32}
SETTINGS = {
    "default": Setting(),
    "ELBO 400, 400": Setting({"preset": "vae", "hidden": (400, 400)}),
    "ELBO 200": Setting({**ELBO, "hidden": (200,)}),
    "ELBO 200, dropout": Setting({**ELBO, "hidden": (200,), "dropout": 0.2}),
    "ELBO 400, 400, dropout": Setting({**ELBO, "hidden": (400, 400), "dropout": 0.3}),
    "IWAE 200": Setting({**IWAE, "hidden": (200,)}),
    "IWAE 200, dropout": Setting({**IWAE, "hidden": (200,), "dropout": 0.2}),
    "IWAE 200, decay": Setting({**IWAE, "hidden": (200,)}, {"weight_decay": 0.1}),
    "IWAE 400, dropout": Setting({**IWAE, "hidden": (400,), "dropout": 0.3}),
    "IWAE 200, average": Setting({**IWAE, "hidden": (200,)}, {"ema": 0.999}),
    "IWAE 200, 200, dropout": Setting({**IWAE, "hidden": (200, 200), "dropout": 0.2}),
}


def read(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Images for training, and others for tests."""
    if name == "mnist":
        found = np.load(DATA / "binarized_mnist" / "binarized_mnist.npz")
        parts = [
            np.unpackbits(found[part], axis=1).reshape(-1, 28, 28) for part in ("train", "test")
        ]
        return parts[0], parts[1]
    if name == "omniglot":
        found = np.load(DATA / "omniglot" / "omniglot_28.npz")
        ink = (found["images"] > 127).astype(np.uint8)
        return ink[found["drawer"] <= 15], ink[found["drawer"] > 15]
    parts = [aevb.data.load("fashion_mnist")]
    train, test = (part[:].numpy().astype(np.uint8) for part in (parts[0].train, parts[0].test))
    return train, test


def evenly(images: np.ndarray, count: int) -> np.ndarray:
    """Images at equal distances, because some sets are sorted by class."""
    return images[np.linspace(0, len(images) - 1, count).astype(int)]


def dataset(name: str, network: str | None) -> Dataset:
    """4,000 images and the test images."""
    train, test = read(name)
    chosen = evenly(train, TRAIN + HELD_OUT)
    is_held_out = np.arange(len(chosen)) % 10 == 9
    spec = aevb.data.load(chosen, network=network).spec
    parts = (chosen[~is_held_out], chosen[is_held_out], evenly(test, HELD_OUT))
    return Dataset(*map(Rows.from_array, parts), spec)


def evaluate(name: str, label: str, seed: int, training: dict[str, Any]) -> dict[str, Any]:
    """Train with a setting, and estimate log p(x) of the test images."""
    setting = SETTINGS[label]
    data = dataset(name, None if label == "default" or name != "fashion_mnist" else "mlp")
    start = time.perf_counter()
    run = RunSettings(
        name,
        model=ModelSettings(**setting.model),
        training=TrainingSettings(**training, **setting.training),
        seed=seed,
    ).fit(data=data, progress=False)
    seconds = time.perf_counter() - start
    found = aevb.metrics.log_likelihood(run.model, data.test, SAMPLES, seed=seed)
    validation = aevb.metrics.log_likelihood(run.model, data.validation, SAMPLES, seed=seed)
    record = {
        "data": name,
        "setting": label,
        "seed": seed,
        "seconds": seconds,
        "epochs": len(run.history),
        "validation": validation.mean,
        "mean": found.mean,
        "standard_error": found.standard_error,
        "share_pareto_above_0.7": (found.pareto_k > PARETO_LIMIT).double().mean().item(),
    }
    rows = data.test.subset(list(range(0, HELD_OUT, HELD_OUT // ANNEALED)))
    annealed = aevb.metrics.log_likelihood(run.model, rows, method="annealing", seed=seed)
    return record | {"annealed": annealed.mean, "annealed_error": annealed.standard_error}


def write(record: dict[str, Any]) -> None:
    """Put a record in the place of its former one."""
    former = json.loads(RESULT.read_text(encoding="utf-8"))["records"] if RESULT.exists() else []
    found = {(each["data"], each["setting"]): each for each in [*former, record]}
    text = json.dumps({"records": list(found.values())}, indent=1) + "\n"
    RESULT.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=["mnist", "omniglot", "fashion_mnist"])
    parser.add_argument("--settings", nargs="*", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--epochs", type=int, help="epochs of each setting; chosen by default")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    training = {} if options.epochs is None else {"epochs": options.epochs}
    for name in options.sets:
        for label in options.settings:
            record = evaluate(name, label, options.seed, training)
            print(record, flush=True)
            write(record)


if __name__ == "__main__":
    main()
