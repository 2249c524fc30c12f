"""State of a training run: progress, best weights, checkpoint and run folder."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .. import _config_file as config_file
from .._files import flush_to_disk, read_json, unreadable, write_atomically
from .._persistence import RunState, RunStatus, save, to_config
from .._random import RandomStream
from .._recipe import Recipe
from .._skipped_steps import SkippedSteps
from ..data import Rows
from ..data._spec import Spec
from ..errors import AevbError, RunError
from ..inference._batches import network_precision
from ..notes import Argument, Note, message
from ..types import Batch
from . import _checkpoint as checkpoint
from ._ema import ExponentialMovingAverage
from ._history import HISTORY_FILE, Epoch, append_history, write_history
from ._optimisers import base_learning_rates
from ._run_folder import RunFolder
from ._step import STATISTIC_NAMES, TrainingStep, match_memory_layout
from ._validation import (
    ValidationScore,
    score_held_out,
    update_best,
    update_best_with_start,
    with_validation_score,
)
from ._weight_change import WeightChange

CHECKPOINT_SECONDS = 30.0  # between two checkpoints
NO_VALIDATION_WITH_ROW_PARAMETERS = Note(
    "no_validation",
    "No validation: the posterior has parameters for the training rows only, so the last weights "
    "are kept. inference.refine finds posteriors of other rows.",
    data={"reason": "row_parameters"},
)
NO_VALIDATION_WITHOUT_LIKELIHOOD = Note(
    "no_validation",
    "No validation: the objective does not train the likelihood, so the ELBO cannot choose, and "
    "the last weights are kept.",
    data={"reason": "untrained_likelihood"},
)
RESTARTED = Note(
    "restarted", "The run was stopped before its first checkpoint, and begins again.", "warning"
)
ABNORMAL_ENDS = ("interrupted", "not finite", "memory")  # of runs that can be continued


class TrainingRun:
    """The state of a training run and its folder.

    Args:
        step: The step of the run.
        optimizer: Its optimiser.
        ema: The average of the weights, if there is one.
        seed: Seed of all draws.
        out: The run folder, if there is one.
        settings: Settings to write into the folder.
        identity: The settings that a resumed run must share.
        metadata: Anything else to write into the folder.
        spec: The specification of the data.
    """

    def __init__(
        self,
        step: TrainingStep,
        optimizer: Optimizer,
        ema: ExponentialMovingAverage | None,
        seed: int,
        out: str | Path | None,
        settings: dict[str, Any],
        identity: dict[str, Any],
        metadata: dict[str, Any],
        spec: Spec | None,
    ) -> None:
        self.training_step, self.optimizer, self.ema, self.seed = step, optimizer, ema, seed
        self.model, self.objective, self.gradient = step.model, step.objective, step.gradient
        self.recipe = Recipe(step.model, step.objective, step.gradient)
        self.out = None if out is None else Path(out)
        self.settings, self.identity = settings, identity
        self.metadata, self.spec = metadata, spec
        self.random_stream = RandomStream(seed, self.model.device)
        self.progress = checkpoint.RunProgress()
        self.statistic_sums = torch.zeros(
            len(STATISTIC_NAMES) + len(self.recipe.metric_names), device=self.model.device
        )
        self.weight_change = WeightChange(self.learned().values())
        self.best_tensors: dict[str, Tensor] | None = None
        clip = message("Clip the gradient: {clip}", clip=Argument("clip_norm", 100))
        rate = f"{base_learning_rates(optimizer)[0]:.3g}"
        self.skipped = SkippedSteps(
            (f"Lower the learning rate, now {rate}", clip), ". The best weights so far are kept"
        )
        self.last_checkpoint_time = -math.inf  # the first one follows the first step
        self.folder: RunFolder | None = None
        self.opening_notes: tuple[Note, ...] = ()

    @property
    def notes(self) -> tuple[Note, ...]:
        """What was found in the folder, missing validation and skipped steps."""
        rows_only = self.model.posterior.n_rows is not None and self.spec is not None
        return (
            *self.opening_notes,
            *((NO_VALIDATION_WITH_ROW_PARAMETERS,) if rows_only else ()),
            *(() if self.objective.trains_likelihood else (NO_VALIDATION_WITHOUT_LIKELIHOOD,)),
            *self.skipped.notes,
        )

    def open(self, *, resume: bool, overwrite: bool) -> checkpoint.RunProgress:
        """Prepare the folder, and restore the state of a run that is resumed.

        Raises:
            RunError: The folder is in the way, or has no run to resume.
        """
        if self.out is None:
            if resume:
                raise RunError(
                    message(
                        "{resume} needs {out}, the folder of the run",
                        resume=Argument("resume"),
                        out=Argument("out"),
                    ),
                    argument="out",
                )
            return self.progress
        if resume:
            check_resumable(self.out)
        self.folder = RunFolder(self.out, keep=resume, overwrite=overwrite)
        try:
            self._begin(self.out, self.folder, resume)
        except BaseException:
            self.close()
            raise
        self.folder.commit()
        return self.progress

    def _begin(self, out: Path, folder: RunFolder, resume: bool) -> None:
        """Restore the state that is resumed, and write the first files: ``model.json`` last."""
        self.opening_notes = folder.notes
        if resume and checkpoint.has_checkpoint(out):
            self._resume(checkpoint.read_checkpoint(out))
        elif resume:
            self.opening_notes += (RESTARTED,)
        if resume:
            write_history(out, self.progress.history)
        write_config(out, self.metadata, self.settings, self.spec)
        self._write_model("running")

    def close(self) -> None:
        """Give the folder back."""
        if self.folder is not None:
            self.folder.close()

    def close_epoch(self, seconds: float, learning_rate: float | Tensor) -> Epoch:
        """Read the sums from the device, once, and start the next epoch."""
        epoch = finish_epoch(
            self.progress,
            self.recipe,
            self.statistic_sums,
            int(self.training_step.skipped_steps),
            seconds,
            float(learning_rate),
            self.weight_change.measure().item(),
        )
        self.weight_change.restart()
        self.statistic_sums.zero_()
        self.training_step.skipped_steps.zero_()
        return epoch

    def begin_at_start(self, rows: Rows | None) -> None:
        """Begin with the weights that data have set: a Gaussian may remain the best."""
        if self.ema is not None:
            self.ema.restart()
        if rows is None or not (self.model.starts_at_gaussian and self.objective.trains_likelihood):
            return
        if update_best_with_start(self.progress, self._held_out_score(rows)):
            self.best_tensors = self._current_weights()

    def validate(self, epoch: Epoch, rows: Rows | None) -> Epoch:
        """Score the validation rows, keep the weights if they are the best, record the epoch."""
        state = self.progress
        if rows is not None and self.objective.trains_likelihood:
            epoch = self._score(epoch, rows)
        if update_best(state, epoch, self.recipe.final_schedule_step, self.settings.get("minutes")):
            self.best_tensors = self._current_weights()
        self.append_last_epoch()
        return epoch

    def append_last_epoch(self) -> None:
        """Append the last epoch of the history to its file."""
        if self.out is not None:
            self._check_folder()
            append_history(self.out, self.progress.history[-1])

    def _check_folder(self) -> None:
        if self.folder is not None:
            self.folder.check()

    def report_skipped_step(self, batch: Batch) -> None:
        """Report the skipped step with its cause.

        Raises:
            NumericalError: The step is the third skipped step in a row.
        """
        self.skipped.report(
            self.training_step.find_nonfinite(batch),
            int(self.training_step.skip_streak),
            self.progress.step,
            epoch=self.progress.epoch + 1,
            batch=self.progress.step_in_epoch,
        )

    def checkpoint_if_due(self) -> None:
        """Write a checkpoint if the last one is old; called while the random stream is active."""
        if self.checkpoint_is_due:
            self.random_stream.save_state()
            self.checkpoint()

    @property
    def checkpoint_is_due(self) -> bool:
        """Whether there is a folder, and the last checkpoint is old."""
        age = time.monotonic() - self.last_checkpoint_time
        return self.out is not None and age > CHECKPOINT_SECONDS

    def checkpoint(self) -> None:
        """Write all state that is needed to resume the run."""
        if self.out is None:
            return
        self._check_folder()
        flush_to_disk(self.out / HISTORY_FILE)  # which a checkpoint relies on
        state = self.progress
        state.statistic_sums, state.skipped_steps = (
            self.statistic_sums.tolist(),
            int(self.training_step.skipped_steps),
        )
        parts = {
            "model": checkpoint.all_tensors(self.model),
            "objective": checkpoint.all_tensors(self.objective),
            "gradient": checkpoint.all_tensors(self.gradient),
            "best": self.best_tensors or {},
            "epoch_start": dict(zip(self.learned(), self.weight_change.start, strict=True)),
            "ema": self.ema.state_tensors() if self.ema else {},
            "stream": {"state": self.random_stream.state, "streak": self.training_step.skip_streak},
        }
        recorded = self._identity() | {"epochs": self.settings.get("epochs")}
        checkpoint.write_checkpoint(self.out, state, parts, self.optimizer, recorded)
        self._write_model("running")
        self.last_checkpoint_time = time.monotonic()

    def finish(self, stop_reason: str) -> None:
        """Copy the best weights into the model, and write it."""
        self.restore_best()
        if self.out is not None:
            self._check_folder()
            state: RunState = "interrupted" if stop_reason in ABNORMAL_ENDS else "finished"
            end = {"stopped": stop_reason, "best_epoch": self.progress.best_epoch}
            self._write_model(state, end)

    def restore_best(self) -> None:
        """Copy the best weights into the model."""
        if self.best_tensors is not None or self.ema is not None:
            checkpoint.restore_tensors(self.model, self.best_tensors or self._current_weights())

    def _score(self, epoch: Epoch, rows: Rows) -> Epoch:
        criterion = self.objective.validation_criterion
        return with_validation_score(epoch, criterion, self._held_out_score(rows))

    def _held_out_score(self, rows: Rows) -> ValidationScore:
        averaged = self.ema.average_parameters() if self.ema is not None else nullcontext()
        criterion = self.objective.validation_criterion
        with averaged, network_precision(self.model, "float32"):  # as the result is evaluated
            return score_held_out(self.model, rows, criterion, self.seed)

    def learned(self) -> dict[str, Tensor]:
        """The parameters that training changes, by name."""
        return {
            name: parameter
            for name, parameter in self.model.named_parameters()
            if parameter.requires_grad
        }

    def _current_weights(self) -> dict[str, Tensor]:
        """A copy of the model's tensors, with the averages in place of the parameters."""
        tensors = checkpoint.all_tensors(self.model)
        if self.ema is not None:
            names = [name for name, _ in self.model.named_parameters()]
            tensors |= dict(zip(names, self.ema.averages, strict=True))
        return {name: tensor.detach().clone() for name, tensor in tensors.items()}

    def _resume(self, saved: checkpoint.Checkpoint) -> None:
        """Continue from a checkpoint.

        Raises:
            RunError: It belongs to another run, or is damaged.
        """
        assert self.out is not None
        identity = self._identity()
        fixed = {name: value for name, value in saved.settings.items() if name in identity}
        checkpoint.check_settings(self.out, fixed, identity)
        self.opening_notes += saved.notes
        before, epochs = saved.settings.get("epochs"), self.settings.get("epochs")
        if "epochs" in saved.settings and before != epochs:
            self.opening_notes += (epochs_changed_note(before, epochs),)
        try:
            self._restore(saved)
        except checkpoint.DAMAGE as error:
            if isinstance(error, AevbError):
                raise
            raise unreadable(self.out / checkpoint.CHECKPOINT_FILE, error) from error

    def _restore(self, saved: checkpoint.Checkpoint) -> None:
        for name, module in {
            "model": self.model,
            "objective": self.objective,
            "gradient": self.gradient,
        }.items():
            self._restore_part(name, module, saved.tensors_by_part.get(name, {}))
        best = saved.tensors_by_part.get("best")
        if best:
            checkpoint.check_shapes(self.model, best)
        checkpoint.check_groups(self.optimizer, saved.optimizer["param_groups"])
        self.optimizer.load_state_dict(saved.optimizer)
        for parameter, state in self.optimizer.state.items():
            checkpoint.check_moments(parameter, state)
            kept = {
                name: value
                for name, value in state.items()
                if isinstance(value, Tensor) and value.shape == parameter.shape
            }
            state |= {name: match_memory_layout(value, parameter) for name, value in kept.items()}
        self.progress, self.best_tensors = saved.progress, best
        start = saved.tensors_by_part.get("epoch_start", {})
        self.weight_change.restart([start[name] for name in self.learned() if name in start])
        self.statistic_sums += torch.tensor(
            saved.progress.statistic_sums, device=self.statistic_sums.device
        )
        self.training_step.skipped_steps += saved.progress.skipped_steps
        stream = saved.tensors_by_part["stream"]["state"]
        torch.Generator(self.random_stream.device).set_state(stream)  # raises if it is damaged
        self.random_stream.state = stream
        self.training_step.skip_streak = saved.tensors_by_part["stream"]["streak"].to(
            self.statistic_sums.device
        )
        if self.ema is not None:
            for average, tensor in zip(
                self.ema.averages, saved.tensors_by_part["ema"].values(), strict=True
            ):
                average.copy_(tensor)

    def _identity(self) -> dict[str, Any]:
        """Everything that a resumed run must share."""
        # the rows themselves are compared, not their number, which runs of older versions lack
        data = None if self.spec is None else replace(self.spec, train_rows=None).to_dict()
        return self.identity | {"model": to_config(self.model), "data": data}

    def _restore_part(self, name: str, module: nn.Module, tensors: dict[str, Tensor]) -> None:
        try:
            checkpoint.restore_tensors(module, tensors)
        except (KeyError, RuntimeError) as error:
            raise RunError(
                f"the checkpoint of `{self.out}` does not fit the {name} ({error})",
                suggestions=(f"Resume with the same {name}",),
            ) from error

    def _write_model(self, state: RunState, end: Mapping[str, Any] | None = None) -> None:
        """Write the best weights so far; the model, which is training, does not change."""
        assert self.out is not None
        save(
            self.model,
            self.out,
            spec=self.spec,
            training=self.settings | self.metadata | dict(end or {}),
            weights=self.best_tensors,
            status=RunStatus(state, self.progress.step, self.progress.epoch),
        )


def write_config(
    out: Path, metadata: Mapping[str, Any], settings: Mapping[str, Any], spec: Spec | None
) -> None:
    """Write the entry "config" of the metadata as ``config.toml``, if there is one.

    Choices made from the data are comments.
    """
    config = metadata.get("config")
    if not config:
        return
    signature = metadata.get("source_signature")
    chosen = {} if spec is None else {"likelihood": spec.likelihood, "network": spec.network}
    chosen |= {"epochs": settings.get("epochs")}
    inferred = {name: value for name, value in chosen.items() if name not in config}
    signed = config | ({} if signature is None else {"source_signature": signature})
    text = config_file.render_config(signed, inferred)
    write_atomically(out / config_file.CONFIG_FILE_NAME, text.encode(), within=out)


def epochs_changed_note(before: int | None, epochs: int | None) -> Note:
    """The note for a run that is resumed with another number of epochs."""
    return Note(
        "epochs_changed",
        f"The run was planned for {before or 'any number of'} epochs and now goes on to "
        f"{epochs or 'the end of its time'}: from here on the learning rate follows the schedule "
        "of the longer run.",
        data={"before": before, "epochs": epochs},
    )


def check_resumable(out: Path) -> None:
    """Check that a folder has a run that is not finished, or that its checkpoint can continue.

    Raises:
        RunError: It has not.
    """
    if checkpoint.has_checkpoint(out):
        return
    is_there = out.is_dir()
    if is_there and (out / "model.json").exists():
        is_there = read_json(out / "model.json").get("state") in ("running", "interrupted")
    if not is_there:
        checkpoint.read_checkpoint(out)  # raises


def finish_epoch(
    progress: checkpoint.RunProgress,
    recipe: Recipe,
    statistic_sums: Tensor,
    skipped_steps: int,
    seconds: float,
    learning_rate: float,
    relative_update: float,
) -> Epoch:
    """Make the record of the current epoch from the sums ``[5 + metrics]``; start the next one."""
    objective = recipe.objective
    taken = progress.step_in_epoch - skipped_steps
    means = (statistic_sums / taken).tolist() if taken else [math.nan] * len(statistic_sums)
    bound, log_likelihood, kl, target, penalty, *metrics = means
    epoch = Epoch(
        epoch=progress.epoch + 1,
        step=progress.step,
        seconds=seconds,
        bound=bound,
        bound_name=recipe.gradient.bound_name(objective),
        bound_kind=recipe.gradient.bound_kind(objective),
        log_likelihood=log_likelihood,
        kl=kl if recipe.model.posterior.has_density else None,
        target=target,
        penalty=penalty,
        metrics=dict(zip(recipe.metric_names, metrics, strict=True)),
        learning_rate=learning_rate,
        schedules_finished=progress.step >= recipe.final_schedule_step,
        beta=float(objective.get_buffer("beta")) if "beta" in objective.schedules else None,
        skipped_steps=skipped_steps,
        relative_update=relative_update,
    )
    progress.next_epoch()
    return epoch
