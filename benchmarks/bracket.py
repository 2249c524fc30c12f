"""How near annealed bounds come to log p(x), and what that costs: a model whose truth is known, and handwritten digits.

The linear-Gaussian model has 10 dimensions, 4 latent variables, and a posterior approximation without correlations and with deviations
1.5 times too large; everything is in double precision, so what is left between a bound and the exact value is the bound's own. Data are
made up by the model, so that chains can also run backwards. The digits show the same for a trained model, whose truth only the bracket
knows, and what importance sampling says of the same data. For both, brackets at one price: few temperatures with many leapfrog steps
each, or many with few.

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
PASSES, LEAPFROGS = (
    600,
    (1, 2, 3, 5),
)  # through the decoder and back for each chain, shared out among temperatures


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


def known(quick: bool) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Bounds against the exact value, from both starts."""
    torch.set_default_dtype(torch.float64)
    table = []
    with seed_scope(0), torch.no_grad():
        model = linear()
        z, p = model.sample_joint(ROWS)
        x = p.sample()
        truth = metrics.exact_log_likelihood(model, x)
        for start in ("posterior", "prior"):
            for temperatures in TEMPERATURES[: 2 if quick else None]:
                settings, began = AISOptions(temperatures, start), time.perf_counter()
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
                    "seconds": time.perf_counter() - began,
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
                    f"{start:9} {temperatures:5} temperatures: truth {row['lower']['mean']:+.4f} ± {row['lower']['standard_error']:.4f}, "
                    f"{row['upper']['mean']:+.4f} ± {row['upper']['standard_error']:.4f}; estimate {row['estimate']['mean']:+.4f} ± "
                    f"{row['estimate']['standard_error']:.4f}; {row['slopes']:,} gradients per datum, {row['seconds']:.1f} s",
                    flush=True,
                )
        shared = priced(model, quick)
    torch.set_default_dtype(torch.float32)
    return table, shared


def priced(model: VAE, quick: bool) -> dict[str, Any]:
    """Width of the bracket by leapfrog steps, at the same number of passes, from both starts."""
    found: dict[str, Any] = {}
    for start in ("posterior", "prior"):
        for leapfrogs in LEAPFROGS[: 2 if quick else None]:
            annealing = AISOptions((60 if quick else PASSES) // leapfrogs, start, leapfrogs)
            gap = metrics.bidirectional_monte_carlo(model, 64, 8, annealing=annealing).bound_gap
            assert gap is not None
            found.setdefault(start, {})[leapfrogs] = vars(gap)
            print(
                f"{annealing.temperatures:4} temperatures of {leapfrogs} leapfrog steps, from the {start}: {gap} apart",
                flush=True,
            )
    return found


def digits(quick: bool) -> dict[str, Any]:
    """A trained model: annealing beside importance sampling on test rows, and a bracket of rows that it made up."""
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
        "importance": {k: said(value) for k, value in sampled.items()},
        "annealed": {},
        "bracket": {},
    }
    for k, value in sampled.items():
        print(
            f"digits, {k:6,} importance samples: {value.value}, Pareto k {value.pareto_k.median():.2f}"
        )  # type: ignore[union-attr]
    for temperatures in (5,) if quick else DIGITS:
        settings = AISOptions(temperatures)
        on_real, made_up = (
            metrics.log_likelihood(model, x, method="ais", annealing=settings),
            metrics.bidirectional_monte_carlo(model, 16, annealing=settings),
        )
        found["annealed"][temperatures], found["bracket"][temperatures] = (
            said(on_real),
            said(made_up),
        )
        print(
            f"digits, {temperatures:6,} temperatures: lower bound {on_real.lower_bound}, estimate {on_real.value}; of made-up digits "
            f"{made_up.lower_bound} to {made_up.upper_bound}, {made_up.bound_gap} apart",
            flush=True,
        )
    return found | {"priced": priced(model, quick)}


def said(found: metrics.LogLikelihood) -> dict[str, Any]:
    """The numbers by name."""
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few temperatures; nothing written")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    bounds, shared = known(quick)
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
