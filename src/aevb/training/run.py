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

from ..data import Rows
from ..data.spec import Spec
from ..errors import NumericalError, RunError
from ..metrics.sweep import networks_in
from ..persistence import describe, save
from ..random import Stream
from ..recipe import Recipe
from ..types import Batch
from . import checkpoint
from .average import Average
from .history import Epoch, write_history
from .step import STATISTICS, Step, laid_out
from .validation import judged, score, validated

EVERY = 30.0  # seconds between checkpoints
MARKS = ("model.json", "model.safetensors", "history.jsonl", "checkpoint")  # any of them makes a folder a run
FILES = (*MARKS, "config.toml", "report.html", "pictures")
UNJUDGED = (
    "No validation: the posterior holds parameters for the training rows alone, so the last weights are kept. "
    "inference.refine finds posteriors of other rows."
)
UNFITTED = "No validation: the objective does not train the likelihood, so the ELBO cannot choose, and the last weights are kept."
LIMIT = 3  # refused steps in a row that end a run


class Run:
    """The state of a training run and its folder."""

    def __init__(
        self,
        step: Step,
        optimizer: Optimizer,
        average: Average | None,
        seed: int,
        out: str | Path | None,
        settings: dict[str, Any],
        notes: dict[str, Any],
        spec: Spec | None,
    ) -> None:
        self.take, self.optimizer, self.average, self.seed = step, optimizer, average, seed
        self.model, self.objective, self.gradient = step.model, step.objective, step.gradient
        self.recipe = Recipe(step.model, step.objective, step.gradient)
        self.out = None if out is None else Path(out)
        self.settings, self.notes, self.spec = settings, notes, spec
        self.stream = Stream(seed, self.model.device)
        self.state = checkpoint.Progress()
        self.totals = torch.zeros(len(STATISTICS) + len(self.recipe.measures), device=self.model.device)
        self.best: dict[str, Tensor] | None = None
        self.said = [UNJUDGED] if step.model.posterior.rows is not None and spec is not None else []
        self.said += [] if step.objective.fits else [UNFITTED]
        self.saved = time.monotonic()

    def open(self, *, resume: bool, overwrite: bool) -> checkpoint.Progress:
        """Take possession of the folder, and go back to where the run was if it is to be resumed."""
        if resume:
            if self.out is None:
                raise RunError("`resume` needs `out`, the run folder to go on with.")
            self._resume(checkpoint.read(self.out))
        elif self.out is not None:
            claim(self.out, overwrite)
        if self.out is not None:
            self._write_model()
        return self.state

    def close_epoch(self, seconds: float, learning_rate: float | Tensor) -> Epoch:
        """Read the device's sums, once, and begin the next epoch."""
        epoch = closed(self.state, self.recipe, self.totals, int(self.take.skipped), seconds, float(learning_rate))
        self.totals.zero_()
        self.take.skipped.zero_()
        return epoch

    def validate(self, epoch: Epoch, rows: Rows | None) -> Epoch:
        """Score held-out rows, keep the weights if they are the best so far, and remember the epoch."""
        state = self.state
        if rows is not None and self.objective.fits:
            epoch = self._score(epoch, rows)
        if judged(state, epoch, self.recipe.settled):
            self.best = self._weights()
        if self.out is not None:
            write_history(self.out / "history.jsonl", state.history)
        return epoch

    def note_refusal(self, batch: Batch) -> None:
        """Say which step was refused and why; the third in a row ends the run."""
        state = self.state
        culprit = self.take.culprit(batch)
        if len(self.said) < 20:
            self.said.append(f"Step {state.step} (epoch {state.epoch + 1}, batch {state.position}) was skipped: {culprit} was not finite.")
        if self.take.streak >= LIMIT:
            raise NumericalError(
                f"{LIMIT} steps in a row were not finite, the last at step {state.step} (epoch {state.epoch + 1}, batch {state.position}): "
                f"{culprit}. The best weights so far are kept; lower the learning rate, or clip the gradient (clip=100)."
            )

    def save_now_and_then(self, began: float) -> None:
        """Between two steps, and inside of the drawing of random numbers: write a checkpoint if the last one is old."""
        if time.monotonic() - self.saved > EVERY:
            self.state.seconds = time.monotonic() - began
            self.stream.note()
            self.checkpoint()

    def checkpoint(self) -> None:
        """Write everything, so that the run could be resumed from here."""
        if self.out is None:
            return
        state = self.state
        state.totals, state.skipped = self.totals.tolist(), int(self.take.skipped)
        parts = {
            "model": checkpoint.everything(self.model),
            "objective": checkpoint.everything(self.objective),
            "gradient": checkpoint.everything(self.gradient),
            "best": self.best or {},
            "average": self.average.tensors() if self.average else {},
            "stream": {"state": self.stream.state, "streak": self.take.streak},
        }
        checkpoint.write(self.out, state, parts, self.optimizer, self._identity())
        self._write_model()
        self.saved = time.monotonic()

    def finish(self) -> None:
        """Put the best weights into the model, and write it."""
        if self.best is not None:
            checkpoint.restore(self.model, self.best)
        elif self.average is not None:
            checkpoint.restore(self.model, self._weights())
        if self.out is not None:
            self._write_model()

    def _score(self, epoch: Epoch, rows: Rows) -> Epoch:
        averaged = self.average.applied() if self.average is not None else nullcontext()
        with averaged, networks_in(self.model, "float32"):  # as the finished model will be measured
            held = score(self.model, rows, self.objective.judge, self.seed)
        return validated(epoch, self.objective.judge, held)

    def _weights(self) -> dict[str, Tensor]:
        with self.average.applied() if self.average is not None else nullcontext():
            return {name: tensor.detach().clone() for name, tensor in checkpoint.everything(self.model).items()}

    def _resume(self, held: checkpoint.Checkpoint) -> None:
        assert self.out is not None
        checkpoint.check_settings(self.out, held.settings, self._identity())
        for name, module in {"model": self.model, "objective": self.objective, "gradient": self.gradient}.items():
            self._fill(name, module, held.parts.get(name, {}))
        self.optimizer.load_state_dict(held.optimizer)
        for parameter, state in self.optimizer.state.items():
            kept = {name: value for name, value in state.items() if isinstance(value, Tensor) and value.shape == parameter.shape}
            state |= {name: laid_out(value, parameter) for name, value in kept.items()}
        self.state, self.best = held.progress, held.parts.get("best")
        self.totals += torch.tensor(held.progress.totals, device=self.totals.device)
        self.take.skipped += held.progress.skipped
        self.stream.state = held.parts["stream"]["state"]
        self.take.streak = held.parts["stream"]["streak"].to(self.totals.device)
        if self.average is not None:
            for mean, tensor in zip(self.average.mean, held.parts["average"].values(), strict=True):
                mean.copy_(tensor)
        write_history(self.out / "history.jsonl", self.state.history)

    def _identity(self) -> dict[str, Any]:
        """What must be the same for a run to be the same run."""
        data = None if self.spec is None else self.spec.to_dict()
        return self.settings | {"model": describe(self.model), "data": data}

    def _fill(self, name: str, module: nn.Module, tensors: dict[str, Tensor]) -> None:
        try:
            checkpoint.restore(module, tensors)
        except (KeyError, RuntimeError) as error:
            raise RunError(f"the checkpoint of `{self.out}` does not fit the {name} ({error}): resume with the same one.") from error

    def _write_model(self) -> None:
        """The best weights so far, without disturbing those being trained."""
        assert self.out is not None
        if self.best is None:
            save(self.model, self.out, spec=self.spec, training=self.settings | self.notes)
            return
        live = {name: tensor.detach().clone() for name, tensor in checkpoint.everything(self.model).items()}
        checkpoint.restore(self.model, self.best)
        save(self.model, self.out, spec=self.spec, training=self.settings | self.notes)
        checkpoint.restore(self.model, live)


def claim(out: Path, overwrite: bool) -> None:
    """Make sure that a run may be written to the folder, and remove the one that it replaces. Raises ``RunError``."""
    if out.exists() and not out.is_dir():
        raise RunError(f"`{out}` exists and is no folder; choose another --out.")
    if out.exists() and any(out.iterdir()):
        if not overwrite:
            raise RunError(f"`{out}` exists and is never overwritten unasked; choose another --out, or give --force.")
        if not any((out / name).exists() for name in MARKS):
            raise RunError(f"`{out}` holds files that are no run; --force replaces runs only. Choose another --out.")
        for name in FILES:
            held = out / name
            shutil.rmtree(held) if held.is_dir() else held.unlink(missing_ok=True)


def closed(state: checkpoint.Progress, recipe: Recipe, totals: Tensor, skipped: int, seconds: float, learning_rate: float) -> Epoch:
    """The record of the epoch under way from the sums ``[5 + measures]`` over its steps; the next one begins."""
    objective = recipe.objective
    taken = state.position - skipped
    means = (totals / max(taken, 1)).tolist() if taken else [float("nan")] * len(totals)
    bound, log_likelihood, kl, target, penalty, *measured = means
    epoch = Epoch(
        epoch=state.epoch + 1,
        step=state.step,
        seconds=seconds,
        bound=bound,
        bound_name=recipe.gradient.name_of(objective),
        bound_kind=recipe.gradient.kind_of(objective),
        log_likelihood=log_likelihood,
        kl=kl if recipe.model.posterior.density else None,
        target=target,
        penalty=penalty,
        measures=dict(zip(recipe.measures, measured, strict=True)),
        learning_rate=learning_rate,
        settled=state.step >= recipe.settled,
        beta=float(objective.get_buffer("beta")) if "beta" in objective.schedules else None,
        skipped=skipped,
    )
    state.epoch, state.position = state.epoch + 1, 0
    return epoch
