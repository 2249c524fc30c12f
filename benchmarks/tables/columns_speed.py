"""What mixed columns cost: training steps on a table against a plain model of the same widths.

The plain model reads as many complete numbers as `networks.Columns` gives features, and its
`likelihoods.Normal` has as many outputs as the heads of `likelihoods.Columns`. Steps of both take
turns in short blocks on one thread; the ratio is the median over pairs of blocks, with the middle
half of them.

    python benchmarks/tables/columns_speed.py [--rounds 20]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from aevb import VAE, Batch, gradients, likelihoods, networks, objectives, posteriors, priors
from aevb.networks import Column

BATCH, HIDDEN, LATENT, STEPS = 128, [400, 400], 10, 10
LEVELS = (2, 2, 5, 6, 7, 9, 15, 16, 42)
ATOMS = {"gain": (0.0,), "loss": (0.0, 1902.0), "hours": (20.0, 35.0, 40.0, 45.0, 50.0, 60.0)}
ADULT = [
    Column("age", "integer", "discretised_logistic", shift=38.0, scale=14.0, step=1.0),
    Column("weight", "count", "negative_binomial", scale=190_000.0),
    Column("years", "ordinal", "ordinal", levels=tuple(range(16))),
    *(
        Column(
            name,
            "spiky",
            "spiky",
            shift=40.0,
            scale=400.0,
            step=1.0,
            atoms=atoms,
            edges=tuple(float(edge) for edge in range(0, 2200, 100)),
        )
        for name, atoms in ATOMS.items()
    ),
    *(
        Column(f"c{n}", "binary", "bernoulli", levels=(0, 1))
        if n == 2
        else Column(f"c{n}", "categorical", "categorical", levels=tuple(range(n)))
        for n in LEVELS
    ),
]
EVERY_FAMILY = [
    *ADULT,
    Column("normal", "continuous", "normal"),
    Column("student", "continuous", "student_t"),
    Column("beta", "bounded", "beta", low=0.0, high=1.0),
    Column("positive", "positive", "log_normal", shift=12.0, scale=0.6),
]
TABLES = {
    "census, 15 columns": ADULT,
    "every family, 19 columns": EVERY_FAMILY,
    "5,000 numbers": [Column(f"x{i}", "continuous", "normal") for i in range(5000)],
    "5,000 columns of all families": EVERY_FAMILY * 250,
}


def make_step(model: VAE, x: torch.Tensor) -> Callable[[], None]:
    """A training step on these rows."""
    objective, gradient = objectives.ELBO(), gradients.Pathwise()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, foreach=True)
    batch = Batch(x)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        gradient(model, objective, batch).loss.backward()
        optimizer.step()

    return step


def make_steps(columns: list[Column], missing: float) -> list[Callable[[], None]]:
    """Steps of the model of a table and of the plain one."""
    width = networks.Columns.width(columns)
    encoder = networks.Columns(networks.MLP(width, HIDDEN), columns)
    table = likelihoods.Columns(networks.MLP(LATENT, HIDDEN), columns)
    mixed = VAE(priors.Normal(LATENT), posteriors.Normal(encoder, LATENT), table)
    x = mixed.sample(BATCH)
    x[torch.rand_like(x) < missing] = torch.nan
    outputs = sum(shape[0] for shape in table.heads.shapes)
    plain = VAE(
        priors.Normal(LATENT),
        posteriors.Normal(_Repeat(networks.MLP(width, HIDDEN), width), LATENT),
        likelihoods.Normal(networks.MLP(LATENT, HIDDEN), (outputs,), "per_element"),
    )
    return [make_step(mixed, x), make_step(plain, torch.randn(BATCH, outputs))]


class _Repeat(torch.nn.Module):
    """A network on the numbers of a row, repeated up to its width."""

    def __init__(self, network: torch.nn.Module, width: int) -> None:
        super().__init__()
        self.network, self.width = network, width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        repeats = -(-self.width // x.shape[1])
        return self.network(x.repeat(1, repeats)[:, : self.width])


def seconds(step: Callable[[], None], steps: int) -> float:
    """Processor time per step, which other processes do not lengthen."""
    start = time.process_time()
    for _ in range(steps):
        step()
    return (time.process_time() - start) / steps


def main() -> None:
    """Print the ratio of each table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name, columns in TABLES.items():
        torch.manual_seed(0)
        pair = make_steps(columns, missing=0.05)
        steps, rounds = (STEPS, options.rounds) if len(columns) < 1000 else (1, options.rounds // 4)
        for step in pair:
            step()
        times = [[seconds(step, steps) for step in pair] for _ in range(rounds)]
        ratios = [mixed / plain for mixed, plain in times]
        low, middle, high = statistics.quantiles(ratios, n=4)
        mixed, plain = (1e3 * statistics.median(each) for each in zip(*times, strict=True))
        print(
            f"{name:32} ratio {middle:.2f} [{low:.2f}, {high:.2f}]   "
            f"{mixed:.2f} ms against {plain:.2f} ms"
        )


if __name__ == "__main__":
    main()
