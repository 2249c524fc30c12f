"""Hierarchical models: ladders of two and five layers on MNIST, latent images on CIFAR-10.

The record has the test bound, ``log p(x)`` by importance sampling, and the contribution of each
layer to the KL divergence. The ladders (Sonderby et al. 2016) have 32-16 and 64-32-16-8-4 latent
variables, a KL weight that rises over the first third of the run, and free bits; their data are the
binarized MNIST. The top-down model has latent images of 16 x 16, 8 x 8 and 4 x 4 and a mixture of
discretised logistics. It and the ``vae`` preset are trained on the same part of the first 4,000
images of CIFAR-10: their bits per dimension are not comparable with those of the whole set.

Takes about 10 minutes on one core; AEVB_DATA is the folder of the data. ``--quick`` takes half a
minute and writes nothing; ``--part`` runs one part and keeps the others of the record.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import aevb
from aevb import (
    VAE,
    gradients,
    likelihoods,
    models,
    networks,
    objectives,
    posteriors,
    presets,
    priors,
)
from aevb._random import seed_scope
from aevb._recipe import Recipe

RESULT = Path(__file__).resolve().parent / "results" / "hierarchies.json"
FREE_BITS = 0.02  # nats for each latent variable
ROWS, DRAWS = 1000, 200  # test rows, and draws per row for log p(x)


def ladder(sizes: list[int], widths: list[int], steps: int) -> Recipe:
    """A ladder with these numbers of latent variables and widths of layers, from the data up."""
    between = [
        posteriors.Normal(networks.MLP(above, [width]), size)
        for size, above, width in zip(sizes, sizes[1:], widths[1:], strict=False)
    ]
    prior = priors.Chain([*between, priors.Normal(sizes[-1])])
    rungs = [
        networks.MLP(below, [width]) for below, width in zip([784, *widths], widths, strict=False)
    ]
    likelihood = likelihoods.Bernoulli(
        networks.LeadingLatents(networks.MLP(sizes[0], [widths[0]]), sizes[0]), [28, 28]
    )
    objective = objectives.ELBO(beta=objectives.Linear(steps=steps // 3), free_bits=FREE_BITS)
    return Recipe(
        VAE(prior, posteriors.Ladder(prior, rungs), likelihood), objective, gradients.Pathwise()
    )


def images(steps: int) -> Recipe:
    """Three latent images, and a mixture of logistics for each colour of each pixel."""
    event, channels = [3, 32, 32], [24, 32, 48]
    encoder = networks.Standardise(networks.Pyramid(event, channels), [127.5], [127.5])
    trunk = networks.TopDown(event, channels, latent=4, layers=1)
    likelihood = likelihoods.LogisticMixture(
        networks.Conv(channels[0], channels[0]), event, 256, 3, latent_rank=3
    )
    objective = objectives.ELBO(beta=objectives.Linear(0.1, 1.0, steps=steps // 3))
    return Recipe(models.top_down(encoder, trunk, likelihood), objective, gradients.Pathwise())


def train(
    recipe: Recipe, data: aevb.data.Dataset, epochs: int, batch: int, compile: bool
) -> tuple[aevb.FitResult, float]:
    """The result of a run and its seconds; networks in bfloat16."""
    start_time = time.perf_counter()
    result = aevb.fit(
        recipe,
        data,
        epochs=epochs,
        batch_size=batch,
        precision="bfloat16",
        compile=compile,
        progress=False,
    )
    for note in result.notes:
        print("  ", note)
    return result, time.perf_counter() - start_time


def layers(result: aevb.FitResult) -> list[float]:
    """Nats that each layer adds to the KL divergence, from the data up, in the last epoch."""
    metrics = result.history[-1].metrics
    return [round(metrics[f"kl_{i + 1}"], 3) for i in range(len(metrics))]


def on_mnist(sizes: list[int], widths: list[int], epochs: int, quick: bool) -> dict[str, Any]:
    """Train a ladder and evaluate it."""
    data = aevb.data.load("binarized-mnist")
    if quick:
        data = replace(
            data,
            train=data.train.subset(slice(0, 2560)),
            validation=data.validation.subset(slice(0, 200)),
        )
    with seed_scope(0):
        recipe = ladder(sizes, widths, epochs * (len(data.train) // 128))
    result, seconds = train(recipe, data, epochs, 128, not quick)
    chosen = data.test[
        torch.randperm(len(data.test), generator=torch.Generator().manual_seed(0))[
            : 100 if quick else ROWS
        ]
    ]
    measured = aevb.metrics.log_likelihood(result.model, chosen, samples=20 if quick else DRAWS)
    bound = aevb.metrics.rate_distortion(
        result.model, data.test if not quick else chosen, samples=1
    )
    return {
        "sizes": sizes,
        "widths": widths,
        "epochs": epochs,
        "seconds": round(seconds),
        "kl": layers(result),
        "elbo": round(bound.elbo.mean, 2),
        "log_likelihood": round(measured.mean, 2),
        "standard_error": round(measured.standard_error, 2),
        "rows": len(chosen),
        "draws": measured.samples,
    }


def on_cifar(epochs: int, quick: bool) -> dict[str, Any]:
    """Train both models and evaluate them."""
    data = aevb.data.load("cifar10")
    if quick:
        data = replace(
            data,
            train=data.train.subset(slice(0, 128)),
            validation=data.validation.subset(slice(0, 32)),
        )
    with seed_scope(0):
        recipes = {
            "top_down": images(epochs * (len(data.train) // 32)),
            "vae": presets.vae(data.spec, latent=64),
        }
    test = data.test[: 32 if quick else len(data.test)]
    record: dict[str, Any] = {"epochs": epochs, "train": len(data.train), "test": len(test)}
    for name, recipe in recipes.items():
        result, seconds = train(recipe, data, epochs, 32, False)
        bound = aevb.metrics.rate_distortion(result.model, test, samples=1).elbo.bits_per_dimension(
            3 * 32 * 32
        )
        measured = aevb.metrics.log_likelihood(
            result.model, test, samples=4 if quick else 16
        ).value.bits_per_dimension(3 * 32 * 32)
        record[name] = {
            "seconds": round(seconds),
            "parameters": sum(parameter.numel() for parameter in result.model.parameters()),
            "bits": round(bound.mean, 3),
            "importance_weighted_bits": round(measured.mean, 3),
            "standard_error": round(bound.standard_error, 3),
            "kl": layers(result),
        }
        print(f"  {name}: {record[name]}", flush=True)
    return record


PARTS = {
    "two layers": lambda quick: on_mnist([32, 16], [300, 150], 1 if quick else 20, quick),
    "five layers": lambda quick: on_mnist(
        [64, 32, 16, 8, 4], [300, 150, 75, 40, 20], 1 if quick else 20, quick
    ),
    "images": lambda quick: on_cifar(1 if quick else 8, quick),
}


def main() -> None:
    """Run the parts and write the record after each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument(
        "--quick", action="store_true", help="a few steps, few rows; nothing written"
    )
    options = parser.parse_args()
    record = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    for part in options.part or PARTS:
        print(part)
        record[part] = PARTS[part](options.quick)
        print("  ", record[part], flush=True)
        if not options.quick:
            RESULT.write_text(json.dumps(record, indent=2) + "\n")
            print(f"written to {RESULT}")


if __name__ == "__main__":
    main()
