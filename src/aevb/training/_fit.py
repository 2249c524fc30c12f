"""The loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch.optim import Optimizer

from .._compilation import Compiler
from .._hardware import resolve_device, single_thread
from .._memory import explain_out_of_memory
from .._persistence import to_config
from .._random import seed_scope
from .._recipe import Recipe
from ..data import Dataset, Rows
from ..errors import IncompatibleError, NumericalError, OutOfMemoryError
from ..gradients import Gradient, Pathwise
from ..metrics._blocks import model_dtype
from ..models import VAE
from ..networks import has_convolutions, set_precision, use_channels_last
from ..objectives import ELBO, Objective, Reconstruction
from ._checkpoint import RunProgress
from ._compatibility import (
    check_micro_batches,
    check_positive,
    check_schedules,
    check_seed,
    check_training_data,
    schedule_notes,
)
from ._cuda_graph import GraphCapture, move_learning_rates_to_device
from ._ema import ExponentialMovingAverage
from ._history import Epoch, FitResult
from ._interrupt import catch_interrupt
from ._multistep import Multistep
from ._optimisers import OptimizerFactory, WarmupCosine, adam, base_learning_rates, build_optimizer
from ._precision import Precision, choose_precision
from ._progress_bar import ProgressBar
from ._run import TrainingRun
from ._source import Source, check_not_empty, make_source
from ._step import TrainingStep

EpochCallback = Callable[[Epoch, VAE], bool | None]
DEFAULT_TRAINING_STEPS = 10_000  # of a run whose length nobody gave
_MICRO_BATCH_HINT = "go through each batch in more parts, parts=2"
INITIALISATION_ROWS = 1024  # rows that parts which begin with data are shown
SINGLE_THREAD_MULTIPLICATIONS = 4_000_000  # multiplications of a pass over a batch: below, threads wait for each other longer than they work
SKIP_POLL_STEPS = {
    "cpu": 1
}  # steps between looks at the counters of refused steps; looking is free on the CPU and a wait elsewhere


def fit(
    model: VAE | Recipe,
    data: Any,
    *,
    objective: Objective | None = None,
    gradient: Gradient | None = None,
    optimizer: OptimizerFactory | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    batch_size: int = 128,
    validation: Any = None,
    patience: int | None = None,
    lr_schedule: Callable[[int, float], float] | None = None,
    clip_norm: float | None = None,
    ema: float | None = None,
    micro_batches: int = 1,
    seed: int = 0,
    device: str | torch.device | None = None,
    precision: Precision = "float32",
    compile: bool | Literal["auto"] = "auto",
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    callbacks: Sequence[EpochCallback] = (),
    progress: bool | None = None,
    metadata: dict[str, Any] | None = None,
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
    check_positive(epochs=epochs, minutes=minutes, patience=patience, clip=clip_norm, average=ema)
    check_seed(seed)
    place = resolve_device(device)
    recipe = resolve_recipe(model, objective, gradient)
    model, objective, gradient = (
        recipe.model.to(place),
        recipe.objective.to(place),
        recipe.gradient.to(place),
    )
    gradient.check(model, objective)
    check_schedules(recipe, patience)
    chosen = choose_precision(precision, model, place)
    source = make_source(data, batch_size, seed, place, model_dtype(model))
    held_out = resolve_validation_rows(model, data, validation, place)
    check_training_data(model, source, held_out)
    check_micro_batches(micro_batches, source.batch_size)
    use_channels_last(model)
    limit = resolve_epochs(epochs, minutes, source.steps)
    lr_schedule = WarmupCosine() if lr_schedule is None else lr_schedule

    updates = build_optimizer(recipe, optimizer or adam())
    rates = base_learning_rates(updates)
    planned = limit * (source.steps or 0) if minutes is None and not has_convolutions(model) else 0
    compiler = Compiler(compile, planned, skip_guards=source.steps is not None)
    capturer = GraphCapture(place, compile is not False, updates)
    take = TrainingStep(
        model, objective, gradient, updates, clip_norm, micro_batches, compiler, capturer
    )
    averaged = ExponentialMovingAverage(model.parameters(), ema) if ema is not None else None
    recorded = training_settings(
        recipe, updates, source, limit, seed, chosen.name, compiler.enabled, ema, clip_norm
    )
    run = TrainingRun(
        take,
        updates,
        averaged,
        seed,
        out,
        recorded,
        metadata or {},
        data.spec if isinstance(data, Dataset) else None,
    )
    state = run.open(resume=resume, overwrite=overwrite)
    if capturer.enabled:
        move_learning_rates_to_device(updates, place)
    stride = Multistep(
        take, source, updates, rates, lr_schedule, averaged, run.statistic_sums, capturer
    )
    if state.step == 0:
        with seed_scope(seed, place):
            some = source.initialisation_batch(INITIALISATION_ROWS)
            model.initialise_from_data(some.x, some.context)
    began = time.monotonic() - state.seconds
    stopped = _resumed_stop_reason(state, minutes, patience)

    set_precision(model, chosen.dtype)
    model.train()
    poll = SKIP_POLL_STEPS.get(place.type, 50)
    try:
        fewer = explain_out_of_memory(
            "in a training step",
            _MICRO_BATCH_HINT,
            batch_size=source.batch_size,
            samples=objective.samples,
        )
        alone = single_thread(
            place.type == "cpu" and has_small_steps(model, source.batch_size, objective.samples)
        )
        with (
            fewer,
            alone,
            catch_interrupt() as interrupt,
            ProgressBar(
                progress, limit, source.steps, minutes, gradient.bound_name(objective)
            ) as bar,
        ):
            while state.epoch < limit and stopped == "epochs":
                compiler.invalidate_guards()
                with run.random_stream.activate():
                    for work in stride.iter_chunks(state.epoch, state.step_in_epoch):
                        elapsed = (time.monotonic() - began) / 60
                        taken = stride(
                            work,
                            state.step,
                            _total_steps(source.steps, limit, minutes, state.step, elapsed),
                        )
                        state.step += taken
                        state.step_in_epoch += taken
                        if state.step % poll < taken and take.skip_streak > 0:
                            run.report_skipped_step(stride.last_batch)
                        bar.update(state.epoch, state.step_in_epoch, elapsed)
                        run.checkpoint_if_due(began)
                        if interrupt.requested:
                            stopped = "interrupted"
                            break
                        if minutes is not None and elapsed > minutes:
                            stopped = "minutes"
                            break
                if state.step_in_epoch == 0:
                    stopped = "data"
                if stopped in ("interrupted", "data"):
                    break
                epoch = run.close_epoch(time.monotonic() - began, updates.param_groups[0]["lr"])
                epoch = run.validate(epoch, held_out)
                bar.show_epoch(epoch)
                if [
                    done for callback in callbacks if (done := callback(epoch, model))
                ]:  # all of them see the epoch
                    stopped = "callback"
                if (
                    patience is not None
                    and state.epochs_without_improvement >= patience
                    and stopped == "epochs"
                ):
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
        (
            *source.notes,
            *schedule_notes(recipe, limit * (source.steps or math.inf)),
            *chosen.notes,
            *compiler.notes,
            *capturer.notes,
            *run.notes,
        ),
        run.out,
    )


def training_settings(
    recipe: Recipe,
    optimizer: Optimizer,
    source: Source,
    epochs: float,
    seed: int,
    precision: str,
    compiled: bool,
    ema: float | None,
    clip_norm: float | None,
) -> dict[str, Any]:
    """What a run folder remembers of how its model was trained."""
    return {
        "objective": to_config(recipe.objective),
        "gradient": to_config(recipe.gradient),
        "optimizer": type(optimizer).__name__,
        "learning_rate": base_learning_rates(optimizer)[0],
        "epochs": epochs if math.isfinite(epochs) else None,
        "batch_size": source.batch_size,
        "steps_per_epoch": source.steps,
        "seed": seed,
        "precision": precision,
        "compiled": compiled,
        "average": ema,
        "clip": clip_norm,
    }


def resolve_recipe(
    model: VAE | Recipe, objective: Objective | None, gradient: Gradient | None
) -> Recipe:
    """What was given, and the plain choice for what was not."""
    if isinstance(model, Recipe):
        return Recipe(model.model, objective or model.objective, gradient or model.gradient)
    plain = ELBO() if model.posterior.has_density else Reconstruction()
    return Recipe(model, objective or plain, gradient or Pathwise())


def resolve_validation_rows(
    model: VAE, data: Any, validation: Any, device: torch.device
) -> Rows | None:
    """The rows to choose the best weights by, if there are any; a posterior that holds parameters per training row has none for others."""
    unknown = model.posterior.n_rows is not None
    if unknown and validation is not None:
        raise IncompatibleError(
            f"`posteriors.{type(model.posterior).__name__}` holds no parameters for validation rows. Leave `validation` out, and measure "
            "`inference.refine(model, x).model` on them afterwards."
        )
    if unknown or (validation is None and not isinstance(data, Dataset)):
        return None
    rows = data.validation if validation is None else Rows.from_array(validation)
    return check_not_empty(rows, "validation").to(device)


def has_small_steps(model: VAE, batch_size: int | None, samples: int) -> bool:
    """Whether steps are too small for threads: they gain nothing there, and take many times as long where other work keeps one waiting."""
    multiplications = (
        sum(parameter.numel() for parameter in model.parameters()) * (batch_size or 1) * samples
    )
    return multiplications < SINGLE_THREAD_MULTIPLICATIONS and not has_convolutions(model)


def _resumed_stop_reason(state: RunProgress, minutes: float | None, patience: int | None) -> str:
    """Why a run that is taken up again is at its end already; "epochs" where only these are left to count."""
    if patience is not None and state.epochs_without_improvement >= patience:
        return "patience"
    return "minutes" if minutes is not None and state.seconds / 60 > minutes else "epochs"


def resolve_epochs(epochs: int | None, minutes: float | None, steps: int | None) -> float:
    """Epochs after which a run ends: those asked for; none where only time was given; else some ten thousand steps' worth."""
    if epochs is not None:
        return epochs
    if minutes is not None:
        return math.inf
    return min(max(DEFAULT_TRAINING_STEPS // steps, 20), 500) if steps else 10


def _total_steps(
    steps: int | None, epochs: float, minutes: float | None, step: int, elapsed: float
) -> float:
    """Steps in the whole run, as far as they can be foreseen: by the clock where that is what will end it."""
    planned = steps * epochs if steps else float("inf")
    by_clock = (
        step * minutes / elapsed if minutes is not None and elapsed > 0 and step > 0 else planned
    )
    return min(planned, by_clock)
