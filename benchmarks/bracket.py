"""Width of annealed bounds on log p(x), and their cost: a model with known truth, and digits.

The linear-Gaussian model has 10 dimensions, 4 latent variables and an uncorrelated posterior
approximation with standard deviations that are 1.5 times too large. All is in double precision, so
the difference between a bound and the exact value is that of the bound. The data are drawn from the
model, so chains can also run backwards. The digits show the same for a trained model, of which only
the bracket knows log p(x), beside importance sampling on the same data. Both parts include brackets
at equal cost: few temperatures with many leapfrog steps each, or many with few.

Takes 5 minutes on one core; --quick takes seconds and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

import aevb
from aevb import VAE, Batch, likelihoods, metrics, posteriors, priors
from aevb._random import seed_scope
from aevb.inference import AISOptions, annealed_importance_sampling

RESULT = Path(__file__).resolve().parent / "results" / "bracket.json"
SIZE, LATENT, NOISE, ROWS, CHAINS = 10, 4, 0.6, 64, 16
TEMPERATURES = (10, 30, 100, 300, 1000)
DIGITS = (100, 300, 1000)
PASSES, LEAPFROGS = 600, (1, 2, 3, 5)
"""Passes through the decoder and back per chain, and leapfrog steps that share them."""


def linear() -> VAE:
    """The linear-Gaussian model with its wide, uncorrelated posterior."""
    likelihood = likelihoods.Normal(nn.Identity(), (SIZE,), scale=NOISE)
    model = VAE(priors.Normal(LATENT), posteriors.Normal(nn.Identity(), LATENT), likelihood)
    with torch.no_grad():
        decoder, encoder = likelihood.noise.heads.head, model.posterior.heads.head
        nn.init.normal_(decoder.weight)
        covariance = torch.linalg.inv(
            torch.eye(LATENT) + decoder.weight.T @ decoder.weight / NOISE**2
        )
        gain, deviation = (
            covariance @ decoder.weight.T / NOISE**2,
            1.5 * covariance.diagonal().sqrt(),
        )
        encoder.weight.copy_(torch.cat([gain, torch.zeros_like(gain)]))
        encoder.bias.copy_(torch.cat([-gain @ decoder.bias, 6 * torch.atanh(deviation.log() / 6)]))
    return model


def linear_gaussian_bounds(quick: bool) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Bounds minus the exact value, for chains from both starts."""
    torch.set_default_dtype(torch.float64)
    table = []
    with seed_scope(0), torch.no_grad():
        model = linear()
        z, p = model.sample_joint(ROWS)
        x = p.sample()
        truth = metrics.exact_log_likelihood(model, x)
        for start in ("posterior", "prior"):
            for temperatures in TEMPERATURES[: 2 if quick else None]:
                settings, start_time = AISOptions(temperatures, start), time.perf_counter()
                found = annealed_importance_sampling(model, Batch(x), CHAINS, settings, z=z)
                assert found.upper is not None
                sides = {
                    "lower": found.lower - truth,
                    "estimate": found.log_mean - truth,
                    "upper": found.upper - truth,
                }
                row: dict[str, Any] = {
                    "start": start,
                    "temperatures": temperatures,
                    "seconds": time.perf_counter() - start_time,
                }
                row["slopes"] = (
                    settings.total_moves(1, CHAINS, bidirectional=True) * settings.leapfrogs
                )
                row |= {
                    name: vars(metrics.Estimate.from_values(side)) for name, side in sides.items()
                }
                row["width"] = vars(metrics.Estimate.from_values(found.upper - found.lower))
                table.append(row)
                print(
                    f"{start:9} {temperatures:5} temperatures, minus the exact value: "
                    + ", ".join(
                        f"{name} {row[name]['mean']:+.4f} ± {row[name]['standard_error']:.4f}"
                        for name in sides
                    )
                    + f"; {row['slopes']:,} gradients per datum, {row['seconds']:.1f} s",
                    flush=True,
                )
        shared = bounds_at_equal_cost(model, quick)
    torch.set_default_dtype(torch.float32)
    return table, shared


def bounds_at_equal_cost(model: VAE, quick: bool) -> dict[str, Any]:
    """Width of the bracket by leapfrog steps at an equal number of passes, from both starts."""
    found: dict[str, Any] = {}
    for start in ("posterior", "prior"):
        for leapfrogs in LEAPFROGS[: 2 if quick else None]:
            annealing = AISOptions((60 if quick else PASSES) // leapfrogs, start, leapfrogs)
            gap = metrics.bidirectional_monte_carlo(model, 64, 8, annealing=annealing).bound_gap
            assert gap is not None
            found.setdefault(start, {})[leapfrogs] = vars(gap)
            print(
                f"{annealing.temperatures:4} temperatures, {leapfrogs} leapfrog steps, "
                f"from the {start}: width {gap}",
                flush=True,
            )
    return found


def digits(quick: bool) -> dict[str, Any]:
    """A trained model: annealing and importance sampling on test rows, and a bracket of samples."""
    data = aevb.data.load("digits")
    with seed_scope(0):
        recipe = aevb.presets.vae(data.spec, latent=16, hidden=[256])
    model = aevb.fit(recipe, data, epochs=1 if quick else 60, progress=False).model
    x = data.test[:: len(data.test) // 16][:16]
    sampled = {
        k: metrics.log_likelihood(model, x, k)
        for k in ((10, 100) if quick else (100, 1000, 10_000))
    }
    found: dict[str, Any] = {
        "importance": {k: to_record(value) for k, value in sampled.items()},
        "annealed": {},
        "bracket": {},
    }
    for k, value in sampled.items():
        assert value.pareto_k is not None
        pareto_k = value.pareto_k.median()
        print(f"digits, {k:6,} importance samples: {value.value}, Pareto k {pareto_k:.2f}")
    for temperatures in (5,) if quick else DIGITS:
        settings = AISOptions(temperatures)
        on_real, sampled_digits = (
            metrics.log_likelihood(model, x, method="annealing", annealing=settings),
            metrics.bidirectional_monte_carlo(model, 16, annealing=settings),
        )
        found["annealed"][temperatures], found["bracket"][temperatures] = (
            to_record(on_real),
            to_record(sampled_digits),
        )
        print(
            f"digits, {temperatures:6,} temperatures: lower bound {on_real.lower_bound}, "
            f"estimate {on_real.value}; samples of the model {sampled_digits.lower_bound} to "
            f"{sampled_digits.upper_bound}, width {sampled_digits.bound_gap}",
            flush=True,
        )
    return found | {"priced": bounds_at_equal_cost(model, quick)}


def to_record(found: metrics.LogLikelihood) -> dict[str, Any]:
    """The numbers of an estimate by name."""
    parts = {
        "lower": found.lower_bound,
        "estimate": found.value,
        "upper": found.upper_bound,
        "gap": found.bound_gap,
    }
    k = None if found.pareto_k is None else found.pareto_k.median().item()
    return {name: None if value is None else vars(value) for name, value in parts.items()} | {
        "effective": found.effective_sample_size,
        "pareto_k": k,
    }


def main() -> None:
    """Run both parts and write the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few temperatures; nothing written")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    bounds, shared = linear_gaussian_bounds(quick)
    record = {
        "rows": ROWS,
        "chains": CHAINS,
        "linear_gaussian": bounds,
        "priced": shared,
        "digits": digits(quick),
    }
    if not quick:
        RESULT.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
