"""The training loop of one model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .._grad_mode import make_differentiable
from .._hardware import single_thread
from .._loop import CONTINUE, Journal, Loop, Position
from .._memory import explain_out_of_memory
from .._recipe import Recipe, TrainingDefaults
from ..data import Dataset, Rows
from ..errors import ArgumentError, IncompatibleError, NumericalError, OutOfMemoryError, RunError
from ..gradients import Gradient, Pathwise
from ..inference._batches import model_dtype
from ..models import VAE
from ..networks import has_convolutions, set_input_noise, set_precision, use_channels_last
from ..networks._input_noise import check_input_noise
from ..notes import Argument, Part, message
from ..objectives import ELBO, Objective, Reconstruction
from ._checkpoint import RunProgress
from ._compatibility import (
    check_micro_batches,
    check_schedules,
    check_training_data,
    check_weights,
    schedule_notes,
)
from ._ema import ExponentialMovingAverage
from ._engine._compiler import StepCompiler
from ._engine._cuda_graph import GraphCapture, move_learning_rates_to_device
from ._engine._multistep import Multistep
from ._history import EpochCallback, FitResult
from ._initialise import initialisation_notes, initialise_from_data
from ._interrupt import Interrupt, catch_interrupt
from ._optimisers import OptimizerFactory, WarmupCosine, base_learning_rates, build_optimizer
from ._precision import choose_precision
from ._private import PrivacyPlan, PrivateGradients, check_private, make_private_source
from ._progress_bar import ProgressBar
from ._run import TrainingRun
from ._source import check_not_empty, make_source
from ._step import DifferentiateFunction, TrainingStep
from ._weight_decay import check_weight_decay

if TYPE_CHECKING:
    from ._fit import TrainingConfig

# Multiplications of a pass over a batch below which threads cost more than they gain.
SINGLE_THREAD_MULTIPLICATIONS = 4_000_000
# Steps between two readings of the counter of skipped steps, which are free on the CPU only.
SKIP_POLL_STEPS = {"cpu": 1}


class Trainer:
    """The training of one model: everything is checked here, before the first step.

    Args:
        recipe: Model, objective and gradient, on the device.
        data: A data set, rows, an array, a tensor, or an iterable of batches.
        config: The training settings.
        optimizer: The factory of the optimiser.
        validation: Rows that choose the best weights.
        device: The device.
        out: The run folder.
        metadata: Anything to keep in the run folder.
        initialise: Whether data-dependent parts start from the first rows.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: Any,
        config: TrainingConfig,
        optimizer: OptimizerFactory,
        validation: Any,
        device: torch.device,
        out: str | Path | None,
        metadata: dict[str, Any],
        initialise: bool = True,
    ) -> None:
        self.recipe, self.config, self.device = recipe, config, device
        self.initialise = initialise
        model, objective, gradient = recipe.model, recipe.objective, recipe.gradient
        gradient.check(model, objective)
        check_schedules(recipe, config.patience)
        self.precision = choose_precision(config.precision, model, device)
        self.source = make_source(
            data, config.batch_size, config.seed, device, model_dtype(model), model.data_offset
        )
        check_weights(recipe, self.source)
        self.held_out = resolve_validation_rows(model, data, validation, device)
        check_training_data(model, self.source, self.held_out)
        check_micro_batches(config.micro_batches, self.source.batch_size)
        check_input_noise(model.posterior, config.input_noise)
        use_channels_last(model)
        self.epochs = resolve_epochs(
            config.epochs, config.minutes, self.source.steps, recipe.training
        )
        self.plan = self._plan_privacy() if config.privacy else None

        steps = self.epochs * (self.source.steps or math.inf)
        self.planned_steps = int(steps) if math.isfinite(steps) else None
        recipe.plan_schedules(self.planned_steps)

        self.optimizer = build_optimizer(recipe, optimizer)
        base_rates = base_learning_rates(self.optimizer)
        check_weight_decay(config.weight_decay, max(map(abs, base_rates)))
        by_steps = config.minutes is None and not has_convolutions(model)
        planned = self.epochs * (self.source.steps or 0) if by_steps else 0
        plain = False if self.plan else config.compile
        self.compiler = StepCompiler(plain, planned, skip_guards=self.source.steps is not None)
        self.capture = GraphCapture(device, plain is not False, self.optimizer)
        self.step = TrainingStep(
            model,
            objective,
            gradient,
            self.optimizer,
            config.clip_norm,
            config.micro_batches,
            self._make_private if self.plan else self.compiler,
            self.capture,
            config.weight_decay,
        )
        decay = config.ema
        ema = None if decay is None else ExponentialMovingAverage(model.parameters(), decay)
        recorded = config.recorded_settings(
            recipe,
            self.optimizer,
            self.source,
            self.epochs,
            self.precision.name,
            self.compiler.enabled,
        )
        if self.plan is not None:
            recorded["privacy"] = self.plan.to_dict()
        self.run = TrainingRun(
            self.step,
            self.optimizer,
            ema,
            config.seed,
            out,
            recorded,
            config.identity(recorded),
            metadata,
            data.spec if isinstance(data, Dataset) else None,
        )
        lr_schedule = config.lr_schedule or WarmupCosine()
        self.multistep_arguments = (base_rates, lr_schedule, ema, self.run.statistic_sums)

    def _plan_privacy(self) -> PrivacyPlan:
        """The noise of a private run, whose batches are Poisson draws without validation."""
        config = self.config
        assert config.privacy is not None
        for argument, value, usual in (
            ("clip_norm", config.clip_norm, None),
            ("micro_batches", config.micro_batches, 1),
            ("minutes", config.minutes, None),
            ("patience", config.patience, None),
        ):
            if value != usual:
                raise ArgumentError(
                    "a private run has none of its own", argument=argument, value=value
                )
        self.source = make_private_source(self.source)
        self.held_out = None
        check_private(self.recipe, self.source.first_batch())
        return PrivacyPlan.make(config.privacy, self.source, self.epochs * self.source.steps)

    def _make_private(self, differentiate: DifferentiateFunction) -> DifferentiateFunction:
        """The differentiation of private runs, in the place of the usual one."""
        assert self.plan is not None
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        size = self.source.batch_size or 1
        return PrivateGradients(self.recipe, parameters, self.plan, size)

    def fit(
        self,
        *,
        resume: bool,
        overwrite: bool,
        callbacks: Sequence[EpochCallback],
        progress: bool | None,
    ) -> FitResult:
        """Train, and copy the best weights into the model."""
        run = self.run
        state = run.open(resume=resume, overwrite=overwrite)
        state.planned_steps = state.planned_steps or self.planned_steps
        self.recipe.plan_schedules(state.planned_steps)
        try:
            return self._fit(state, callbacks, progress)
        except (NumericalError, OutOfMemoryError) as error:
            run.finish("not finite" if isinstance(error, NumericalError) else "memory")
            raise
        except RunError:  # the disk is full or has vanished
            run.restore_best()
            raise
        finally:
            run.close()

    def _fit(
        self, state: RunProgress, callbacks: Sequence[EpochCallback], progress: bool | None
    ) -> FitResult:
        """Train in the open run folder."""
        run, model, objective = self.run, self.recipe.model, self.recipe.objective
        if self.capture.enabled:
            move_learning_rates_to_device(self.optimizer, self.device)
        multistep = Multistep(
            self.step, self.source, self.optimizer, *self.multistep_arguments, self.capture
        )
        if (
            state.step == 0 and self.initialise and self.plan is None
        ):  # else the start would give rows away
            initialise_from_data(model, self.source, self.config.seed, self.device)
            run.begin_at_start(self.held_out)
            run.weight_change.restart()
        size = self.source.batch_size
        set_precision(model, self.precision.dtype)
        set_input_noise(model.posterior, self.config.input_noise)
        model.train()
        try:
            with ExitStack() as contexts:
                contexts.enter_context(
                    explain_out_of_memory(
                        "in a training step",
                        message(
                            "Split each batch into more parts: {parts}",
                            parts=Argument("micro_batches", 2 * self.config.micro_batches),
                        ),
                        batch_size=size,
                        samples=objective.samples,
                    )
                )
                small = has_small_steps(model, size, objective.samples)
                contexts.enter_context(single_thread(self.device.type == "cpu" and small))
                interrupt = contexts.enter_context(catch_interrupt())
                bar = contexts.enter_context(
                    ProgressBar(
                        progress,
                        self.epochs,
                        self.source.steps,
                        self.config.minutes,
                        self.recipe.gradient.bound_name(objective),
                    )
                )
                journal = _RunJournal(self, multistep, bar, interrupt, callbacks)
                stop_reason = Loop(
                    multistep, journal, state, self.epochs, self.source.steps, self.config.minutes
                ).run()
            run.checkpoint()
        finally:
            set_precision(model, None)
            set_input_noise(model.posterior, 0.0)
            model.eval()
        run.finish(stop_reason)
        total = self.epochs * (self.source.steps or math.inf)
        notes = (
            *self.source.notes,
            *schedule_notes(self.recipe, total),
            *self.precision.notes,
            *(() if self.plan is None else (self.plan.note(state.step),)),
            *self.compiler.notes,
            *self.capture.notes,
            *initialisation_notes(model, run.spec),
            *run.notes,
        )
        return FitResult(
            model,
            tuple(state.history),
            state.best_epoch,
            stop_reason,
            notes,
            run.out,
            interrupt.signal if stop_reason == "interrupted" else None,
        )


@dataclass(frozen=True)
class _RunJournal(Journal):
    """What is recorded of the training of one model: its run, its notes, the progress bar.

    Args:
        trainer: The trainer.
        multistep: Takes the steps.
        bar: The progress bar.
        interrupt: Whether the run is asked to stop.
        callbacks: Called with each epoch.
    """

    trainer: Trainer
    multistep: Multistep
    bar: ProgressBar
    interrupt: Interrupt
    callbacks: Sequence[EpochCallback]

    def begin(self, position: Position) -> str:
        return "patience" if self._is_impatient else CONTINUE

    @contextmanager
    def steps_of_epoch(self) -> Iterator[None]:
        self.trainer.compiler.invalidate_guards()
        with self.trainer.run.random_stream.activate():
            yield

    def record_steps(self, position: Position, taken: int) -> str:
        trainer, run = self.trainer, self.trainer.run
        poll = SKIP_POLL_STEPS.get(trainer.device.type, 50)
        if position.step % poll < taken and trainer.step.skip_streak > 0:
            run.report_skipped_step(self.multistep.last_batch)
        self.bar.update(position.epoch, position.step_in_epoch, position.seconds / 60)
        run.checkpoint_if_due()
        run.random_stream.give_way()
        return "interrupted" if self.interrupt.requested else CONTINUE

    def close_epoch(self, position: Position, reason: str) -> str:
        trainer, run = self.trainer, self.trainer.run
        epoch = run.close_epoch(position.seconds, trainer.optimizer.param_groups[0]["lr"])
        epoch = run.validate(epoch, trainer.held_out)
        self.bar.show_epoch(epoch)
        answers = [callback(epoch, trainer.recipe.model) for callback in self.callbacks]
        if any(answers):
            return "callback"
        return "patience" if self._is_impatient and reason == CONTINUE else reason

    @property
    def _is_impatient(self) -> bool:
        patience = self.trainer.config.patience
        waited = self.trainer.run.progress.epochs_without_improvement
        return patience is not None and waited >= patience


def resolve_recipe(
    model: VAE | Recipe, objective: Objective | None, gradient: Gradient | None
) -> Recipe:
    """The recipe, with defaults for the parts that are ``None``."""
    if isinstance(model, Recipe):
        recipe = replace(
            model, objective=objective or model.objective, gradient=gradient or model.gradient
        )
    else:
        default = ELBO() if model.posterior.has_density else Reconstruction()
        recipe = Recipe(model, objective or default, gradient or Pathwise())
    for part in (recipe.model, recipe.objective, recipe.gradient):
        make_differentiable(part)
    return recipe


def resolve_validation_rows(
    model: VAE, data: Any, validation: Any, device: torch.device
) -> Rows | None:
    """The rows that choose the best weights; ``None`` without rows.

    A posterior with parameters per training row has none for other rows.

    Raises:
        IncompatibleError: There are validation rows for such a posterior.
        DataError: ``validation`` has no rows.
    """
    rows_only = model.posterior.n_rows is not None
    if rows_only and validation is not None:
        raise IncompatibleError(
            message(
                "{posterior} has no parameters for validation rows",
                posterior=Part(f"posteriors.{type(model.posterior).__name__}"),
            ),
            argument="validation",
            suggestions=(
                message("Leave {validation} out", validation=Argument("validation")),
                "Measure `inference.refine(model, x).model` on these rows afterwards",
            ),
        )
    if rows_only or (validation is None and not isinstance(data, Dataset)):
        return None
    if validation is None and not len(data.validation):
        return None
    rows = Rows.in_model_units(
        data.validation if validation is None else validation, model.data_offset
    )
    return check_not_empty(rows, "validation").to(device)


def has_small_steps(model: VAE, batch_size: int | None, samples: int) -> bool:
    """Whether steps are too small for threads.

    Threads gain nothing there, and cost much on a machine with other work.
    """
    multiplications = (
        sum(parameter.numel() for parameter in model.parameters()) * (batch_size or 1) * samples
    )
    return multiplications < SINGLE_THREAD_MULTIPLICATIONS and not has_convolutions(model)


def resolve_epochs(
    epochs: int | None, minutes: float | None, steps: int | None, defaults: TrainingDefaults
) -> float:
    """The number of epochs: as set, unlimited with ``minutes``, else that of the recipe."""
    if epochs is not None:
        return epochs
    if minutes is not None:
        return math.inf
    return defaults.epochs(steps) if steps else 10
