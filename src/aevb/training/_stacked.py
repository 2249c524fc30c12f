"""The training loop of several models of one architecture that share each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.optim import Adam

from .._loop import CONTINUE, Journal, Loop, Position
from .._memory import explain_out_of_memory
from .._random import use_generator
from .._recipe import Recipe
from .._skipped_steps import MAX_SKIP_STREAK, learning_rate_limit
from ..data import Rows
from ..inference._batches import iter_batches, model_dtype
from ..networks import set_input_noise
from ..notes import Note
from ..types import Batch
from ._checkpoint import RunProgress
from ._ema import ExponentialMovingAverage
from ._engine._compiler import StepCompiler
from ._engine._stacked_step import (
    RecipeModule,
    StackedFunction,
    StackedStep,
    batch_from_tensors,
    batch_tensors,
    broadcast_over_models,
)
from ._engine._tracing import UntraceableError
from ._history import EpochCallback
from ._initialise import initialise_from_data
from ._interrupt import catch_interrupt
from ._optimisers import WarmupCosine
from ._progress_bar import ProgressBar
from ._run import TrainingRun, finish_epoch
from ._source import MemorySource
from ._step import STATISTIC_NAMES
from ._validation import (
    ValidationScore,
    summarise_terms,
    update_best,
    update_best_with_start,
    validation_block_size,
    validation_terms,
    with_validation_score,
)
from ._weight_change import WeightChange

if TYPE_CHECKING:
    from ._fit import TrainingConfig


@dataclass
class StackedMember:
    """One run of a stack."""

    name: str
    recipe: Recipe
    source: MemorySource
    held_out: Rows | None
    optimizer: Adam
    seed: int
    make_run: Callable[[bool], TrainingRun]  # whether it is compiled -> its record and its folder
    resume: bool = False
    overwrite: bool = False
    progress: RunProgress = field(default_factory=RunProgress)
    stop_reason: str = CONTINUE
    signal: int | None = None
    notes: tuple[Note, ...] = ()


class StackedTrainer(Journal):
    """Train runs of one architecture side by side.

    Args:
        members: The runs.
        config: Their settings, except the seeds.
        epochs: Epochs of the runs.
        progress: Whether to show a progress bar.
        callbacks: Called with each epoch of each model.

    Raises:
        UntraceableError: The models cannot be stacked.
    """

    def __init__(
        self,
        members: Sequence[StackedMember],
        config: TrainingConfig,
        epochs: int,
        progress: bool | None,
        callbacks: Sequence[EpochCallback] = (),
    ) -> None:
        self.callbacks = callbacks
        self.members, self.config, self.epochs, self.progress = members, config, epochs, progress
        self.lr_schedule = config.lr_schedule or WarmupCosine()
        self.sources = [member.source for member in members]
        self.steps, self.device = self.sources[0].steps, self.sources[0].device
        self.generators = [
            torch.Generator(self.device).manual_seed(member.seed) for member in members
        ]
        self.shares_rows = _same_rows(
            [source.rows for source in self.sources]
        ) and not _reading_is_random(self.sources[0])
        self.compiler = StepCompiler(config.compile, epochs * self.steps, skip_guards=True)
        for member in members:
            member.progress.planned_steps = epochs * self.steps
            member.recipe.plan_schedules(member.progress.planned_steps)
            initialise_from_data(member.recipe.model, member.source, member.seed, self.device)
            set_input_noise(member.recipe.model.posterior, config.input_noise)
            member.recipe.model.train()
        recipes, optimizers = (
            [member.recipe for member in members],
            [member.optimizer for member in members],
        )
        first = _stack_batches([source.first_batch() for source in self.sources])
        self.stacked_step = StackedStep(
            recipes, optimizers, first, config.clip_norm, self.compiler, config.weight_decay
        )
        self.model_tensors = {
            name: tensor
            for name, tensor in self.stacked_step.named_tensors().items()
            if name.startswith("model.")
        }
        self.best_tensors = {name: tensor.clone() for name, tensor in self.model_tensors.items()}
        learned = [
            self.model_tensors[f"model.{name}"] for name, _ in recipes[0].model.named_parameters()
        ]
        self.ema = None if config.ema is None else ExponentialMovingAverage(learned, config.ema)
        self.weight_change = WeightChange(learned, stacked=True)
        self.validation_functions: dict[int, StackedFunction] = {}
        self.base_learning_rates = torch.tensor(
            [optimizer.param_groups[0]["lr"] for optimizer in optimizers],
            dtype=torch.float64,
            device=self.device,
        )
        self.learning_rate_limit = min(
            learning_rate_limit(optimizer) or math.inf for optimizer in optimizers
        )
        self.largest_rate = self.base_learning_rates.abs().max().item()
        self.active = torch.ones(len(members), dtype=torch.bool, device=self.device)
        self.statistic_sums = torch.zeros(
            len(members), len(STATISTIC_NAMES) + len(recipes[0].metric_names), device=self.device
        )
        scores = self._score_held_out()  # raises before the first step if it cannot be traced
        for member, score in zip(members, scores, strict=bool(scores)):
            if member.recipe.model.starts_at_gaussian:
                update_best_with_start(member.progress, score)

    def run(self) -> None:
        """Train all runs; afterwards their models have the best weights."""
        label = f"{len(self.members)} models, first: {self.members[0].recipe.objective.name}"
        size, samples = self.sources[0].batch_size, self.members[0].recipe.objective.samples
        fewer = explain_out_of_memory(
            f"in a training step of {len(self.members)} models", batch_size=size, samples=samples
        )
        self.runs = [member.make_run(self.compiler.enabled) for member in self.members]
        try:
            for m in range(len(self.members)):
                self._open(m)
            with (
                fewer,
                catch_interrupt() as self.interrupt,
                ProgressBar(self.progress, self.epochs, self.steps, None, label) as self.bar,
            ):
                position = self._position()
                Loop(self, self, position, self.epochs, self.steps).run()
            for m, member in enumerate(self.members):
                if member.stop_reason in ("epochs", "interrupted"):
                    self._finish(m)
        finally:
            for member, run in zip(self.members, self.runs, strict=True):
                set_input_noise(member.recipe.model.posterior, 0.0)
                member.recipe.model.eval()
                run.close()

    def _open(self, m: int) -> None:
        """Open the folder of a run, and put a run that is resumed into the stack."""
        member, run = self.members[m], self.runs[m]
        run.progress = member.progress
        member.progress = run.open(resume=member.resume, overwrite=member.overwrite)
        member.notes = run.opening_notes
        planned = member.progress.planned_steps or self.epochs * self.steps
        member.progress.planned_steps = planned
        member.recipe.plan_schedules(planned)
        if member.progress.step > 0:
            self._restore(m)

    def _position(self) -> Position:
        """The position of all runs."""
        first = self.members[0].progress
        return Position(first.epoch, first.step_in_epoch, first.step, first.seconds)

    @torch.no_grad()
    def _restore(self, m: int) -> None:
        """Put the state of a run into the stack."""
        run, step = self.runs[m], self.stacked_step
        step.restore(m, self.members[m].optimizer)
        for stacked, own in self._averages(m):
            stacked.copy_(own)
        for name, best in (run.best_tensors or {}).items():
            self.best_tensors[f"model.{name}"][m].copy_(best)
        for stacked, own in self._epoch_starts(m):
            stacked.copy_(own)
        self.statistic_sums[m] = run.statistic_sums
        step.skipped_steps[m] = run.training_step.skipped_steps
        step.skip_streak[m] = run.training_step.skip_streak
        self.generators[m].set_state(run.random_stream.state)

    @torch.no_grad()
    def _store(self, m: int) -> None:
        """Copy the state of a run out of the stack: the opposite of ``_restore``."""
        run, step = self.runs[m], self.stacked_step
        step.store(m, self.members[m].optimizer)
        for stacked, own in self._averages(m):
            own.copy_(stacked)
        if self.members[m].progress.best_validation is not None:
            run.best_tensors = {
                name.removeprefix("model."): best[m].clone()
                for name, best in self.best_tensors.items()
            }
        for stacked, own in self._epoch_starts(m):
            own.copy_(stacked)
        run.statistic_sums.copy_(self.statistic_sums[m])
        run.training_step.skipped_steps.copy_(step.skipped_steps[m])
        run.training_step.skip_streak.copy_(step.skip_streak[m])
        run.random_stream.state = self.generators[m].get_state()

    def _averages(self, m: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The averages of a model in the stack and in its run."""
        ema = self.runs[m].ema
        if self.ema is not None and ema is not None:
            for stacked, own in zip(self.ema.averages, ema.averages, strict=True):
                yield stacked[m], own

    def _epoch_starts(self, m: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The weights of a model at the beginning of the epoch, in the stack and in its run."""
        run = self.runs[m]
        names = [name for name, _ in run.model.named_parameters()]
        stacked = dict(zip(names, self.weight_change.start, strict=True))
        for name, own in zip(run.learned(), run.weight_change.start, strict=True):
            yield stacked[name][m], own

    def _checkpoint(self) -> None:
        """Write a checkpoint of every run that has not stopped."""
        for m in self.active.nonzero().flatten().tolist():
            self._store(m)
            self.runs[m].checkpoint()

    def _finish(self, m: int) -> None:
        """End a run: its model gets its best weights, or the last ones without validation."""
        self._store(m)
        self.runs[m].checkpoint()
        self.runs[m].finish(self.members[m].stop_reason)

    @property
    def running_members(self) -> list[StackedMember]:
        """The runs that have not stopped."""
        return [member for member in self.members if member.stop_reason == CONTINUE]

    def begin(self, position: Position) -> str:
        patience = self.config.patience
        waited = [member.progress.epochs_without_improvement for member in self.members]
        impatient = [patience is not None and count >= patience for count in waited]
        self._stop_members(torch.tensor(impatient, device=self.device), "patience")
        repeated = self.stacked_step.skip_streak >= MAX_SKIP_STREAK
        self._stop_not_finite(repeated, self.base_learning_rates)
        return CONTINUE if self.running_members else "patience"

    def _running_runs(self) -> Iterator[TrainingRun]:
        for member, run in zip(self.members, self.runs, strict=True):
            if member.stop_reason == CONTINUE:
                yield run

    @contextmanager
    def steps_of_epoch(self) -> Iterator[None]:
        self.compiler.invalidate_guards()
        yield

    def __call__(self, chunk: Batch, step: int, total: float) -> int:
        """Take a step of every running model."""
        self.stacked_step.set_step(step)
        factor = self.lr_schedule(step, total)
        rates = self.base_learning_rates * factor
        if not self.largest_rate * abs(factor) <= self.learning_rate_limit:
            self._stop_not_finite(~(rates.abs() <= self.learning_rate_limit), rates)
        self.statistic_sums += self.stacked_step(chunk, rates, self.active, self.generators)
        if self.ema is not None:
            self.ema.update(step + 1)
        for member in self.running_members:
            member.progress.advance(1)
        if self.device.type == "cpu" or step % 50 == 0:  # reading the device is free on the CPU
            self._stop_not_finite(self.stacked_step.skip_streak >= MAX_SKIP_STREAK, rates)
        return 1

    def record_steps(self, position: Position, taken: int) -> str:
        self.bar.update(position.epoch, position.step_in_epoch, position.seconds / 60)
        if self.interrupt.requested:
            self._stop_members(self.active, "interrupted", self.interrupt.signal)
            return "interrupted"
        if any(run.checkpoint_is_due for run in self._running_runs()):
            self._checkpoint()
        return CONTINUE if self.running_members else "not finite"

    def close_epoch(self, position: Position, reason: str) -> str:
        self._close_epoch(position.seconds)
        longest = max((each.progress.history for each in self.members), key=len)
        self.bar.show_epoch(longest[-1])
        position.next_epoch()
        return reason if self.running_members else "patience"

    def _call_back(self) -> Tensor:
        """Call the callbacks with the epoch of every running model; which of them end, ``[M]``."""
        ended = torch.zeros_like(self.active)
        for m in self.active.nonzero().flatten().tolist() if self.callbacks else ():
            self._store(m)
            epoch, model = self.members[m].progress.history[-1], self.members[m].recipe.model
            answers = [callback(epoch, model) for callback in self.callbacks]
            ended[m] = any(answers)
        return ended

    def _close_epoch(self, seconds: float) -> None:
        """Close the epoch of every running model, score it, and keep its best weights."""
        skipped, scores = self.stacked_step.skipped_steps.tolist(), self._score_held_out()
        last_step = self.running_members[0].progress.step - 1
        factor = self.lr_schedule(last_step, self.steps * self.epochs)
        rates = (self.base_learning_rates * factor).tolist()
        changes = self.weight_change.measure().tolist()
        improved, impatient = torch.zeros_like(self.active), torch.zeros_like(self.active)
        for m, member in enumerate(self.members):
            if member.stop_reason == CONTINUE:
                state = member.progress
                epoch = finish_epoch(
                    state,
                    member.recipe,
                    self.statistic_sums[m],
                    int(skipped[m]),
                    seconds,
                    rates[m],
                    changes[m],
                )
                epoch = (
                    with_validation_score(
                        epoch, member.recipe.objective.validation_criterion, scores[m]
                    )
                    if scores
                    else epoch
                )
                improved[m] = update_best(state, epoch, member.recipe.final_schedule_step)
                self.runs[m].append_last_epoch()
                impatient[m] = (
                    self.config.patience is not None
                    and state.epochs_without_improvement >= self.config.patience
                )
        with self._average_parameters():
            for name, best in self.best_tensors.items():
                best.copy_(
                    torch.where(
                        broadcast_over_models(improved, best), self.model_tensors[name], best
                    )
                )
        self.weight_change.restart()
        self.statistic_sums.zero_()
        self.stacked_step.skipped_steps.zero_()
        self._stop_members(self._call_back(), "callback")
        self._stop_members(impatient, "patience")

    def _score_held_out(self) -> list[ValidationScore]:
        """Score the validation rows of every model as ``score_held_out`` does."""
        generators = [
            torch.Generator(self.device).manual_seed(member.seed) for member in self.members
        ]
        terms = []
        with self._average_parameters():
            for batch in self._iter_held_out():
                scorer = self._validation_function(batch)
                terms += scorer(
                    self.stacked_step.tensors, batch, scorer.draw_random_numbers(generators)
                )
        if not terms:
            return []
        return [
            summarise_terms(
                member.recipe.model,
                own,
                None if member.held_out is None else member.held_out.weights,
            )
            for member, own in zip(self.members, torch.cat(terms, 2), strict=True)
        ]

    def _iter_held_out(self) -> Iterator[Batch]:
        """Iterate over validation rows in blocks ``[M, B, *event]``."""
        held_out = [member.held_out for member in self.members if member.held_out is not None]
        first = self.members[0].recipe
        dtype, size = (
            model_dtype(first.model),
            validation_block_size(first.objective.validation_criterion),
        )
        if held_out and _same_rows(held_out):
            for batch in iter_batches(held_out[0], size, dtype):
                yield batch_from_tensors(
                    batch,
                    [
                        field.expand(len(self.members), *field.shape)
                        for field in batch_tensors(batch)
                    ],
                )
        elif held_out:
            for batches in zip(
                *(iter_batches(rows, size, dtype) for rows in held_out), strict=True
            ):
                yield _stack_batches(batches)

    def _validation_function(self, like: Batch) -> StackedFunction:
        """The function for a size of block; all blocks but the last have equal sizes."""
        size = like.x.shape[1]
        if size not in self.validation_functions:
            model = self.members[0].recipe.model.eval()
            self.validation_functions[size] = StackedFunction(
                _stacked_validation_terms,
                self.stacked_step.recipe_modules[0],
                self.stacked_step.tensors,
                like,
            )
            model.train()
        return self.validation_functions[size]

    def _stop_not_finite(self, members: Tensor, rates: Tensor) -> None:
        """Stop models whose steps are not finite, with a note of the learning rate."""
        for m in (members & self.active).nonzero().flatten().tolist():
            rate = rates[m].item()
            text = (
                f"Steps with the learning rate {rate:.3g} are not finite. The best weights so far "
                "are kept. Lower the learning rate."
            )
            note = Note("not_finite", text, "warning", {"learning_rate": rate})
            self.members[m].notes += (note,)
        self._stop_members(members, "not finite")

    def _stop_members(self, members: Tensor, reason: str, signal: int | None = None) -> None:
        """Stop models; those that will not go on get their best weights at once."""
        members = members & self.active
        if members.any():
            self.active &= ~members
            for m in members.nonzero().flatten().tolist():
                self.members[m].stop_reason, self.members[m].signal = reason, signal
                if reason != "interrupted":
                    self._finish(m)

    def _average_parameters(self) -> AbstractContextManager[None]:
        return self.ema.average_parameters() if self.ema is not None else nullcontext()

    def iter_chunks(self, epoch: int, step_in_epoch: int) -> Iterator[Batch]:
        """Iterate over the batches ``[M, B, *event]`` of an epoch, in each model's order."""
        order, size = (
            torch.stack([source.epoch_order(epoch) for source in self.sources]),
            self.sources[0].batch_size,
        )
        for start in range(step_in_epoch * size, self.steps * size, size):
            index = order[:, start : start + size]
            yield (
                self._read_shared_rows(index)
                if self.shares_rows
                else self._read_separate_rows(index)
            )

    def _read_shared_rows(self, index: Tensor) -> Batch:
        batch = self.sources[0].batch(index.reshape(-1))
        return batch_from_tensors(
            batch, [field.unflatten(0, index.shape) for field in batch_tensors(batch)]
        )

    def _read_separate_rows(self, index: Tensor) -> Batch:
        batches = []
        for source, rows, generator in zip(self.sources, index, self.generators, strict=True):
            with use_generator(generator):  # reading may draw, for instance dynamic binarisation
                batches.append(source.batch(rows))
        return _stack_batches(batches)


def _stacked_validation_terms(recipe_module: RecipeModule, batch: Batch) -> Sequence[Tensor]:
    with torch.no_grad():
        return (
            validation_terms(
                recipe_module.model, batch, recipe_module.objective.validation_criterion
            ),
        )


def _stack_batches(batches: Sequence[Batch]) -> Batch:
    """Stack batches along a new first axis."""
    if len({batch.weight is None for batch in batches}) > 1:
        raise UntraceableError("rows have weights in some of the data sets only")
    return batch_from_tensors(
        batches[0],
        [
            torch.stack(tensors)
            for tensors in zip(*(batch_tensors(batch) for batch in batches), strict=True)
        ],
    )


def _same_rows(rows: Sequence[Rows]) -> bool:
    first = rows[0]
    return all(
        each.stored_values is first.stored_values
        and each.transform == first.transform
        and each.context_table is first.context_table
        for each in rows
    )


def _reading_is_random(source: MemorySource) -> bool:
    """Whether reading rows draws random numbers."""
    generator = torch.Generator(source.device).manual_seed(0)
    before = generator.get_state()
    with use_generator(generator):
        source.first_batch()
    return not torch.equal(before, generator.get_state())
