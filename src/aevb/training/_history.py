"""Records of a run: one per epoch, and the result of ``fit``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .._files import write_atomically
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

    @property
    def validation_elbo(self) -> float | None:
        """The ELBO of the validation rows, for every objective.

        ``E_q log p(x|z)`` for a posterior without a density.
        """
        if self.validation_log_likelihood is None or self.validation_kl is None:
            return self.validation_log_likelihood
        return self.validation_log_likelihood - self.validation_kl

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
    """

    model: VAE
    history: tuple[Epoch, ...]
    best_epoch: int | None
    stop_reason: str
    notes: tuple[Note, ...]
    out: Path | None = None


EpochCallback = Callable[[Epoch, VAE], bool | None]


def write_history(path: Path, history: list[Epoch]) -> None:
    """Write ``history.jsonl``: one object per line."""
    write_atomically(path, "".join(json.dumps(asdict(epoch)) + "\n" for epoch in history).encode())


def read_history(path: Path) -> list[Epoch]:
    """Read ``history.jsonl``; an empty list if the file does not exist."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [Epoch(**json.loads(line)) for line in lines]
