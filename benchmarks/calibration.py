"""Whether standard errors of log p(x) are what they say: the 95 % interval must hold the truth 95 times in 100.

2,000 repetitions; in each of them 200 data are drawn anew from a linear-Gaussian model, whose E log p(x) is known (minus its entropy), and
importance sampled through `metrics.log_likelihood`. The bias of K samples, known from the exact log p of the same data, must be small
beside the standard error for the interval to hold: the table shows K = 1, the ELBO, where it is not.

Takes 2 minutes on one core; --quick takes seconds and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import torch
from torch import nn

from aevb import VAE, likelihoods, metrics, posteriors, priors
from aevb._random import seed_scope

RESULT = Path(__file__).resolve().parent / "results" / "calibration.json"
SIZE, LATENT, NOISE = 8, 2, 0.5
ROWS, REPEATS, SAMPLES = 200, 2000, (1, 4, 16, 64)


def model_of() -> VAE:
    """A linear decoder; the posterior has the right means, and deviations that are 1.2 times too large."""
    likelihood = likelihoods.Normal(nn.Identity(), (SIZE,), scale=NOISE)
    model = VAE(priors.Normal(LATENT), posteriors.Normal(nn.Identity(), LATENT), likelihood)
    with torch.no_grad():
        decoder, encoder = likelihood.noise.heads.head, model.posterior.heads.head
        precision = torch.eye(LATENT) + decoder.weight.T @ decoder.weight / NOISE**2
        gain = torch.linalg.inv(precision) @ decoder.weight.T / NOISE**2
        deviation = 1.2 * torch.linalg.inv(precision).diagonal().sqrt()
        encoder.weight.copy_(torch.cat([gain, torch.zeros_like(gain)]))
        encoder.bias.copy_(torch.cat([-gain @ decoder.bias, 6 * torch.atanh(deviation.log() / 6)]))
    return model


def coverage(model: VAE, samples: int, repeats: int) -> dict[str, float]:
    """How many intervals hold the truth, and the bias in units of the standard error."""
    truth = -metrics.linear_gaussian(model).evidence().entropy().item()
    x = model.sample(repeats * ROWS).float()
    found = metrics.log_likelihood(model, x, samples, max_pairs=1 << 16).per_datum
    estimates = [metrics.Estimate.from_values(part) for part in found.split(ROWS)]
    held = sum(abs(one.mean - truth) < 1.96 * one.standard_error for one in estimates)
    error = sum(one.standard_error for one in estimates) / repeats
    bias = (found - metrics.exact_log_likelihood(model, x.to(found))).mean().item()
    return {
        "samples": samples,
        "coverage": held / repeats,
        "bias": bias,
        "standard_error": error,
        "bias_over_error": bias / error,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few repetitions; nothing written")
    repeats = 40 if parser.parse_args().quick else REPEATS
    torch.set_default_dtype(torch.float64)
    with seed_scope(0), torch.no_grad():
        model = model_of()
        table = [coverage(model, samples, repeats) for samples in SAMPLES]
    noise = math.sqrt(0.05 * 0.95 / repeats)
    print(f"{repeats:,} repetitions, {ROWS} data each; a coverage is known to {100 * noise:.2f} %")
    for row in table:
        print(
            f"K = {row['samples']:3}  coverage {100 * row['coverage']:5.2f} %   bias {row['bias']:+.5f} nats = "
            f"{row['bias_over_error']:+.3f} standard errors of {row['standard_error']:.4f}"
        )
    if repeats == REPEATS:
        RESULT.write_text(
            json.dumps({"repetitions": repeats, "rows": ROWS, "table": table}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
