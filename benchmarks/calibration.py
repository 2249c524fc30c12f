"""Coverage of the standard errors of log p(x): a 95 % interval contains the truth in 95 %.

In each of 2,000 repetitions 200 new data are drawn from a linear-Gaussian model, whose E log p(x)
is known (minus its entropy), and importance sampled by `metrics.log_likelihood`. The interval is
valid where the bias of K samples, known from the exact log p of the same data, is small beside the
standard error; the table includes K = 1, the ELBO, where it is not.

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


def make_model() -> VAE:
    """A linear decoder; the posterior has exact means and scales that are 1.2 times too large."""
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


def measure_coverage(model: VAE, samples: int, repeats: int) -> dict[str, float]:
    """The share of intervals that contain the truth, and the bias over the standard error."""
    truth = -metrics.linear_gaussian(model).evidence().entropy().item()
    x = model.sample(repeats * ROWS).float()
    values = metrics.log_likelihood(model, x, samples, max_pairs=1 << 16).per_datum
    estimates = [metrics.Estimate.from_values(part) for part in values.split(ROWS)]
    hits = sum(abs(each.mean - truth) < 1.96 * each.standard_error for each in estimates)
    error = sum(each.standard_error for each in estimates) / repeats
    bias = (values - metrics.exact_log_likelihood(model, x.to(values))).mean().item()
    return {
        "samples": samples,
        "coverage": hits / repeats,
        "bias": bias,
        "standard_error": error,
        "bias_over_error": bias / error,
    }


def main() -> None:
    """Measure the coverage for each number of samples and write the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few repetitions; nothing written")
    repeats = 40 if parser.parse_args().quick else REPEATS
    torch.set_default_dtype(torch.float64)
    with seed_scope(0), torch.no_grad():
        model = make_model()
        table = [measure_coverage(model, samples, repeats) for samples in SAMPLES]
    noise = math.sqrt(0.05 * 0.95 / repeats)
    print(f"{repeats:,} repetitions, {ROWS} data each; a coverage is known to {100 * noise:.2f} %")
    for row in table:
        print(
            f"K = {row['samples']:3}  coverage {100 * row['coverage']:5.2f} %   "
            f"bias {row['bias']:+.5f} nats = {row['bias_over_error']:+.3f} standard errors of "
            f"{row['standard_error']:.4f}"
        )
    if repeats == REPEATS:
        RESULT.write_text(
            json.dumps({"repetitions": repeats, "rows": ROWS, "table": table}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
