"""The loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from ..compiling import Compiler
from ..data import Dataset, Rows
from ..errors import NumericalError
from ..gradients import Gradient, Pathwise
from ..metrics.sweep import dtype_of
from ..models import VAE
from ..networks import convolves, set_precision
from ..objectives import ELBO, Objective, Reconstruction
from ..persistence import describe
from ..recipe import Recipe
from .average import Average
from .bar import Bar
from .checkpoint import Progress
from .door import check_numbers, check_seed, check_source, pick_device
from .history import Epoch, FitResult
from .interrupt import listening
from .optimisers import Factory, WarmupCosine, adam, base_rates, set_rates
from .precision import Precision, choose
from .run import Run
from .source import checked, source_of
from .step import Step

Callback = Callable[[Epoch, VAE], bool | None]
STEPS = 10_000  # of a run whose length nobody gave
POLL = {"cpu": 1}  # steps between looks at the counters of refused steps; looking is free on the CPU and a wait elsewhere


def fit(
    model: VAE | Recipe,
    data: Any,
    *,
    objective: Objective | None = None,
    gradient: Gradient | None = None,
    optimizer: Factory | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    batch_size: int = 128,
    validation: Any = None,
    patience: int | None = None,
    rate: Callable[[int, float], float] | None = None,
    clip: float | None = None,
    average: float | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    precision: Precision = "float32",
    compile: bool | Literal["auto"] = "auto",
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    callbacks: Sequence[Callback] = (),
    progress: bool | None = None,
    settings: dict[str, Any] | None = None,
) -> FitResult:
    """Train a model; auto-encoding variational Bayes (Kingma and Welling 2014).

    Args:
        model: a ``VAE``, trained in place, or a ``Recipe`` that brings objective and gradient.
        data: a ``Dataset``, an array or tensor ``[N, *event]`` (kept on the device as stored), or an iterable of batches.
        objective: what is climbed; the ELBO with exact divergence by default (``Reconstruction`` for a posterior without a density).
        gradient: how; through the draw by default.
        optimizer: a factory ``parameters -> Optimizer``; ``adam(1.5e-3)`` by default.
        epochs: passes over the data; by default about 10,000 steps, at least 20 and at most 500 epochs, or as many as ``minutes`` allow.
        minutes: stop after that long, whatever ``epochs`` says; the learning rate then follows the clock, and runs do not repeat exactly.
        batch_size: rows per step; what is left over at the end of an epoch is dropped.
        validation: rows to choose the best weights by; those of the ``Dataset`` by default. Always scored by the plain ELBO.
        patience: stop after that many epochs without improvement, counted from when the objective's schedules have settled.
        rate: factor on the learning rate, ``(step, total) -> float``; ``WarmupCosine()`` by default.
        clip: largest norm of the gradient.
        average: decay of a moving average of the weights, which is then validated and returned in their place.
        seed: of the order of the data and of every draw.
        device: "cpu", "cuda", "mps"; the accelerator if there is one by default.
        precision: of the networks while training, "float32", "bfloat16" or "auto"; densities are float32 or better.
        compile: put the loss and its gradients into one compiled graph: seconds at the start, then faster steps. "auto" does so where
            the planned steps pay for it; convolutions gain nothing.
        out: a run folder to write: model, history, checkpoint.
        resume: go on from the checkpoint in ``out``: on a CPU the result is bit for bit that of a run that was not interrupted (an
            iterable must give the same batches again for that; a loader that shuffles does not).
        overwrite: allow ``out`` to hold an earlier run, which is replaced.
        callbacks: called with each ``Epoch`` and the model; one that returns ``True`` ends the run.
        progress: a bar on stderr; by default where that is a terminal.
        settings: anything to be kept in the run folder beside the rest.

    Raises:
        IncompatibleError: model, objective and gradient do not fit together.
        DataError: the data are not what the model takes.
        ArgumentError: a setting that no run could use.
        RunError: ``out`` is in the way, cannot be written, or holds nothing to resume.
        NumericalError: three steps in a row were not finite; the model has the best weights so far.
    """
    check_numbers(epochs=epochs, minutes=minutes, patience=patience, clip=clip, average=average)
    check_seed(seed)
    place = pick_device(device)
    recipe = _recipe(model, objective, gradient)
    model, objective, gradient = recipe.model.to(place), recipe.objective.to(place), recipe.gradient.to(place)
    gradient.check(model, objective)
    chosen = choose(precision, model, place)
    source = source_of(data, batch_size, seed, place, dtype_of(model))
    held_out = _validation(data, validation, place)
    check_source(model, source, held_out)
    limit = _limit(epochs, minutes, source.steps)
    rate = WarmupCosine() if rate is None else rate

    updates = (optimizer or adam())([parameter for part in (model, objective, gradient) for parameter in part.parameters()])
    rates = base_rates(updates)
    compiler = Compiler(compile, limit * (source.steps or 0) if minutes is None and not convolves(model) else 0)
    take = Step(model, objective, gradient, updates, clip, compiler)
    averaged = Average(model, average) if average is not None else None
    recorded = {
        "objective": describe(objective),
        "gradient": describe(gradient),
        "optimizer": type(updates).__name__,
        "learning_rate": rates[0],
        "epochs": limit if math.isfinite(limit) else None,
        "batch_size": source.batch_size,
        "steps_per_epoch": source.steps,
        "seed": seed,
        "precision": chosen.name,
        "compiled": compiler.on,
        "average": average,
        "clip": clip,
    }
    run = Run(take, updates, averaged, seed, out, recorded, settings or {}, data.spec if isinstance(data, Dataset) else None)
    state = run.open(resume=resume, overwrite=overwrite)
    began = time.monotonic() - state.seconds
    stopped = _ended(state, minutes, patience)

    set_precision(model, chosen.dtype)
    model.train()
    poll = POLL.get(place.type, 50)
    try:
        with listening() as interrupt, Bar(progress, limit, source.steps, minutes, objective.name) as bar:
            while state.epoch < limit and stopped == "epochs":
                with run.stream.drawing():
                    for batch in source.epoch(state.epoch, state.position):
                        elapsed = (time.monotonic() - began) / 60
                        total = _total(source.steps, limit, minutes, state.step, elapsed)
                        set_rates(updates, rates, rate(state.step, total))
                        objective.at(state.step)
                        run.totals += take(batch)
                        state.step += 1
                        state.position += 1
                        if averaged is not None:
                            averaged.update(state.step)
                        if state.step % poll == 0 and take.streak > 0:
                            run.note_refusal(batch)
                        bar.advance(state.epoch, state.position, elapsed)
                        run.save_now_and_then(began)
                        if interrupt.asked:
                            stopped = "interrupted"
                            break
                        if minutes is not None and elapsed > minutes:
                            stopped = "minutes"
                            break
                if state.position == 0:
                    stopped = "data"
                if stopped in ("interrupted", "data"):
                    break
                epoch = run.close_epoch(time.monotonic() - began, updates.param_groups[0]["lr"])
                epoch = run.validate(epoch, held_out)
                bar.show(epoch)
                if [done for callback in callbacks if (done := callback(epoch, model))]:  # all of them see the epoch
                    stopped = "callback"
                if patience is not None and state.waited >= patience and stopped == "epochs":
                    stopped = "patience"
        state.seconds = time.monotonic() - began
        run.checkpoint()
    except NumericalError:
        run.finish()
        raise
    finally:
        set_precision(model, None)
    run.finish()
    model.eval()
    return FitResult(
        model, tuple(state.history), state.best_epoch, stopped, (*source.said, *chosen.said, *compiler.said, *run.said), run.out
    )


def _recipe(model: VAE | Recipe, objective: Objective | None, gradient: Gradient | None) -> Recipe:
    """What was given, and the plain choice for what was not."""
    if isinstance(model, Recipe):
        return Recipe(model.model, objective or model.objective, gradient or model.gradient)
    plain = ELBO() if model.posterior.density else Reconstruction()
    return Recipe(model, objective or plain, gradient or Pathwise())


def _validation(data: Any, validation: Any, place: torch.device) -> Rows | None:
    if validation is None and not isinstance(data, Dataset):
        return None
    rows = data.validation if validation is None else Rows.of(validation)
    return checked(rows, "validation").to(place)


def _ended(state: Progress, minutes: float | None, patience: int | None) -> str:
    """Why a run that is taken up again is at its end already; "epochs" where only these are left to count."""
    if patience is not None and state.waited >= patience:
        return "patience"
    return "minutes" if minutes is not None and state.seconds / 60 > minutes else "epochs"


def _limit(epochs: int | None, minutes: float | None, steps: int | None) -> float:
    """Epochs after which a run ends: those asked for; none where only time was given; else some ten thousand steps' worth."""
    if epochs is not None:
        return epochs
    if minutes is not None:
        return math.inf
    return min(max(STEPS // steps, 20), 500) if steps else 10


def _total(steps: int | None, epochs: float, minutes: float | None, step: int, elapsed: float) -> float:
    """Steps in the whole run, as far as they can be foreseen: by the clock where that is what will end it."""
    planned = steps * epochs if steps else float("inf")
    by_clock = step * minutes / elapsed if minutes is not None and elapsed > 0 and step > 0 else planned
    return min(planned, by_clock)
