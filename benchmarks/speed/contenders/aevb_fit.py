"""``aevb.fit`` or ``aevb.fit_many``: the whole loop, on data that `aevb` loads."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from gate import (
    BATCH,
    DEEP,
    DEEP_BATCH,
    DEEP_LATENT,
    DEEP_SAMPLES,
    HIDDEN,
    IMAGE_BATCH,
    IMAGE_CHANNELS,
    IMAGE_LATENT,
    LATENT,
    QUICK,
    TABLE_BATCH,
    TABLE_COLUMNS,
    TABLE_HIDDEN,
    TABLE_LATENT,
    TABLE_ROWS,
    Gate,
    table,
)

import aevb
from aevb import likelihoods, networks, objectives, posteriors, priors
from aevb._random import seed_scope
from aevb.data import Dataset, Rows
from aevb.training._optimisers import constant_schedule


@dataclass(frozen=True)
class Workload:
    """A model with its objective and its data."""

    build: Callable[[], aevb.Recipe]
    rows: Rows
    batch: int
    held_out: Dataset | None = None


def mnist(options: argparse.Namespace) -> Workload:
    """The 784-400-20 net."""
    data = aevb.data.load("binarized-mnist")
    hidden, latent, samples = options.hidden or [HIDDEN], options.latent or LATENT, options.samples

    def build() -> aevb.Recipe:
        recipe = aevb.presets.vae(data.spec, latent=latent, hidden=hidden)
        return (
            recipe
            if samples is None
            else aevb.Recipe(recipe.model, objectives.IWAE(samples), recipe.gradient)
        )

    return Workload(build, sized(data.train, options.rows), options.batch or BATCH, data)


def weighted(options: argparse.Namespace) -> Workload:
    """The 784-200-200-50 net."""
    options.hidden, options.latent, options.samples = list(DEEP), DEEP_LATENT, DEEP_SAMPLES
    options.batch = options.batch or DEEP_BATCH
    return mnist(options)


def tabular(options: argparse.Namespace) -> Workload:
    """The 16-64-4 net."""
    hidden, latent = options.hidden or [TABLE_HIDDEN], options.latent or TABLE_LATENT
    rows = options.rows or TABLE_ROWS

    def build() -> aevb.Recipe:
        encoder, decoder = networks.MLP(TABLE_COLUMNS, hidden), networks.MLP(latent, hidden[::-1])
        likelihood = likelihoods.Normal(decoder, (TABLE_COLUMNS,), scale="shared")
        model = aevb.VAE(priors.Normal(latent), posteriors.Normal(encoder, latent), likelihood)
        return aevb.Recipe(model, objectives.ELBO(options.samples or 1), aevb.gradients.Pathwise())

    return Workload(build, Rows.from_array(table(rows)), options.batch or TABLE_BATCH)


def photographs(options: argparse.Namespace) -> Workload:
    """The convolutional net."""
    data = aevb.data.load("cifar10")
    everything = torch.cat(
        [part.stored_values for part in (data.train, data.validation, data.test)]
    )
    rows = Rows(everything[:256] if QUICK else everything, data.train.transform)
    channels, latent = options.hidden or list(IMAGE_CHANNELS), options.latent or IMAGE_LATENT

    def build() -> aevb.Recipe:
        return aevb.presets.vae(data.spec, latent=latent, hidden=channels)

    return Workload(build, sized(rows, options.rows), options.batch or IMAGE_BATCH)


NETS = {"mnist": mnist, "weighted": weighted, "table": tabular, "photographs": photographs}


def sized(rows: Rows, count: int | None) -> Rows:
    """The first ``count`` rows, repeated if there are fewer."""
    count = count or (2560 if QUICK else len(rows))
    return rows if count == len(rows) else rows.subset(torch.arange(count) % len(rows))


def held_out(model: aevb.VAE, data: Dataset | None, part: str) -> float:
    """The ELBO from one draw per datum, with the exact KL divergence."""
    assert data is not None
    return aevb.metrics.rate_distortion(
        model, {"validation": data.validation, "test": data.test}[part], samples=1
    ).elbo.mean


class GateSchedule:
    """A learning rate factor that waits at the gate after every epoch, in place of a callback."""

    def __init__(self, gate: Gate, steps: int) -> None:
        self.gate, self.steps, self.seen = gate, steps, 0

    def __call__(self, step: int, total: float) -> float:
        if step % self.steps == 0 and step > self.seen:
            self.seen = step
            self.gate()
        return 1.0


def check_side_by_side(work: Workload, count: int) -> None:
    """Check before timing that ``fit_many`` trains this kind of model as a stack."""
    results = aevb.fit_many(
        [work.build() for _ in range(count)],
        sized(work.rows, work.batch),
        epochs=1,
        batch_size=work.batch,
        progress=False,
        compile=False,
    )
    notes = [str(note) for note in results[0].notes]
    assert count == 1 or any("side by side" in note for note in notes), notes


def check_compiled(wanted: bool) -> None:
    """Check that ``fit`` compiles if and only if it should, and nothing later."""
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    if wanted != bool(graphs):
        raise RuntimeError(f"{graphs} graphs were compiled, with compile={wanted}.")
    torch.compiler.set_stance("fail_on_recompile")


def leave_layout() -> None:
    """Disable the channels_last layout of ``fit``, which has no option for it."""
    loop = sys.modules[aevb.fit.__module__]
    assert "use_channels_last" in vars(loop)
    vars(loop)["use_channels_last"] = lambda model: None


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser()
    parser.add_argument("threads", type=int)
    parser.add_argument("--net", default="mnist", choices=NETS)
    parser.add_argument("--hidden", type=int, nargs="+")
    parser.add_argument("--latent", type=int)
    parser.add_argument("--samples", type=int)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--many", type=int, help="so many models side by side")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument(
        "--contiguous", action="store_true", help="leave the weights of convolutions as they are"
    )
    parser.add_argument(
        "--epochs",
        type=int,
        help="a whole run of so many, with the rates that a user gets; without it there is no end",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--fit", type=json.loads, default={}, help="more arguments of fit, as a JSON object"
    )
    return parser.parse_args()


def main() -> None:
    """Train at the gate."""
    options = parsed()
    torch.set_num_threads(options.threads)
    work = NETS[options.net](options)
    with seed_scope(options.seed):
        recipes = [work.build() for _ in range(options.many or 1)]
    if options.contiguous:
        leave_layout()
    steps = len(work.rows) // work.batch
    gate = Gate(
        len(recipes) * steps * work.batch,
        steps,
        score=lambda part: held_out(recipes[0].model, work.held_out, part),
        ready=lambda: check_compiled(options.compiled),
        torch=torch.__version__,
    )
    settings = {
        "batch_size": work.batch,
        "epochs": options.epochs or 10**6,
        "seed": options.seed,
        "precision": options.precision,
        "compile": options.compiled,
        "progress": False,
    } | options.fit
    if options.many:
        check_side_by_side(work, options.many)
        aevb.fit_many(recipes, work.rows, lr_schedule=GateSchedule(gate, steps), **settings)
    else:
        schedule = {} if options.epochs else {"lr_schedule": constant_schedule}
        aevb.fit(
            recipes[0], work.rows, callbacks=[lambda epoch, model: gate()], **schedule, **settings
        )


if __name__ == "__main__":
    main()
