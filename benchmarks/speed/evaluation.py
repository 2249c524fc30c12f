"""What importance-weighted evaluation costs per pair of datum and sample, beside Pythae's way, and what bfloat16 networks change.

The 784-400-20 Bernoulli net, trained for two epochs on real binarized MNIST. Pythae's ``get_nll`` goes through single data, encoding
each anew for every block of samples; that order of work is measured on the same net in the same rounds. Takes about 5 minutes.
Usage: python benchmarks/speed/evaluation.py [--rounds 9] [--threads 2] [--full]     (--full: 5000 samples x 10,000 images)
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np
import torch
from rounds import interval, machine

import aevb
from aevb.random import seeded

RESULTS = Path(__file__).parent / "results"
ROWS, SAMPLES = 512, 1000


def trained() -> tuple[aevb.VAE, aevb.data.Dataset]:
    data = aevb.data.load("binarized-mnist")
    with seeded(0):
        recipe = aevb.presets.vae(data.spec, latent=20, hidden=[400])
    return aevb.fit(recipe, data, epochs=2, progress=False).model, data


@torch.no_grad()
def one_at_a_time(model: aevb.VAE, x: torch.Tensor, samples: int, batch: int = 100) -> None:
    """The order of work of a loop over single data: encode and decode ``batch`` copies of one datum at a time."""
    for datum in x:
        weights = []
        for _ in range(samples // batch):
            copies = datum.expand(batch, *datum.shape)
            q = model.posterior(copies)
            z = q.sample()
            logits = model.likelihood(z).mean
            error = torch.nn.functional.binary_cross_entropy(logits, copies, reduction="none").flatten(1).sum(-1)
            weights.append(model.prior().log_prob(z) - error - q.log_prob(z))
        torch.logsumexp(torch.cat(weights), 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, data = trained()
    x = data.test[:: len(data.test) // ROWS][:ROWS]
    aevb.metrics.likelihood.LONG = 1  # what a long evaluation compiles, compiled here too
    ways = {
        "one datum at a time": lambda: one_at_a_time(model, x[:16], SAMPLES),
        "aevb float32": lambda: aevb.metrics.log_likelihood(model, x, SAMPLES),
        "aevb bfloat16 networks": lambda: aevb.metrics.log_likelihood(model, x, SAMPLES, precision="bfloat16"),
    }
    pairs = {name: (16 if name.startswith("one") else ROWS) * SAMPLES for name in ways}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(options.rounds + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            if number:  # the first round compiles
                seconds[name].append((time.perf_counter() - began) / pairs[name] * 1e6)
    full = {name: aevb.metrics.log_likelihood(model, x, SAMPLES, precision=precision) for name, precision in PRECISIONS.items()}
    result = {
        "workload": "evaluation",
        "threads": options.threads,
        "machine": machine(),
        "microseconds_per_pair": {name: float(np.median(values)) for name, values in seconds.items()},
        "ratio": {name: interval(np.array(seconds["one datum at a time"]), np.array(values)) for name, values in seconds.items()},
        "log_likelihood": {name: value.mean for name, value in full.items()},
    }
    if options.full:
        result["full"] = {name: whole(model, data, precision) for name, precision in PRECISIONS.items()}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"evaluation_{options.threads}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


PRECISIONS = {"float32": "float32", "bfloat16 networks": "bfloat16"}


def whole(model: aevb.VAE, data: aevb.data.Dataset, precision: str) -> dict[str, float]:
    """5000 samples for each of the 10,000 test images."""
    began = time.perf_counter()
    found = aevb.metrics.log_likelihood(model, data.test, 5000, precision=precision)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": time.perf_counter() - began, "log_likelihood": found.mean, "standard_error": found.standard_error, "peak_mib": peak}


if __name__ == "__main__":
    main()
