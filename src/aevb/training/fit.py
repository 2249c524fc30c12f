"""The loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch.optim import Optimizer

from ..compiling import Compiler
from ..data import Dataset, Rows
from ..errors import IncompatibleError, NumericalError, OutOfMemoryError
from ..gradients import Gradient, Pathwise
from ..memory import enough_memory
from ..metrics.sweep import dtype_of
from ..models import VAE
from ..networks import convolves, fast_layout, set_precision
from ..objectives import ELBO, Objective, Reconstruction
from ..persistence import describe
from ..processor import one_thread
from ..random import seeded
from ..recipe import Recipe
from .average import Average
from .bar import Bar
from .captured import Capturer, rates_on_device
from .checkpoint import Progress
from .door import check_numbers, check_parts, check_schedules, check_seed, check_source, cut_short, pick_device
from .history import Epoch, FitResult
from .interrupt import listening
from .optimisers import Factory, WarmupCosine, adam, base_rates, optimizer_of
from .precision import Precision, choose
from .run import Run
from .source import Source, checked, source_of
from .step import Step
from .stride import Stride

Callback = Callable[[Epoch, VAE], bool | None]
STEPS = 10_000  # of a run whose length nobody gave
_PARTS = "go through each batch in more parts, parts=2"
PRIMING = 1024  # rows that parts which begin with data are shown
SMALL = 4_000_000  # multiplications of a pass over a batch: below, threads wait for each other longer than they work
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
    parts: int = 1,
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
        data: a ``Dataset``, an array or tensor ``[N, *event]`` (kept on the device as stored, or left in its file where it is a large
            memory-mapped one), or an iterable of batches.
        objective: what is climbed; the ELBO with exact divergence by default (``Reconstruction`` for a posterior without a density).
        gradient: how; through the draw by default.
        optimizer: a factory ``parameters -> Optimizer``; ``adam(1.5e-3)`` by default.
        epochs: passes over the data; by default about 10,000 steps, at least 20 and at most 500 epochs, or as many as ``minutes`` allow.
        minutes: stop after that long, whatever ``epochs`` says; the learning rate then follows the clock, and runs do not repeat exactly.
        batch_size: rows per step; what is left over at the end of an epoch is dropped.
        validation: rows to choose the best weights by; those of the ``Dataset`` by default. Scored by the plain ELBO, or by the
            objective's own bound where that is a mean of importance weights.
        patience: stop after that many epochs without improvement, counted from when the objective's schedules have settled.
        rate: factor on the learning rate, ``(step, total) -> float``; ``WarmupCosine()`` by default.
        clip: largest norm of the gradient.
        average: decay of a moving average of the weights, which is then validated and returned in their place.
        parts: go through each batch in that many equal parts and take one step with the mean of their gradients: memory for the
            activations of one part only. What an objective makes of a batch as a whole (a penalty, free bits) it then makes of each part.
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
        OutOfMemoryError: the memory does not hold a step; the message says which sizes to lower, the model has the best weights so far.
        NumericalError: three steps in a row were not finite; the model has the best weights so far.
    """
    check_numbers(epochs=epochs, minutes=minutes, patience=patience, clip=clip, average=average)
    check_seed(seed)
    place = pick_device(device)
    recipe = as_recipe(model, objective, gradient)
    model, objective, gradient = recipe.model.to(place), recipe.objective.to(place), recipe.gradient.to(place)
    gradient.check(model, objective)
    check_schedules(recipe, patience)
    chosen = choose(precision, model, place)
    source = source_of(data, batch_size, seed, place, dtype_of(model))
    held_out = held_out_rows(model, data, validation, place)
    check_source(model, source, held_out)
    check_parts(parts, source.batch_size)
    fast_layout(model)
    limit = planned_epochs(epochs, minutes, source.steps)
    rate = WarmupCosine() if rate is None else rate

    updates = optimizer_of(recipe, optimizer or adam())
    rates = base_rates(updates)
    planned = limit * (source.steps or 0) if minutes is None and not convolves(model) else 0
    compiler = Compiler(compile, planned, alike=source.steps is not None)
    capturer = Capturer(place, compile is not False, updates)
    take = Step(model, objective, gradient, updates, clip, parts, compiler, capturer)
    averaged = Average(model.parameters(), average) if average is not None else None
    recorded = recorded_settings(recipe, updates, source, limit, seed, chosen.name, compiler.on, average, clip)
    run = Run(take, updates, averaged, seed, out, recorded, settings or {}, data.spec if isinstance(data, Dataset) else None)
    state = run.open(resume=resume, overwrite=overwrite)
    if capturer.on:
        rates_on_device(updates, place)
    stride = Stride(take, source, updates, rates, rate, averaged, run.totals, capturer)
    if state.step == 0:
        with seeded(seed, place):
            some = source.some(PRIMING)
            model.prime(some.x, some.context)
    began = time.monotonic() - state.seconds
    stopped = _ended(state, minutes, patience)

    set_precision(model, chosen.dtype)
    model.train()
    poll = POLL.get(place.type, 50)
    try:
        fewer = enough_memory("in a training step", _PARTS, batch_size=source.batch_size, samples=objective.samples)
        alone = one_thread(place.type == "cpu" and small_steps(model, source.batch_size, objective.samples))
        with fewer, alone, listening() as interrupt, Bar(progress, limit, source.steps, minutes, gradient.name_of(objective)) as bar:
            while state.epoch < limit and stopped == "epochs":
                compiler.doubt()
                with run.stream.drawing():
                    for work in stride.works(state.epoch, state.position):
                        elapsed = (time.monotonic() - began) / 60
                        taken = stride(work, state.step, _total(source.steps, limit, minutes, state.step, elapsed))
                        state.step += taken
                        state.position += taken
                        if state.step % poll < taken and take.streak > 0:
                            run.note_refusal(stride.last)
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
    except (NumericalError, OutOfMemoryError):
        run.finish()
        raise
    finally:
        set_precision(model, None)
    run.finish()
    model.eval()
    return FitResult(
        model,
        tuple(state.history),
        state.best_epoch,
        stopped,
        (*source.said, *cut_short(recipe, limit * (source.steps or math.inf)), *chosen.said, *compiler.said, *capturer.said, *run.said),
        run.out,
    )


def recorded_settings(
    recipe: Recipe,
    updates: Optimizer,
    source: Source,
    limit: float,
    seed: int,
    precision: str,
    compiled: bool,
    average: float | None,
    clip: float | None,
) -> dict[str, Any]:
    """What a run folder remembers of how its model was trained."""
    return {
        "objective": describe(recipe.objective),
        "gradient": describe(recipe.gradient),
        "optimizer": type(updates).__name__,
        "learning_rate": base_rates(updates)[0],
        "epochs": limit if math.isfinite(limit) else None,
        "batch_size": source.batch_size,
        "steps_per_epoch": source.steps,
        "seed": seed,
        "precision": precision,
        "compiled": compiled,
        "average": average,
        "clip": clip,
    }


def as_recipe(model: VAE | Recipe, objective: Objective | None, gradient: Gradient | None) -> Recipe:
    """What was given, and the plain choice for what was not."""
    if isinstance(model, Recipe):
        return Recipe(model.model, objective or model.objective, gradient or model.gradient)
    plain = ELBO() if model.posterior.density else Reconstruction()
    return Recipe(model, objective or plain, gradient or Pathwise())


def held_out_rows(model: VAE, data: Any, validation: Any, place: torch.device) -> Rows | None:
    """The rows to choose the best weights by, if there are any; a posterior that holds parameters per training row has none for others."""
    unknown = model.posterior.rows is not None
    if unknown and validation is not None:
        raise IncompatibleError(
            f"`posteriors.{type(model.posterior).__name__}` holds no parameters for validation rows. Leave `validation` out, and measure "
            "`inference.refine(model, x).model` on them afterwards."
        )
    if unknown or (validation is None and not isinstance(data, Dataset)):
        return None
    rows = data.validation if validation is None else Rows.of(validation)
    return checked(rows, "validation").to(place)


def small_steps(model: VAE, batch_size: int | None, samples: int) -> bool:
    """Whether steps are too small for threads: they gain nothing there, and take many times as long where other work keeps one waiting."""
    multiplications = sum(parameter.numel() for parameter in model.parameters()) * (batch_size or 1) * samples
    return multiplications < SMALL and not convolves(model)


def _ended(state: Progress, minutes: float | None, patience: int | None) -> str:
    """Why a run that is taken up again is at its end already; "epochs" where only these are left to count."""
    if patience is not None and state.waited >= patience:
        return "patience"
    return "minutes" if minutes is not None and state.seconds / 60 > minutes else "epochs"


def planned_epochs(epochs: int | None, minutes: float | None, steps: int | None) -> float:
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
