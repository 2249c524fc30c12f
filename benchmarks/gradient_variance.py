"""Variance of four gradients of the ELBO against the number of latent variables.

Each latent variable explains one element of the data: ``p(z) = N(0, I)``, ``p(x|z) = N(z, I)``,
``q(z|x)`` factorised and near the exact posterior. The variance is that of the gradient in the mean
of the first of ``d`` latent variables, for one datum, from two draws. All four gradients have the
same mean. Without a baseline the score function multiplies the score of one variable by the
log-weights of all of them, whose mean is far from 0: the variance grows as ``d^2``. The
leave-one-out baseline leaves only their spread, which grows as ``d``. The pathwise gradients do not
depend on the other variables.

Takes about a minute on one core. ``--quick`` takes seconds and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import torch
from torch import Tensor, nn

from aevb import VAE, Batch, gradients, likelihoods, objectives, posteriors, priors
from aevb._random import seed_scope

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "gradient_variance.json"
PICTURE = ROOT / "docs" / "pictures" / "gradient_variance.svg"

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SAMPLES = 2  # the smallest number for leave-one-out
DATUM, MEAN, SCALE = 1.0, 0.8, 0.8  # the exact posterior is N(1/2, 1/2)
RULES = {
    "score function": gradients.ScoreFunction,
    "leave one out": gradients.LeaveOneOut,
    "pathwise": gradients.Pathwise,
    "doubly reparameterised": gradients.DoublyReparameterised,
}


class Means(nn.Module):
    """A separate mean for every row and latent variable, so that every row has its own gradient."""

    def __init__(self, rows: int, latent: int) -> None:
        super().__init__()
        self.means = nn.Parameter(torch.full((rows, latent), MEAN))

    def forward(self, x: Tensor) -> Tensor:
        return self.means[: len(x)]


@torch.no_grad()
def make_model(rows: int, latent: int) -> VAE:
    """The model; the means of its posterior are free parameters."""
    model = VAE(
        priors.Normal(latent),
        posteriors.Normal(Means(rows, latent), latent),
        likelihoods.Normal(nn.Identity(), (latent,), scale=1.0),
    )
    encoder, decoder = model.posterior.heads.head, model.likelihood.noise.heads.head
    encoder.weight.copy_(torch.cat([torch.eye(latent), torch.zeros(latent, latent)]))
    encoder.bias.copy_(
        torch.cat([torch.zeros(latent), torch.full((latent,), 6 * math.atanh(math.log(SCALE) / 6))])
    )
    decoder.weight.copy_(torch.eye(latent))
    return model


def slopes(rule: gradients.Gradient, latent: int, rows: int) -> Tensor:
    """The gradient of the ELBO in the mean of the first latent variable for each row."""
    model = make_model(rows, latent)
    rule(
        model, objectives.ELBO(SAMPLES, kl="sampled"), Batch(torch.full((rows, latent), DATUM))
    ).loss.backward()
    return -rows * model.posterior.heads.network.means.grad[:, 0]


def measure(rows: int, rounds: int, sizes: tuple[int, ...]) -> dict[str, list[list[float]]]:
    """The variance of each gradient at each size, for each round."""
    found: dict[str, list[list[float]]] = {name: [] for name in RULES}
    with seed_scope(0):
        for latent in sizes:
            exact = (DATUM - MEAN) - MEAN
            for name, rule in RULES.items():
                values = [slopes(rule(), latent, rows) for _ in range(rounds)]
                pooled = torch.cat(values)
                error = pooled.std() / math.sqrt(len(pooled))
                assert abs(pooled.mean() - exact) < 5 * error, (
                    f"{name} is biased: {pooled.mean()}, expected {exact}"
                )
                found[name].append([value.var().item() for value in values])
    return found


def growth(variances: list[list[float]], sizes: tuple[int, ...]) -> tuple[float, float]:
    """The slope of log variance against log size over the larger sizes, and its standard error."""
    half = len(sizes) // 2
    x = torch.tensor([math.log(size) for size in sizes[half:]])
    y = torch.tensor(variances[half:]).log()
    centred = x - x.mean()
    fitted = (centred[:, None] * y).sum(0) / centred.square().sum()
    return fitted.mean().item(), (fitted.std() / math.sqrt(len(fitted))).item()


def draw_curves(record: dict, path: Path) -> None:
    """Variance against size, a line for each gradient with its slope."""
    from aevb.plots._canvas import PALETTE, label_axes, resolve_axes, svg

    ax = resolve_axes(None, 6.6, 3.2)
    sizes = record["latent"]
    for (name, line), colour in zip(record["gradients"].items(), PALETTE, strict=False):
        ax.loglog(sizes, line["variance"], color=colour, marker="o", markersize=3.5, linewidth=1.4)
        text = f"{name}, slope {round(line['growth'], 1) + 0:.1f}"  # no negative zero
        ax.annotate(
            text,
            (sizes[-1], line["variance"][-1]),
            (6, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            fontsize=8.5,
        )
    label_axes(ax, "latent variables", "variance of the gradient in one mean")
    ax.set_xlim(right=sizes[-1] * 1.1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(svg(ax))


def main() -> None:
    """Measure the variances, and write the record and the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="a few sizes, few rows, nothing written"
    )
    quick = parser.parse_args().quick
    sizes, rows, rounds = ((1, 4, 16, 64), 2000, 3) if quick else (SIZES, 4000, 10)
    found = measure(rows, rounds, sizes)
    record = {
        "latent": list(sizes),
        "rows": rows,
        "rounds": rounds,
        "samples": SAMPLES,
        "gradients": {},
    }
    for name, variances in found.items():
        slope, error = growth(variances, sizes)
        means = [sum(values) / len(values) for values in variances]
        spread = [
            torch.tensor(values).std().item() / math.sqrt(len(values)) for values in variances
        ]
        record["gradients"][name] = {
            "variance": means,
            "standard_error": spread,
            "growth": slope,
            "growth_standard_error": error,
        }
        shown = "  ".join(f"{value:10.4g}" for value in means)
        print(f"{name:24s}{shown}   slope {slope:5.2f} ± {error:.2f}")
    if not quick:
        RESULT.parent.mkdir(parents=True, exist_ok=True)
        RESULT.write_text(json.dumps(record, indent=1) + "\n")
        draw_curves(record, PICTURE)


if __name__ == "__main__":
    main()
