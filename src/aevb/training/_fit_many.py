"""Several runs in one call: side by side where their models can be stacked, one after another where not."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer

from .._compilation import CompileOption
from .._files import read_json, write_json
from .._hardware import resolve_device
from .._persistence import load_weights, save, to_config
from .._recipe import Recipe
from ..data import Dataset, Rows
from ..errors import ArgumentError, NumericalError
from ..gradients import Gradient
from ..metrics._blocks import model_dtype
from ..models import VAE
from ..networks import has_convolutions
from ..objectives import Objective
from ._checkpoint import CHECKPOINT_FILE
from ._compatibility import check_positive, check_schedules, check_seed, check_training_data
from ._fit import fit, resolve_epochs, resolve_recipe, resolve_validation_rows, training_settings
from ._history import FitResult, read_history, write_history
from ._optimisers import OptimizerFactory, WarmupCosine, adam, build_optimizer, is_plain_adam
from ._precision import LARGE_MATRIX_WEIGHTS, Precision
from ._run import prepare_run_folder
from ._source import MemorySource, Source, make_source
from ._stacked import StackedMember, StackedSettings, StackedTrainer
from ._stacked_step import RecipeModule
from ._tracing import UntraceableError

FINISHED_REASONS = (
    "epochs",
    "patience",
    "not finite",
)  # how a run may have ended that need not be done again


def fit_many(
    models: Sequence[VAE | Recipe],
    data: Any,
    *,
    names: Sequence[str] | None = None,
    objective: Objective | Sequence[Objective] | None = None,
    gradient: Gradient | Sequence[Gradient] | None = None,
    optimizer: OptimizerFactory | Sequence[OptimizerFactory] | None = None,
    seed: int | Sequence[int] = 0,
    epochs: int | None = None,
    batch_size: int = 128,
    validation: Any = None,
    patience: int | None = None,
    lr_schedule: Callable[[int, float], float] | None = None,
    clip_norm: float | None = None,
    ema: float | None = None,
    device: str | torch.device | None = None,
    precision: Precision = "float32",
    compile: CompileOption = "auto",
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool | None = None,
    metadata: dict[str, Any] | Sequence[dict[str, Any]] | None = None,
) -> list[FitResult]:
    """Train several models: seeds, folds, latent sizes, weights of the divergence, learning rates.

    Small fully connected models of one architecture are stacked: each step is taken for all of them at once, which costs little more than
    for one. Each has its own order of the data, draws, learning rate, refused steps and early stopping, and takes the steps that ``fit``
    would take with it alone, to rounding. All others are trained one after another; ``FitResult.said`` tells which and why.

    Args:
        models: ``VAE`` or ``Recipe`` each, all different objects; trained in place.
        data: what ``fit`` takes, for all of them; or a list with one ``Dataset`` or ``Rows`` per model (folds).
        names: of the runs, for their folders; "0", "1", ... by default.
        objective, gradient, optimizer, seed, settings: one for all, or a sequence with one per model.
        out: a folder, in which every model has its run folder ``out/name``.
        resume: runs in ``out`` that are finished are read back; those that are not are trained (from their checkpoint where trained alone).

    The other arguments are those of ``fit``. Returns one ``FitResult`` per model, in their order. A model whose steps are not finite
    three times in a row is left with its last good weights and ``stopped="not finite"``, and the others go on.

    Raises what ``fit`` raises, before any of them is trained.

    >>> from aevb import likelihoods, networks, posteriors, priors
    >>> def model():
    ...     encoder, decoder = networks.MLP(4, [8]), networks.MLP(2, [8])
    ...     return VAE(
    ...         priors.Normal(2), posteriors.Normal(encoder, 2), likelihoods.Normal(decoder, [4])
    ...     )
    >>> results = fit_many(
    ...     [model(), model()],
    ...     torch.randn(64, 4),
    ...     seed=[0, 1],
    ...     epochs=1,
    ...     batch_size=32,
    ...     progress=False,
    ... )
    >>> [result.stopped for result in results]
    ['epochs', 'epochs']
    """
    check_positive(epochs=epochs, patience=patience, clip=clip_norm, average=ema)
    count, place = len(models), resolve_device(device)
    if (
        count == 0
        or len({id(recipe.model if isinstance(recipe, Recipe) else recipe) for recipe in models})
        < count
    ):
        raise ArgumentError(
            "`models` holds no model, or one model twice: give each run a model of its own."
        )
    named = [str(i) for i in range(count)] if names is None else names
    recipes = [
        resolve_recipe(*each)
        for each in zip(
            models,
            _one_per_model("objective", objective, count),
            _one_per_model("gradient", gradient, count),
            strict=True,
        )
    ]
    parts = zip(
        _check_length("names", named, count),
        recipes,
        _check_length("data", data if _is_fold_list(data) else [data] * count, count),
        _one_per_model("optimizer", optimizer or adam(), count),
        _one_per_model("seed", seed, count),
        _one_per_model("settings", metadata or {}, count),
        strict=True,
    )
    runs = [_RunSpec(*part, out=None if out is None else Path(out) / part[0]) for part in parts]
    if len(set(named)) < count:
        raise ArgumentError(
            f"`names` has a name twice: {', '.join(named)}; give each run a name of its own."
        )
    common = _SharedSettings(
        epochs,
        batch_size,
        validation,
        patience,
        lr_schedule or WarmupCosine(),
        clip_norm,
        ema,
        place,
        precision,
        compile,
        resume,
        overwrite,
        progress,
    )
    return common.train(runs)


@dataclass(frozen=True)
class _RunSpec:
    """What one model is to be trained with."""

    name: str
    recipe: Recipe
    data: Any
    optimizer: OptimizerFactory
    seed: int
    metadata: dict[str, Any]
    out: Path | None

    def interrupted_result(self) -> FitResult:
        """The result of a run that an interrupt came before."""
        return FitResult(self.recipe.model.eval(), (), None, "interrupted", ("Not begun.",))

    def write_stop_reason(self, result: FitResult) -> None:
        """Write how it ended into its folder."""
        if self.out is not None:
            record = read_json(self.out / "model.json")
            record["training"] |= {"stopped": result.stop_reason, "best_epoch": result.best_epoch}
            write_json(self.out / "model.json", record)

    def load_finished(self) -> FitResult | None:
        """The result that is in the folder already, read back into the model."""
        if self.out is None or not (self.out / "model.json").exists():
            return None
        training = read_json(self.out / "model.json").get("training", {})
        stopped = training.get("stopped")
        if stopped not in FINISHED_REASONS:
            return None
        model = self.recipe.model
        load_weights(model, self.out / "model.safetensors")
        history = tuple(read_history(self.out / "history.jsonl"))
        return FitResult(
            model.eval(),
            history,
            training.get("best_epoch"),
            stopped,
            ("It was finished before.",),
            self.out,
        )


@dataclass(frozen=True)
class _SharedSettings:
    """What all runs have in common."""

    epochs: int | None
    batch_size: int
    validation: Any
    patience: int | None
    lr_schedule: Callable[[int, float], float]
    clip_norm: float | None
    ema: float | None
    device: torch.device
    precision: Precision
    compile: CompileOption
    resume: bool
    overwrite: bool
    progress: bool | None

    def train(self, runs: Sequence[_RunSpec]) -> list[FitResult]:
        """All of them: what is in a folder already, then the stacks, then the others."""
        results = {run.name: done for run in runs if self.resume and (done := run.load_finished())}
        prepared = self._prepare([run for run in runs if run.name not in results])
        for group in _group_by_stacking_key(prepared):
            if any(result.stop_reason == "interrupted" for result in results.values()):
                results |= {each.run.name: each.run.interrupted_result() for each in group}
            else:
                results |= self._fit_stacked(group)
        return [results[run.name] for run in runs]

    def _prepare(self, runs: Sequence[_RunSpec]) -> list[_PreparedRun]:
        """Put models and data where they belong, and check everything that can be checked, before anything is trained."""
        placed: dict[int, Any] = {}
        prepared = []
        for run in runs:
            check_seed(run.seed)
            model, objective = (
                run.recipe.model.to(self.device),
                run.recipe.objective.to(self.device),
            )
            run.recipe.gradient.to(self.device).check(model, objective)
            check_schedules(run.recipe, self.patience)
            if id(run.data) not in placed:
                rows = run.data.train if isinstance(run.data, Dataset) else run.data
                placed[id(run.data)] = rows.to(self.device) if isinstance(rows, Rows) else rows
            source = make_source(
                placed[id(run.data)], self.batch_size, run.seed, self.device, model_dtype(model)
            )
            held_out = resolve_validation_rows(model, run.data, self.validation, self.device)
            check_training_data(model, source, held_out)
            if run.out is not None and not (self.resume and run.out.exists()):
                prepare_run_folder(run.out, self.overwrite)
            prepared.append(_PreparedRun(run, source, held_out))
        return prepared

    def _fit_stacked(self, group: Sequence[_PreparedRun]) -> dict[str, FitResult]:
        """A stack, or one after another where these are not one."""
        reason = group[0].reason_not_stackable(self.precision)
        if len(group) == 1 or reason is not None:
            return self._fit_separately(group, reason)
        members = [each.to_member() for each in group]
        limit = int(resolve_epochs(self.epochs, None, members[0].source.steps))
        plan = StackedSettings(
            limit,
            self.lr_schedule,
            self.clip_norm,
            self.ema,
            self.patience,
            self.compile,
            self.progress,
        )
        try:
            together = StackedTrainer(members, plan)
        except UntraceableError as error:
            return self._fit_separately(group, str(error))
        together.run()
        said = (
            *members[0].source.notes,
            f"Trained side by side, {len(members)} models as one.",
            *together.compiler.notes,
        )
        results = {}
        for each, member in zip(group, members, strict=True):
            source, compiled = member.source, together.compiler.enabled
            told = training_settings(
                member.recipe,
                member.optimizer,
                source,
                limit,
                member.seed,
                "float32",
                compiled,
                self.ema,
                self.clip_norm,
            )
            results[member.name] = each.to_result(member, said, told)
        return results

    def _fit_separately(
        self, group: Sequence[_PreparedRun], reason: str | None
    ) -> dict[str, FitResult]:
        results: dict[str, FitResult] = {}
        for each in group:
            if any(result.stop_reason == "interrupted" for result in results.values()):
                results[each.run.name] = each.run.interrupted_result()
                continue
            done = self._fit(each.run)
            each.run.write_stop_reason(done)
            said = (f"Trained on its own: {reason}.",) if reason is not None else ()
            results[each.run.name] = replace(done, notes=(*said, *done.notes))
        return results

    def _fit(self, run: _RunSpec) -> FitResult:
        taken_up = self.resume and run.out is not None and (run.out / CHECKPOINT_FILE).exists()
        try:
            return fit(
                run.recipe,
                run.data,
                optimizer=run.optimizer,
                epochs=self.epochs,
                batch_size=self.batch_size,
                validation=self.validation,
                patience=self.patience,
                lr_schedule=self.lr_schedule,
                clip_norm=self.clip_norm,
                ema=self.ema,
                seed=run.seed,
                device=self.device,
                precision=self.precision,
                compile=self.compile,
                out=run.out,
                resume=taken_up,
                overwrite=self.overwrite or self.resume,
                progress=self.progress,
                metadata=run.metadata,
            )
        except NumericalError as error:
            return FitResult(
                run.recipe.model.eval(), (), None, "not finite", (str(error),), run.out
            )


@dataclass(frozen=True)
class _PreparedRun:
    """A run whose data have been looked at."""

    run: _RunSpec
    source: Source
    held_out: Rows | None

    def reason_not_stackable(self, precision: Precision) -> str | None:
        """Why this run cannot be part of a stack, or would gain nothing; ``None`` where it can."""
        model = self.run.recipe.model
        largest = max((parameter.numel() for parameter in model.parameters()), default=0)
        reasons = {
            "its data are an iterable": not isinstance(self.source, MemorySource),
            "convolutions gain nothing from a stack": has_convolutions(model),
            f"its largest matrix has {largest:,} weights, which keep the processor busy as they are": largest
            >= LARGE_MATRIX_WEIGHTS
            and model.device.type == "cpu",
            "its networks run in bfloat16": precision == "bfloat16",
            "only Adam in its fused form has one learning rate per model": not is_plain_adam(
                self.optimizer
            ),
            "held-out rows cannot judge it": not self.run.recipe.objective.trains_likelihood,
        }
        return next((reason for reason, holds in reasons.items() if holds), None)

    @cached_property
    def optimizer(self) -> Optimizer:
        return build_optimizer(self.run.recipe, self.run.optimizer)

    def stacking_key(self) -> str:
        """Equal for runs that may share a stack; whether they can is found out by trying."""
        recipe, rows = self.run.recipe, self.source.rows
        objective = to_config(recipe.objective)
        for annealed in recipe.objective.schedules:
            objective.get("arguments", {}).pop(annealed, None)
        group = {
            name: value
            for name, value in self.optimizer.param_groups[0].items()
            if name not in ("params", "lr")
        }
        shapes = [tuple(tensor.shape) for tensor in RecipeModule(recipe).named_tensors().values()]
        held_out = None if self.held_out is None else len(self.held_out)
        size = (None if rows is None else len(rows), self.source.batch_size, held_out)
        return repr(
            (to_config(recipe.model), objective, to_config(recipe.gradient), group, shapes, size)
        )

    def to_member(self) -> StackedMember:
        """The run as a member of a stack."""
        assert isinstance(self.source, MemorySource)
        assert is_plain_adam(self.optimizer)
        return StackedMember(
            self.run.name,
            self.run.recipe,
            self.source,
            self.held_out,
            self.optimizer,
            self.run.seed,
        )

    def to_result(
        self, member: StackedMember, notes: tuple[str, ...], settings: dict[str, Any]
    ) -> FitResult:
        """What became of the run, written to its folder if it has one."""
        history, best = member.progress.history, member.progress.best_epoch
        if self.run.out is not None:
            spec = self.run.data.spec if isinstance(self.run.data, Dataset) else None
            ended = {"stopped": member.stop_reason, "best_epoch": best}
            save(
                member.recipe.model,
                self.run.out,
                spec=spec,
                training=settings | self.run.metadata | ended,
            )
            write_history(self.run.out / "history.jsonl", history)
        return FitResult(
            member.recipe.model, tuple(history), best, member.stop_reason, notes, self.run.out
        )


def _group_by_stacking_key(runs: Sequence[_PreparedRun]) -> list[list[_PreparedRun]]:
    """Runs that may share a stack, in the order in which their kinds first appear."""
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
            f"`{argument}` has {len(values)} entries for {count} models: give one for each, or one for all."
        )
    return values


def _one_per_model(argument: str, value: Any, count: int) -> Sequence[Any]:
    """One per model; modules are copied, since each run changes its own."""
    if isinstance(value, Sequence):
        return _check_length(argument, value, count)
    return [copy.deepcopy(value) for _ in range(count)]
