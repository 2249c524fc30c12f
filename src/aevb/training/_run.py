"""What a run holds beside its loop: its place, its memory, its folder."""

from __future__ import annotations

import shutil
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .._persistence import save, to_config
from .._random import RandomStream
from .._recipe import Recipe
from ..data import Rows
from ..data._spec import Spec
from ..errors import NumericalError, RunError
from ..metrics._blocks import network_precision
from ..types import Batch
from . import _checkpoint as checkpoint
from ._ema import ExponentialMovingAverage
from ._history import Epoch, write_history
from ._step import STATISTIC_NAMES, TrainingStep, match_memory_layout
from ._validation import score_held_out, update_best, with_validation_score

CHECKPOINT_SECONDS = 30.0  # seconds between checkpoints
RUN_MARKERS = (
    "model.json",
    "model.safetensors",
    "history.jsonl",
    "checkpoint",
)  # any of them makes a folder a run
RUN_FILES = (*RUN_MARKERS, "config.toml", "report.html", "pictures")
NO_VALIDATION_WITH_ROW_PARAMETERS = (
    "No validation: the posterior holds parameters for the training rows alone, so the last weights are kept. "
    "inference.refine finds posteriors of other rows."
)
NO_VALIDATION_WITHOUT_LIKELIHOOD = "No validation: the objective does not train the likelihood, so the ELBO cannot choose, and the last weights are kept."
MAX_SKIP_STREAK = 3  # refused steps in a row that end a run


class TrainingRun:
    """The state of a training run and its folder."""

    def __init__(
        self,
        step: TrainingStep,
        optimizer: Optimizer,
        ema: ExponentialMovingAverage | None,
        seed: int,
        out: str | Path | None,
        settings: dict[str, Any],
        metadata: dict[str, Any],
        spec: Spec | None,
    ) -> None:
        self.training_step, self.optimizer, self.ema, self.seed = step, optimizer, ema, seed
        self.model, self.objective, self.gradient = step.model, step.objective, step.gradient
        self.recipe = Recipe(step.model, step.objective, step.gradient)
        self.out = None if out is None else Path(out)
        self.settings, self.metadata, self.spec = settings, metadata, spec
        self.random_stream = RandomStream(seed, self.model.device)
        self.progress = checkpoint.RunProgress()
        self.statistic_sums = torch.zeros(
            len(STATISTIC_NAMES) + len(self.recipe.metric_names), device=self.model.device
        )
        self.best_tensors: dict[str, Tensor] | None = None
        self.notes = (
            [NO_VALIDATION_WITH_ROW_PARAMETERS]
            if step.model.posterior.n_rows is not None and spec is not None
            else []
        )
        self.notes += [] if step.objective.trains_likelihood else [NO_VALIDATION_WITHOUT_LIKELIHOOD]
        self.last_checkpoint_time = time.monotonic()

    def open(self, *, resume: bool, overwrite: bool) -> checkpoint.RunProgress:
        """Take possession of the folder, and go back to where the run was if it is to be resumed."""
        if resume:
            if self.out is None:
                raise RunError("`resume` needs `out`, the run folder to go on with.")
            self._resume(checkpoint.read_checkpoint(self.out))
        elif self.out is not None:
            prepare_run_folder(self.out, overwrite)
        if self.out is not None:
            self._write_model()
        return self.progress

    def close_epoch(self, seconds: float, learning_rate: float | Tensor) -> Epoch:
        """Read the device's sums, once, and begin the next epoch."""
        epoch = finish_epoch(
            self.progress,
            self.recipe,
            self.statistic_sums,
            int(self.training_step.skipped_steps),
            seconds,
            float(learning_rate),
        )
        self.statistic_sums.zero_()
        self.training_step.skipped_steps.zero_()
        return epoch

    def validate(self, epoch: Epoch, rows: Rows | None) -> Epoch:
        """Score held-out rows, keep the weights if they are the best so far, and remember the epoch."""
        state = self.progress
        if rows is not None and self.objective.trains_likelihood:
            epoch = self._score(epoch, rows)
        if update_best(state, epoch, self.recipe.final_schedule_step):
            self.best_tensors = self._current_weights()
        if self.out is not None:
            write_history(self.out / "history.jsonl", state.history)
        return epoch

    def report_skipped_step(self, batch: Batch) -> None:
        """Say which step was refused and why; the third in a row ends the run."""
        state = self.progress
        culprit = self.training_step.find_nonfinite(batch)
        if len(self.notes) < 20:
            self.notes.append(
                f"Step {state.step} (epoch {state.epoch + 1}, batch {state.step_in_epoch}) was skipped: {culprit} was not finite."
            )
        if self.training_step.skip_streak >= MAX_SKIP_STREAK:
            raise NumericalError(
                f"{MAX_SKIP_STREAK} steps in a row were not finite, the last at step {state.step} (epoch {state.epoch + 1}, batch {state.step_in_epoch}): "
                f"{culprit}. The best weights so far are kept; lower the learning rate, or clip the gradient (clip=100)."
            )

    def checkpoint_if_due(self, start_time: float) -> None:
        """Between two steps, and inside of the drawing of random numbers: write a checkpoint if the last one is old."""
        if time.monotonic() - self.last_checkpoint_time > CHECKPOINT_SECONDS:
            self.progress.seconds = time.monotonic() - start_time
            self.random_stream.save_state()
            self.checkpoint()

    def checkpoint(self) -> None:
        """Write everything, so that the run could be resumed from here."""
        if self.out is None:
            return
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
            "average": self.ema.state_tensors() if self.ema else {},
            "stream": {"state": self.random_stream.state, "streak": self.training_step.skip_streak},
        }
        checkpoint.write_checkpoint(self.out, state, parts, self.optimizer, self._run_settings())
        self._write_model()
        self.last_checkpoint_time = time.monotonic()

    def finish(self) -> None:
        """Put the best weights into the model, and write it."""
        if self.best_tensors is not None:
            checkpoint.restore_tensors(self.model, self.best_tensors)
        elif self.ema is not None:
            checkpoint.restore_tensors(self.model, self._current_weights())
        if self.out is not None:
            self._write_model()

    def _score(self, epoch: Epoch, rows: Rows) -> Epoch:
        averaged = self.ema.average_parameters() if self.ema is not None else nullcontext()
        with (
            averaged,
            network_precision(self.model, "float32"),
        ):  # as the finished model will be measured
            held = score_held_out(self.model, rows, self.objective.validation_criterion, self.seed)
        return with_validation_score(epoch, self.objective.validation_criterion, held)

    def _current_weights(self) -> dict[str, Tensor]:
        with self.ema.average_parameters() if self.ema is not None else nullcontext():
            return {
                name: tensor.detach().clone()
                for name, tensor in checkpoint.all_tensors(self.model).items()
            }

    def _resume(self, saved: checkpoint.Checkpoint) -> None:
        assert self.out is not None
        checkpoint.check_settings(self.out, saved.settings, self._run_settings())
        for name, module in {
            "model": self.model,
            "objective": self.objective,
            "gradient": self.gradient,
        }.items():
            self._restore_part(name, module, saved.tensors_by_part.get(name, {}))
        self.optimizer.load_state_dict(saved.optimizer)
        for parameter, state in self.optimizer.state.items():
            kept = {
                name: value
                for name, value in state.items()
                if isinstance(value, Tensor) and value.shape == parameter.shape
            }
            state |= {name: match_memory_layout(value, parameter) for name, value in kept.items()}
        self.progress, self.best_tensors = saved.progress, saved.tensors_by_part.get("best")
        self.statistic_sums += torch.tensor(
            saved.progress.statistic_sums, device=self.statistic_sums.device
        )
        self.training_step.skipped_steps += saved.progress.skipped_steps
        self.random_stream.state = saved.tensors_by_part["stream"]["state"]
        self.training_step.skip_streak = saved.tensors_by_part["stream"]["streak"].to(
            self.statistic_sums.device
        )
        if self.ema is not None:
            for mean, tensor in zip(
                self.ema.averages, saved.tensors_by_part["average"].values(), strict=True
            ):
                mean.copy_(tensor)
        write_history(self.out / "history.jsonl", self.progress.history)

    def _run_settings(self) -> dict[str, Any]:
        """What must be the same for a run to be the same run."""
        data = None if self.spec is None else self.spec.to_dict()
        return self.settings | {"model": to_config(self.model), "data": data}

    def _restore_part(self, name: str, module: nn.Module, tensors: dict[str, Tensor]) -> None:
        try:
            checkpoint.restore_tensors(module, tensors)
        except (KeyError, RuntimeError) as error:
            raise RunError(
                f"the checkpoint of `{self.out}` does not fit the {name} ({error}): resume with the same one."
            ) from error

    def _write_model(self) -> None:
        """The best weights so far, without disturbing those being trained."""
        assert self.out is not None
        if self.best_tensors is None:
            save(self.model, self.out, spec=self.spec, training=self.settings | self.metadata)
            return
        live = {
            name: tensor.detach().clone()
            for name, tensor in checkpoint.all_tensors(self.model).items()
        }
        checkpoint.restore_tensors(self.model, self.best_tensors)
        save(self.model, self.out, spec=self.spec, training=self.settings | self.metadata)
        checkpoint.restore_tensors(self.model, live)


def prepare_run_folder(out: Path, overwrite: bool) -> None:
    """Make sure that a run may be written to the folder, and remove the one that it replaces. Raises ``RunError``."""
    if out.exists() and not out.is_dir():
        raise RunError(f"`{out}` exists and is no folder; choose another --out.")
    if out.exists() and any(out.iterdir()):
        if not overwrite:
            raise RunError(
                f"`{out}` exists and is never overwritten unasked; choose another --out, or give --force."
            )
        if not any((out / name).exists() for name in RUN_MARKERS):
            raise RunError(
                f"`{out}` holds files that are no run; --force replaces runs only. Choose another --out."
            )
        for name in RUN_FILES:
            held = out / name
            shutil.rmtree(held) if held.is_dir() else held.unlink(missing_ok=True)


def finish_epoch(
    progress: checkpoint.RunProgress,
    recipe: Recipe,
    statistic_sums: Tensor,
    skipped_steps: int,
    seconds: float,
    learning_rate: float,
) -> Epoch:
    """The record of the epoch under way from the sums ``[5 + measures]`` over its steps; the next one begins."""
    objective = recipe.objective
    taken = progress.step_in_epoch - skipped_steps
    means = (
        (statistic_sums / max(taken, 1)).tolist() if taken else [float("nan")] * len(statistic_sums)
    )
    bound, log_likelihood, kl, target, penalty, *measured = means
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
        metrics=dict(zip(recipe.metric_names, measured, strict=True)),
        learning_rate=learning_rate,
        schedules_finished=progress.step >= recipe.final_schedule_step,
        beta=float(objective.get_buffer("beta")) if "beta" in objective.schedules else None,
        skipped_steps=skipped_steps,
    )
    progress.epoch, progress.step_in_epoch = progress.epoch + 1, 0
    return epoch
