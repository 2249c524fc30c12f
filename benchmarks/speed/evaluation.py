"""The cost of importance sampling per pair of datum and sample. Takes 10 minutes with --full.

The 784-400-20 Bernoulli net after two epochs on binarized MNIST, in float32 and bfloat16, against
the order of work of Pythae's `get_nll` on the same net: one datum at a time, encoded again for
every block of samples. --full evaluates 5000 samples for each of the 10,000 test images, with this
net and with that of Burda et al. (2016), 784-200-200-50 with tanh.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from rounds import format_interval, interval, machine, time_in_rounds
from script import make_parser, parse_options, write_record

import aevb
from aevb import gradients, likelihoods, networks, objectives, posteriors, priors
from aevb._random import seed_scope

ROWS, SAMPLES, ALONE = 512, 1000, 16
SLOW = "one datum at a time"
PRECISIONS = {"float32": "float32", "bfloat16 networks": "bfloat16"}


def vae(data: aevb.data.Dataset) -> aevb.Recipe:
    """The 784-400-20 net."""
    return aevb.presets.vae(data.spec, latent=20, hidden=[400])


def iwae(data: aevb.data.Dataset) -> aevb.Recipe:
    """The 784-200-200-50 net."""
    posterior = posteriors.Normal(networks.MLP(784, [200, 200], "tanh"), 50)
    likelihood = likelihoods.Bernoulli(networks.MLP(50, [200, 200], "tanh"), (28, 28))
    return aevb.Recipe(
        aevb.VAE(priors.Normal(50), posterior, likelihood), objectives.IWAE(5), gradients.Pathwise()
    )


def trained(
    build: Callable[[aevb.data.Dataset], aevb.Recipe], data: aevb.data.Dataset, quick: bool = False
) -> aevb.VAE:
    """A model after two epochs."""
    with seed_scope(0):
        recipe = build(data)
    rows = data.train.subset(slice(1280)) if quick else data
    return aevb.fit(recipe, rows, epochs=2, progress=False).model


@torch.no_grad()
def one_at_a_time(model: aevb.VAE, x: torch.Tensor, samples: int, batch: int = 100) -> None:
    """A loop over data: encode and decode ``batch`` copies of one datum at a time."""
    for datum in x:
        weights = []
        for _ in range(samples // batch):
            copies = datum.expand(batch, *datum.shape)
            q = model.posterior(copies)
            z = q.sample()
            logits = model.likelihood(z).mean
            error = (
                torch.nn.functional.binary_cross_entropy(logits, copies, reduction="none")
                .flatten(1)
                .sum(-1)
            )
            weights.append(model.prior().log_prob(z) - error - q.log_prob(z))
        torch.logsumexp(torch.cat(weights), 0)


def ways_of(model: aevb.VAE, x: torch.Tensor, samples: int) -> dict[str, Callable[[], object]]:
    """The ways to evaluate."""
    return {
        SLOW: lambda: one_at_a_time(model, x[:ALONE], samples),
        "aevb float32": lambda: aevb.metrics.log_likelihood(model, x, samples),
        "aevb bfloat16 networks": lambda: aevb.metrics.log_likelihood(
            model, x, samples, precision="bfloat16"
        ),
    }


def whole(model: aevb.VAE, data: aevb.data.Dataset, precision: Any) -> dict[str, float]:
    """5000 samples for each of the 10,000 test images."""
    start_time = time.perf_counter()
    found = aevb.metrics.log_likelihood(model, data.test, 5000, precision=precision)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "seconds": time.perf_counter() - start_time,
        "log_likelihood": found.mean,
        "standard_error": found.standard_error,
        "peak_mib": peak,
    }


def main() -> None:
    """Run the ways and write the record."""
    parser = make_parser(__doc__, rounds=15, threads=[2])
    parser.add_argument(
        "--full",
        action="store_true",
        help="5000 samples for each of the 10,000 test images besides",
    )
    options = parse_options(parser)
    torch.set_num_threads(options.threads)
    data = aevb.data.load("binarized-mnist")
    model = trained(vae, data, options.quick)
    rows, samples = (32, 200) if options.quick else (ROWS, SAMPLES)
    x = data.test[:: len(data.test) // rows][:rows]
    if not options.quick:
        # compile as a long evaluation does
        aevb.metrics._log_likelihood.COMPILE_FROM_PAIRS = 1
    times = time_in_rounds(ways_of(model, x, samples), options.rounds)
    pairs = {name: (ALONE if name == SLOW else rows) * samples for name in times.seconds}
    per_pair = {name: seconds / pairs[name] * 1e6 for name, seconds in times.seconds.items()}
    values = {
        name: aevb.metrics.log_likelihood(model, x, samples, precision=p).mean
        for name, p in PRECISIONS.items()
    }  # type: ignore[arg-type]
    result: dict[str, Any] = {
        "workload": "evaluation",
        "threads": options.threads,
        "rounds": options.rounds,
        "machine": machine(),
        "control": times.control,
        "microseconds_per_pair": {
            name: float(np.median(found)) for name, found in per_pair.items()
        },
        "ratio": {name: interval(per_pair[SLOW], found) for name, found in per_pair.items()},
        "log_likelihood": values,
    }
    for name, micro in result["microseconds_per_pair"].items():
        print(
            f"{name:24} {micro:6.2f} microseconds per pair, "
            f"x{format_interval(result['ratio'][name])}"
        )
    if options.full and not options.quick:
        result["full"] = {
            name: whole(model, data, precision) for name, precision in PRECISIONS.items()
        }
        result["full"]["float32, net of Burda et al."] = whole(trained(iwae, data), data, "float32")
        for name, found in result["full"].items():
            print(
                f"5000 samples, {name}: {found['seconds']:.0f} s, peak {found['peak_mib']:.0f} MiB"
            )
    write_record(f"evaluation_{options.threads}", result, quick=options.quick)


if __name__ == "__main__":
    main()
