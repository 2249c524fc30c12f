"""Binary tables: the default model against a mixture of Bernoullis and a Chow-Liu tree.

Eight of the public sets for density estimation, on their published splits. The model is that of
`RunSettings` without settings, which is what `aevb fit` trains; validation rows end the training.
The mixture is fitted to the training rows by expectation maximisation (100 steps) and chosen by the
validation rows; every fifth training row chooses the smoothing of the tree. The values are
log p(x) of the test rows in nats: exact for the mixture and the tree, estimated from below with
importance samples for the model.

Takes about 15 minutes on one core; --quick takes a minute and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import tables
import torch
from torch import Tensor

import aevb
from aevb.data import Dataset, Rows
from aevb.likelihoods._chow_liu import one_hot_levels
from aevb.metrics._baselines._chow_liu import fit_chow_liu
from aevb.metrics._baselines._frequencies import LatentClasses, _fit_classes
from aevb.runs import RunSettings, TrainingSettings

SETS = ("nltcs", "plants", "jester", "bnetflix", "accidents", "mushrooms", "dna", "nips")
COMPONENTS, STEPS = (2, 4, 8, 16, 32, 64, 128, 256), 100
SAMPLES = 500
PARETO_LIMIT = 0.7


def read(name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Training, validation and test rows of a set."""
    found = np.load(tables.DATA / "binary_density" / f"{name}.npz")
    bits = [np.unpackbits(found[part], axis=1) for part in ("train", "valid", "test")]
    train, validation, test = (torch.tensor(part[:, : int(found["dim"])]) for part in bits)
    return train, validation, test


def dataset(name: str) -> Dataset:
    """A set as the data of the default model, with its published split."""
    parts = [part.numpy() for part in read(name)]
    return Dataset(*map(Rows.from_array, parts), aevb.data.load(parts[0]).spec)


def mixture(train: Tensor, validation: Tensor) -> LatentClasses:
    """The mixture of Bernoullis with the highest log p(x) of the validation rows."""
    values = one_hot_levels(train.double(), 2)
    found = (
        _fit_classes(values, 2, components, STEPS, seed=0)
        for components in COMPONENTS
        if components < len(train) / 2
    )
    return max(found, key=lambda each: each.log_prob(validation.double()).mean().item())


def paired(model: Tensor, other: Tensor) -> dict[str, float]:
    """The mean difference over rows, and its standard error."""
    away = (model - other).double()
    return {
        "mean": other.double().mean().item(),
        "difference": away.mean().item(),
        "standard_error": away.std().item() / len(away) ** 0.5,
    }


def compare(name: str, seed: int, samples: int, training: TrainingSettings) -> dict[str, Any]:
    """The model, the mixture and the tree on one set."""
    data = dataset(name)
    train, validation, test = read(name)
    start = time.perf_counter()
    run = RunSettings(name, training=training, seed=seed).fit(data=data, progress=False)
    seconds = time.perf_counter() - start
    found = aevb.metrics.log_likelihood(run.model, data.test, samples=samples, seed=seed)
    classes = mixture(train, validation)
    tree = fit_chow_liu(train.double(), 2)
    model = found.per_datum.cpu()
    return {
        "data": name,
        "rows": len(train),
        "columns": train.shape[1],
        "seed": seed,
        "seconds": seconds,
        "epochs": len(run.history),
        "samples": samples,
        "mean": found.mean,
        "standard_error": found.standard_error,
        "share_pareto_above_0.7": (found.pareto_k > PARETO_LIMIT).double().mean().item(),
        "components": len(classes.log_weight),
        "mixture": paired(model, classes.log_prob(test.double())),
        "tree": paired(model, tree.log_prob(test.double())),
    }


def write(record: dict[str, Any]) -> None:
    """Put the record of a set in the place of its former one."""
    path = tables.RESULTS / "binary.json"
    former = json.loads(path.read_text(encoding="utf-8"))["records"] if path.exists() else []
    found = {each["data"]: each for each in [*former, record]}
    tables.write_result("binary", {"records": [found[name] for name in SETS if name in found]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=SETS, help="names of sets; all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="the smallest set, few samples")
    options = parser.parse_args()
    torch.set_num_threads(1)
    sets = ("nips",) if options.quick else options.sets
    samples = 20 if options.quick else SAMPLES
    training = TrainingSettings(epochs=2) if options.quick else TrainingSettings()
    for name in sets:
        record = compare(name, options.seed, samples, training)
        print(record, flush=True)
        if not options.quick:
            write(record)


if __name__ == "__main__":
    main()
