"""Three ways to train one model on 1,000 digits: log p(x) against training samples.

As in figure 3 of the AEVB paper. Auto-encoding variational Bayes maximises the ELBO by the pathwise
gradient, wake-sleep has two targets, and Monte-Carlo EM samples the posterior of each datum by
Hamiltonian Monte Carlo (10 leapfrog steps, tuned to an acceptance of 90 %) without an encoder. All
have a Bernoulli decoder with 100 tanh units after 3 latent variables, the same first weights, the
same batches, and Adam at one constant learning rate (the paper uses Adagrad). The evaluation does
not depend on the quality of the encoder: gradient steps refine the posterior of each datum before
300 importance samples are drawn from it; with 3 latent variables about half of them are effective.

Needs the data set `binarized-mnist`. Takes about 15 minutes on one core; `--contender NAME --seed
N` runs one part (1 to 3 minutes) and adds it to the record, `--draw` draws the record, `--quick`
takes seconds and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

import aevb
from aevb import (
    VAE,
    gradients,
    inference,
    likelihoods,
    metrics,
    networks,
    objectives,
    posteriors,
    priors,
)
from aevb._random import seed_scope
from aevb.metrics._estimate import format_with_error
from aevb.training import adam
from aevb.training._optimisers import constant_schedule

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "mcem.json"
PICTURE = ROOT / "docs" / "pictures" / "mcem.svg"

ROWS, BATCH, LATENT, HIDDEN, RATE = 1000, 100, 3, 100, 5e-3
MARKS = (2, 5, 10, 20, 50, 100, 200, 300)  # epochs with an evaluation
SEEDS = (0, 1, 2)
LOWEST = -230  # lower limit of the picture in nats
EVALUATED_ROWS, REFINEMENT_STEPS, SAMPLES = (
    200,
    150,
    300,
)  # rows, steps of refinement, importance samples
CONTENDERS: dict[str, Callable[[], gradients.Gradient]] = {
    "AEVB": gradients.Pathwise,
    "wake-sleep": gradients.WakeSleep,
    "Monte-Carlo EM": lambda: gradients.MonteCarloEM(ROWS, LATENT, leapfrogs=10, acceptance=0.9),
}


@dataclass
class Curve:
    """The numbers of one run at each mark, in nats per datum, and its effective sample sizes."""

    seen: list[int] = field(default_factory=list)
    train: list[float] = field(default_factory=list)
    test: list[float] = field(default_factory=list)
    effective: list[float] = field(default_factory=list)
    seconds: float = 0.0  # processor time of training alone


def spread(rows: aevb.data.Rows, count: int) -> Tensor:
    """Rows that are evenly spaced in a set that may be sorted."""
    return rows[torch.linspace(0, len(rows) - 1, count).long()]


def make_model(seed: int) -> VAE:
    """The model with the weights of a seed."""
    with seed_scope(seed):
        return VAE(
            priors.Normal(LATENT),
            posteriors.Normal(networks.MLP(784, [HIDDEN], activation="tanh"), LATENT),
            likelihoods.Bernoulli(networks.MLP(LATENT, [HIDDEN], activation="tanh"), (28, 28)),
        )


@dataclass(frozen=True)
class LikelihoodSummary:
    """Means over data."""

    log_likelihood: float
    effective_sample_size: float


def measure(model: VAE, x: Tensor) -> LikelihoodSummary:
    """log p(x): the larger of two estimates, each a lower bound in expectation.

    The refinement of a posterior starts at the encoder and at the prior. A poor encoder misleads
    the first, a posterior with several modes the second.
    """
    bare = VAE(model.prior, posteriors.NonAmortised(model.posterior, n_rows=1), model.likelihood)
    found = []
    for start in (model, bare):
        refined = inference.refine(
            start, x, steps=REFINEMENT_STEPS, objective=objectives.ELBO(samples=4)
        )
        found.append(metrics.log_likelihood(refined.model, x, samples=SAMPLES))
    best = torch.stack([each.per_datum for each in found]).amax(0)
    return LikelihoodSummary(best.mean().item(), max(each.effective_sample_size for each in found))


def run(
    rule: gradients.Gradient, seed: int, train: Tensor, test: Tensor, marks: tuple[int, ...]
) -> Curve:
    """Train, and evaluate at the marks."""
    curve, evaluation_time = Curve(), [0.0]

    def evaluate(epoch: aevb.training.Epoch, model: VAE) -> None:
        if epoch.epoch in marks:
            start_time = time.process_time()
            on_train = measure(model, train[:: len(train) // len(test)])
            on_test = measure(model, test)
            curve.seen.append(epoch.epoch * len(train))
            curve.train.append(on_train.log_likelihood)
            curve.test.append(on_test.log_likelihood)
            curve.effective.append(on_test.effective_sample_size)
            evaluation_time[0] += time.process_time() - start_time

    start_time = time.process_time()
    options = {
        "epochs": marks[-1],
        "batch_size": BATCH,
        "optimizer": adam(RATE),
        "lr_schedule": constant_schedule,
        "seed": seed,
    }
    aevb.fit(
        make_model(seed),
        train,
        gradient=rule,
        callbacks=[evaluate],
        compile=False,
        progress=False,
        device="cpu",
        **options,
    )
    curve.seconds = time.process_time() - start_time - evaluation_time[0]
    return curve


def summary(record: dict) -> None:
    """Print the last mark of every contender over its seeds."""
    for name, runs in record.items():
        ends = torch.tensor(
            [[curve["train"][-1], curve["test"][-1]] for curve in runs.values()],
            dtype=torch.float64,
        )
        error = ends.std(0) / math.sqrt(len(ends)) if len(ends) > 1 else torch.full((2,), math.nan)
        first = next(iter(runs.values()))
        pace = 1e3 * first["seconds"] * BATCH / first["seen"][-1]
        train, test = (
            format_with_error(ends[:, i].mean().item(), error[i].item()) for i in range(2)
        )
        print(
            f"{name:16s} {first['seen'][-1]:>8,} samples: train {train}, test {test} nats over "
            f"{len(ends)} seeds; {pace:.1f} ms of processor time per step, effective samples "
            f"{first['effective'][-1]:.0f} of {SAMPLES}"
        )


def draw_curves(record: dict, path: Path) -> None:
    """Training and test curves of every contender; the band is the range over the seeds."""
    from aevb.plots._canvas import PALETTE, label_axes, resolve_axes, svg

    ax = resolve_axes(None, 6.4, 3.4)
    for (name, runs), colour in zip(record.items(), PALETTE, strict=False):
        seen = next(iter(runs.values()))["seen"]
        for part, style, label in (("test", "-", name), ("train", ":", None)):
            values = torch.tensor([curve[part] for curve in runs.values()])
            ax.plot(seen, values.mean(0), style, color=colour, label=label, linewidth=1.6)
            ax.fill_between(
                seen, values.amin(0), values.amax(0), color=colour, alpha=0.18, linewidth=0
            )
    ax.set_xscale("log")
    highest = max(
        value for runs in record.values() for curve in runs.values() for value in curve["train"]
    )
    # the first hundred steps of wake-sleep would leave no room for the rest
    ax.set_ylim(LOWEST, highest + 5)
    label_axes(ax, "training samples seen (dotted: on training rows)", "log p(x), nats per digit")
    ax.legend(frameon=False, fontsize=8.5, loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(svg(ax))


def main() -> None:
    """Run the contenders, write the record and draw it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--contender", choices=list(CONTENDERS), help="this contender alone")
    parser.add_argument("--seed", type=int, choices=SEEDS, help="this seed alone")
    parser.add_argument(
        "--draw", action="store_true", help="train nothing; draw the picture from the result"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a few epochs, one seed, nothing written"
    )
    options = parser.parse_args()
    record = (
        json.loads(RESULT.read_text())
        if RESULT.exists() and not options.quick
        else {name: {} for name in CONTENDERS}
    )
    if not options.draw:
        data = aevb.data.load("binarized-mnist")
        train, test = (
            spread(data.train, ROWS),
            spread(data.test, 50 if options.quick else EVALUATED_ROWS),
        )
        for seed in (0,) if options.quick else SEEDS if options.seed is None else (options.seed,):
            for name in CONTENDERS if options.contender is None else (options.contender,):
                curve = run(
                    CONTENDERS[name](), seed, train, test, (1, 3) if options.quick else MARKS
                )
                record[name][str(seed)] = vars(curve)
                if not options.quick:
                    RESULT.parent.mkdir(parents=True, exist_ok=True)
                    RESULT.write_text(json.dumps(record, indent=1) + "\n")
    summary({name: runs for name, runs in record.items() if runs})
    if not options.quick:
        draw_curves({name: runs for name, runs in record.items() if runs}, PICTURE)


if __name__ == "__main__":
    main()
