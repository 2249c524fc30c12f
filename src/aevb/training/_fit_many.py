"""Several runs in one call: stacked where possible, one after another otherwise."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer

from .._files import create_folder, path_inside, read_json
from .._grad_mode import gradients_enabled
from .._hardware import resolve_device, uses_plain_engine
from .._locks import FolderLock
from .._persistence import load_weights, to_config
from .._recipe import Recipe
from ..data import Dataset, Rows
from ..errors import ArgumentError, NumericalError
from ..gradients import Gradient
from ..inference._batches import model_dtype
from ..models import VAE
from ..networks import has_convolutions
from ..networks._input_noise import check_input_noise
from ..notes import Note
from ..objectives import Objective
from ._checkpoint import has_checkpoint, read_checkpoint
from ._compatibility import check_schedules, check_training_data, check_weights, schedule_notes
from ._ema import ExponentialMovingAverage
from ._engine._fused_adam import is_plain_adam
from ._engine._stacked_step import RecipeModule
from ._engine._tracing import UntraceableError
from ._fit import TrainingConfig
from ._history import EpochCallback, FitResult, read_history
from ._initialise import initialisation_notes
from ._optimisers import OptimizerFactory, adam, base_learning_rates, build_optimizer
from ._precision import LARGE_MATRIX_WEIGHTS
from ._run import TrainingRun
from ._run_folder import check_resume, check_run_folder
from ._source import MemorySource, Source, make_source
from ._stacked import StackedMember, StackedTrainer
from ._step import TrainingStep
from ._trainer import Trainer, resolve_epochs, resolve_recipe, resolve_validation_rows
from ._weight_decay import check_weight_decay

FINISHED_REASONS = ("epochs", "patience", "not finite")  # of runs that need not be repeated


@gradients_enabled()
def fit_many(
    models: Sequence[VAE | Recipe],
    data: Any,
    *,
    names: Sequence[str] | None = None,
    objective: Objective | Sequence[Objective] | None = None,
    gradient: Gradient | Sequence[Gradient] | None = None,
    optimizer: OptimizerFactory | Sequence[OptimizerFactory] | None = None,
    seed: int | Sequence[int] = 0,
    validation: Any = None,
    device: str | torch.device | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    callbacks: Sequence[EpochCallback] = (),
    progress: bool | None = None,
    metadata: dict[str, Any] | Sequence[dict[str, Any]] | None = None,
    **settings: Any,
) -> list[FitResult]:
    """Train several models: seeds, folds, latent sizes, values of beta, learning rates.

    Small fully connected models of one architecture are stacked: each step is taken for all of them
    at once, which costs little more than a step of one model. Each model has its own order of the
    data, draws, learning rate, skipped steps and early stopping, and takes the steps that ``fit``
    takes for it alone, to rounding. Other models are trained one after another; the notes of their
    results say why.

    Args:
        models: A ``VAE`` or ``Recipe`` each, all different objects. They are trained in place.
        data: The ``data`` of ``fit``, for all models, or a list with one ``Dataset`` or ``Rows``
            per model (folds).
        names: Names of the run folders, by default "0", "1", ...
        objective: One for all models, or a sequence with one per model.
        gradient: One for all models, or a sequence with one per model.
        optimizer: One for all models, or a sequence with one per model.
        seed: One for all models, or a sequence with one per model.
        validation: As in ``fit``.
        device: As in ``fit``.
        out: A folder in which every model has its run folder ``out/name``.
        resume: Whether to read finished runs in ``out`` back. Other runs continue from their
            checkpoints: a stack that is whole as if it had never stopped.
        overwrite: As in ``fit``.
        callbacks: As in ``fit``, called with each epoch of each model; ``True`` ends the run of
            that model. In a stack the model is a copy to read.
        progress: As in ``fit``.
        metadata: One for all models, or a sequence with one per model.
        **settings: The settings of ``TrainingConfig``, which ``fit`` explains: ``epochs``,
            ``batch_size``, ``patience`` ...

    Returns:
        One result per model, in their order. A model with three non-finite steps in a row has its
        last good weights and ``stop_reason="not finite"``; the other models continue.

    Raises:
        ArgumentError: A setting that no run can use, or a wrong number of values.
        IncompatibleError: Model, objective and gradient do not fit together.
        DataError: A model cannot take the data.
        RunError: A folder is in the way, cannot be written, or has nothing to resume.

    Example:
        >>> from aevb import likelihoods, networks, posteriors, priors
        >>> def model():
        ...     encoder, decoder = networks.MLP(4, [8]), networks.MLP(2, [8])
        ...     return VAE(
        ...         priors.Normal(2),
        ...         posteriors.Normal(encoder, 2),
        ...         likelihoods.Normal(decoder, [4]),
        ...     )
        >>> results = fit_many(
        ...     [model(), model()],
        ...     torch.randn(64, 4),
        ...     seed=[0, 1],
        ...     epochs=1,
        ...     batch_size=32,
        ...     progress=False,
        ... )
        >>> [result.stop_reason for result in results]
        ['epochs', 'epochs']
    """
    config = TrainingConfig(**settings)
    count, place = len(models), resolve_device(device)
    distinct = {id(each.model if isinstance(each, Recipe) else each) for each in models}
    if count == 0 or len(distinct) < count:
        raise ArgumentError(
            "`models` has no model, or the same model twice: give each run a model of its own",
            argument="models",
        )
    names = [str(i) for i in range(count)] if names is None else names
    recipes = [
        resolve_recipe(*parts)
        for parts in zip(
            models,
            _one_per_model("objective", objective, count),
            _one_per_model("gradient", gradient, count),
            strict=True,
        )
    ]
    columns = zip(
        _check_length("names", names, count),
        recipes,
        _check_length("data", data if _is_fold_list(data) else [data] * count, count),
        [adam(each.training.lr) for each in recipes]
        if optimizer is None
        else _one_per_model("optimizer", optimizer, count),
        _one_per_model("seed", seed, count),
        _one_per_model("metadata", metadata or {}, count),
        strict=True,
    )
    runs = [
        _RunSpec(
            name,
            recipe,
            own_data,
            factory,
            replace(config, seed=own_seed),
            own_metadata,
            None if out is None else path_inside(Path(out), name),
        )
        for name, recipe, own_data, factory, own_seed, own_metadata in columns
    ]
    if len(set(names)) < count:
        raise ArgumentError("give each run a name of its own", argument="names", value=list(names))
    check_resume(resume, overwrite)
    together = _ManyRuns(config, validation, place, resume, overwrite, progress, tuple(callbacks))
    if out is None:
        return together.train(runs)
    create_folder(Path(out))
    with FolderLock(Path(out)):
        return together.train(runs)


@dataclass(frozen=True)
class _RunSpec:
    """One model and everything for its training."""

    name: str
    recipe: Recipe
    data: Any
    optimizer: OptimizerFactory
    config: TrainingConfig
    metadata: dict[str, Any]
    out: Path | None

    def interrupted_result(self) -> FitResult:
        """The result of a run that did not start because of an interrupt."""
        note = Note("not_started", "Not started.", "warning")
        return FitResult(self.recipe.model.eval(), (), None, "interrupted", (note,))

    def load_finished(self) -> FitResult | None:
        """Read the result of a finished run from the folder into the model."""
        if self.out is None or not (self.out / "model.json").exists():
            return None
        training = read_json(self.out / "model.json").get("training", {})
        stopped, epochs = training.get("stopped"), training.get("epochs")
        wants_more = stopped == "epochs" and epochs and (self.config.epochs or 0) > epochs
        if stopped not in FINISHED_REASONS or wants_more:
            return None
        model = self.recipe.model
        load_weights(model, self.out / "model.safetensors")
        history = tuple(read_history(self.out))
        note = Note("already_finished", "The run was finished before.")
        best_epoch = training.get("best_epoch")
        return FitResult(model.eval(), history, best_epoch, stopped, (note,), self.out)


@dataclass(frozen=True)
class _ManyRuns:
    """The settings that all runs share."""

    config: TrainingConfig
    validation: Any
    device: torch.device
    resume: bool
    overwrite: bool
    progress: bool | None
    callbacks: tuple[EpochCallback, ...] = ()

    def train(self, runs: Sequence[_RunSpec]) -> list[FitResult]:
        """Read finished runs, then train stacks and the other models."""
        results = {run.name: done for run in runs if self.resume and (done := run.load_finished())}
        prepared = self._prepare([run for run in runs if run.name not in results])
        for group in _group_by_stacking_key(prepared):
            if any(result.stop_reason == "interrupted" for result in results.values()):
                results |= {each.run.name: each.run.interrupted_result() for each in group}
            else:
                results |= self._fit_stacked(group)
        return [results[run.name] for run in runs]

    def _prepare(self, runs: Sequence[_RunSpec]) -> list[_PreparedRun]:
        """Move models and data to the device, and check everything before training."""
        placed: dict[int, Any] = {}
        prepared = []
        for run in runs:
            recipe = run.recipe.to(self.device)
            recipe.gradient.check(recipe.model, recipe.objective)
            check_schedules(recipe, self.config.patience)
            if id(run.data) not in placed:
                rows = run.data.train if isinstance(run.data, Dataset) else run.data
                placed[id(run.data)] = rows.to(self.device) if isinstance(rows, Rows) else rows
            source = make_source(
                placed[id(run.data)],
                self.config.batch_size,
                run.config.seed,
                self.device,
                model_dtype(recipe.model),
                recipe.model.data_offset,
            )
            held_out = resolve_validation_rows(recipe.model, run.data, self.validation, self.device)
            check_weights(recipe, source)
            check_training_data(recipe.model, source, held_out)
            check_input_noise(recipe.model.posterior, self.config.input_noise)
            if run.out is not None and not (self.resume and run.out.exists()):
                check_run_folder(run.out, self.overwrite)
            continues = self.resume and run.out is not None and has_checkpoint(run.out)
            prepared.append(_PreparedRun(run, source, held_out, continues))
            rate = max(map(abs, base_learning_rates(prepared[-1].optimizer)))
            check_weight_decay(self.config.weight_decay, rate)
        return prepared

    def _fit_stacked(self, group: Sequence[_PreparedRun]) -> dict[str, FitResult]:
        """Train a stack, or one model after another where these cannot be stacked."""
        reason = group[0].reason_not_stackable()
        if len(group) == 1 or reason is not None:
            return self._fit_separately(group, reason)
        first = group[0]
        epochs = int(
            resolve_epochs(self.config.epochs, None, first.source.steps, first.run.recipe.training)
        )
        members = [each.to_member(epochs, self.resume, self.overwrite) for each in group]
        try:
            trainer = StackedTrainer(members, self.config, epochs, self.progress, self.callbacks)
        except UntraceableError as error:
            return self._fit_separately(group, str(error))
        trainer.run()
        count = len(members)
        text = f"Trained side by side, {count} models as one."
        notes = (
            *members[0].source.notes,
            Note("stacked", text, data={"models": count}),
            *trainer.compiler.notes,
        )
        return {
            member.name: each.to_result(
                member, (*notes, *schedule_notes(member.recipe, epochs * member.source.steps))
            )
            for each, member in zip(group, members, strict=True)
        }

    def _fit_separately(
        self, group: Sequence[_PreparedRun], reason: str | None
    ) -> dict[str, FitResult]:
        results: dict[str, FitResult] = {}
        text = f"Trained separately: {reason}."
        notes = (
            () if reason is None else (Note("trained_separately", text, data={"reason": reason}),)
        )
        for each in group:
            if any(result.stop_reason == "interrupted" for result in results.values()):
                results[each.run.name] = each.run.interrupted_result()
                continue
            result = self._fit(each.run)
            results[each.run.name] = replace(result, notes=(*notes, *result.notes))
        return results

    def _fit(self, run: _RunSpec) -> FitResult:
        continues = run.out is not None and has_checkpoint(run.out)
        try:
            trainer = Trainer(
                run.recipe,
                run.data,
                run.config,
                run.optimizer,
                self.validation,
                self.device,
                run.out,
                run.metadata,
            )
            return trainer.fit(
                resume=self.resume and continues,
                overwrite=self.overwrite or self.resume,
                callbacks=self.callbacks,
                progress=self.progress,
            )
        except NumericalError as error:
            note = Note("not_finite", str(error), "warning")
            return FitResult(run.recipe.model.eval(), (), None, "not finite", (note,), run.out)


@dataclass(frozen=True)
class _PreparedRun:
    """A run whose data were checked."""

    run: _RunSpec
    source: Source
    held_out: Rows | None
    continues: bool = False  # from its checkpoint

    def reason_not_stackable(self) -> str | None:
        """Why this run cannot be stacked, or would gain nothing; ``None`` if it can."""
        model, config = self.run.recipe.model, self.run.config
        largest = max((parameter.numel() for parameter in model.parameters()), default=0)
        large = largest >= LARGE_MATRIX_WEIGHTS and model.device.type == "cpu"
        reasons = {
            "the plain engine is chosen": uses_plain_engine(),
            "its data are an iterable, or many files": not isinstance(self.source, MemorySource),
            "convolutions gain nothing from a stack": has_convolutions(model),
            f"its largest matrix has {largest:,} weights, which keep the processor busy": large,
            "its networks run in bfloat16": config.precision == "bfloat16",
            "its time is limited": config.minutes is not None,
            "its batches are split into parts": config.micro_batches > 1,
            "only fused Adam can have one learning rate per model": not is_plain_adam(
                self.optimizer
            ),
            "validation rows cannot score it": not self.run.recipe.objective.trains_likelihood,
        }
        return next((reason for reason, holds in reasons.items() if holds), None)

    @cached_property
    def optimizer(self) -> Optimizer:
        return build_optimizer(self.run.recipe, self.run.optimizer)

    def stacking_key(self) -> str:
        """A text that is equal for runs that may share a stack."""
        recipe, rows = self.run.recipe, self.source.rows
        objective = to_config(recipe.objective)
        for scheduled in recipe.objective.schedules:
            objective.get("arguments", {}).pop(scheduled, None)
        group = {
            name: value
            for name, value in self.optimizer.param_groups[0].items()
            if name not in ("params", "lr")
        }
        shapes = [tuple(tensor.shape) for tensor in RecipeModule(recipe).named_tensors().values()]
        held_out = None if self.held_out is None else len(self.held_out)
        size = (None if rows is None else len(rows), self.source.batch_size, held_out)
        parts = (to_config(recipe.model), objective, to_config(recipe.gradient))
        return repr((*parts, group, shapes, size, self.position))

    @property
    def position(self) -> tuple[int, int] | None:
        """Epoch and step at which the run goes on, if it is resumed from a checkpoint."""
        if not self.continues:
            return None
        assert self.run.out is not None
        progress = read_checkpoint(self.run.out).progress
        return progress.epoch, progress.step_in_epoch

    def to_member(self, epochs: int, resume: bool, overwrite: bool) -> StackedMember:
        """The run as a member of a stack."""
        assert isinstance(self.source, MemorySource)
        assert is_plain_adam(self.optimizer)
        return StackedMember(
            self.run.name,
            self.run.recipe,
            self.source,
            self.held_out,
            self.optimizer,
            self.run.config.seed,
            partial(self.make_run, epochs),
            self.continues,
            overwrite or resume,
        )

    def make_run(self, epochs: int, compiled: bool) -> TrainingRun:
        """The record of the run in a stack; its folder is not open yet."""
        run, recipe = self.run, self.run.recipe
        config, data = run.config, run.data
        step = TrainingStep(recipe.model, recipe.objective, recipe.gradient, self.optimizer)
        decay = config.ema
        settings = config.recorded_settings(
            recipe, self.optimizer, self.source, epochs, "float32", compiled
        )
        return TrainingRun(
            step,
            self.optimizer,
            None if decay is None else ExponentialMovingAverage(recipe.model.parameters(), decay),
            config.seed,
            run.out,
            settings,
            config.identity(settings),
            run.metadata,
            data.spec if isinstance(data, Dataset) else None,
        )

    def to_result(self, member: StackedMember, notes: tuple[Note, ...]) -> FitResult:
        """The result of the run."""
        run, history, best = self.run, member.progress.history, member.progress.best_epoch
        data_spec = run.data.spec if isinstance(run.data, Dataset) else None
        return FitResult(
            member.recipe.model,
            tuple(history),
            best,
            member.stop_reason,
            (*notes, *initialisation_notes(member.recipe.model, data_spec), *member.notes),
            run.out,
            member.signal if member.stop_reason == "interrupted" else None,
        )


def _group_by_stacking_key(runs: Sequence[_PreparedRun]) -> list[list[_PreparedRun]]:
    """Runs that may share a stack, in the order in which their keys first appear."""
    groups: dict[str, list[_PreparedRun]] = {}
    for run in runs:
        groups.setdefault(run.stacking_key(), []).append(run)
    return list(groups.values())


def _is_fold_list(data: Any) -> bool:
    return isinstance(data, (list, tuple)) and all(
        isinstance(each, (Dataset, Rows)) for each in data
    )


def _check_length(argument: str, values: Sequence[Any], count: int) -> Sequence[Any]:
    if len(values) != count:
        raise ArgumentError(
            f"`{argument}` has {len(values)} entries for {count} models: give one for each model, "
            "or one for all",
            argument=argument,
        )
    return values


def _one_per_model(argument: str, value: Any, count: int) -> Sequence[Any]:
    """One value per model; modules are copied, since each run changes its own."""
    if isinstance(value, Sequence):
        return _check_length(argument, value, count)
    return [copy.deepcopy(value) for _ in range(count)]
