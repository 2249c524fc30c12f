"""Records of a run: one per epoch, and the result of ``fit``."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .._files import append_line, parse_json, read_regular_file, unreadable, write_atomically
from .._records import record_from_json
from ..models import VAE
from ..notes import Note


@dataclass(frozen=True)
class Epoch:
    """One pass over the training data; values in nats per row, means over the steps taken.

    Args:
        epoch: Number of the epoch, from 1.
        step: Steps since the start of the run.
        seconds: Time since the start of the run, including the time before it was resumed.
        bound: The objective's bound, under the name ``bound_name``.
        bound_name: Name of the bound.
        log_likelihood: ``E_q log p(x|z)``.
        kl: ``KL(q || p)``, or ``None`` for a posterior without a density.
        target: The value that is maximised.
        penalty: The penalty.
        learning_rate: Learning rate of the last step.
        beta: Weight of the KL divergence at the end of the epoch, if the objective has one.
        skipped_steps: Steps skipped because a number was not finite.
        validation: The bound ``validation_name`` of the validation rows, which chooses the weights.
        validation_log_likelihood: ``E_q log p(x|z)`` of the validation rows.
        validation_kl: ``KL(q || p)`` of the validation rows.
        metrics: What the penalties measure, unweighted; ``"kl_1"`` ... of the layers of a
            hierarchy.
        bound_kind: Relation of the bound to ``log p(x)``: "lower bound", "upper bound", "neither"
            or "reconstruction".
        validation_name: Name of the bound of the validation rows.
        schedules_finished: Whether all schedules had reached their end.
        relative_update: Change of the model's parameters in the epoch, relative to their norm at
            its beginning.
    """

    epoch: int
    step: int
    seconds: float
    bound: float
    bound_name: str
    log_likelihood: float
    kl: float | None
    target: float
    penalty: float
    learning_rate: float
    beta: float | None
    skipped_steps: int
    validation: float | None = None
    validation_log_likelihood: float | None = None
    validation_kl: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    bound_kind: str = "lower bound"
    validation_name: str = "ELBO"
    schedules_finished: bool = True
    relative_update: float | None = None

    @property
    def validation_elbo(self) -> float | None:
        """The ELBO of the validation rows, for every objective.

        ``E_q log p(x|z)`` for a posterior without a density.
        """
        if self.validation_log_likelihood is None or self.validation_kl is None:
            return self.validation_log_likelihood
        return self.validation_log_likelihood - self.validation_kl

    @property
    def targets_elbo(self) -> bool:
        """Whether the objective is a form of the ELBO, and no mean of importance weights."""
        name = self.bound_name if self.validation is None else self.validation_name
        return name.startswith("ELBO")

    def to_reproducible_dict(self) -> dict[str, Any]:
        """All fields except the wall clock.

        Returns:
            A dictionary that is equal for equal seeds.
        """
        return {name: value for name, value in asdict(self).items() if name != "seconds"}


@dataclass(frozen=True)
class FitResult:
    """The result of ``fit``.

    Args:
        model: The model that was passed to ``fit``, with its best weights, in evaluation mode.
        history: One record per epoch.
        best_epoch: The epoch with the best validation score; ``None`` without validation, when the
            model has its last weights.
        stop_reason: "epochs", "minutes", "patience", "interrupted", "callback", "data" (an iterator
            is exhausted) or "not finite".
        notes: Choices made and problems noticed during the run.
        out: The run folder, if there is one.
        signal: The number of the signal that interrupted the run.
    """

    model: VAE
    history: tuple[Epoch, ...]
    best_epoch: int | None
    stop_reason: str
    notes: tuple[Note, ...]
    out: Path | None = None
    signal: int | None = None


EpochCallback = Callable[[Epoch, VAE], bool | None]


HISTORY_FILE = "history.jsonl"


def write_history(folder: Path, history: Sequence[Epoch]) -> None:
    """Write ``history.jsonl`` into a run folder: one object per line."""
    write_atomically(folder / HISTORY_FILE, format_history(history).encode(), within=folder)


def format_history(history: Sequence[Epoch]) -> str:
    """The text of ``history.jsonl``."""
    return "".join(json.dumps(asdict(epoch)) + "\n" for epoch in history)


def append_history(folder: Path, epoch: Epoch) -> None:
    """Append an epoch to ``history.jsonl``."""
    append_line(folder / HISTORY_FILE, json.dumps(asdict(epoch)))


def read_history(folder: Path) -> list[Epoch]:
    """Read ``history.jsonl`` of a run folder; an empty list if the file does not exist.

    Fields that this version does not know are left out, and so is a last line that was cut short.

    Raises:
        RunError: A line is damaged.
    """
    path = folder / HISTORY_FILE
    if not path.exists():
        return []
    try:
        text = read_regular_file(path).decode()
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    return parse_history(text, path)


def parse_history(text: str, path: Path) -> list[Epoch]:
    """The epochs of ``format_history``; errors name the path, as those of ``read_history``."""
    epochs, lines = [], text.split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            epochs.append(record_from_json(Epoch, parse_json(line)))
        except ValueError as error:
            if number == len(lines):  # a process was killed while it wrote
                break
            raise unreadable(path, f"line {number}: {error}") from error
    return epochs
