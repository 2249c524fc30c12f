"""What a run remembers of itself."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .._files import write_atomically
from ..models import VAE


@dataclass(frozen=True)
class Epoch:
    """One pass over the training data; nats per datum, means over the steps that were taken."""

    epoch: int
    step: int  # steps taken since the start
    seconds: float  # since the start, earlier sittings of a resumed run included
    bound: float  # the objective's bound, under the name in ``bound_name``
    bound_name: str
    log_likelihood: float  # E_q log p(x|z)
    kl: float | None  # KL(q || p), or None for a posterior without a density
    target: float  # what is climbed
    penalty: float
    learning_rate: float
    beta: (
        float | None
    )  # weight of the divergence at the end of the epoch, where the objective has one
    skipped_steps: int  # steps refused for a non-finite number
    validation: float | None = (
        None  # the bound in ``validation_name``, by which the weights are chosen
    )
    validation_log_likelihood: float | None = None
    validation_kl: float | None = None
    metrics: dict[str, float] = field(
        default_factory=dict
    )  # what penalties measure, unweighted; "kl_1" ... of a hierarchy's layers
    bound_kind: str = (
        "lower bound"  # "upper bound", "neither" or "reconstruction": what the bound is of log p(x)
    )
    validation_name: str = "ELBO"  # that of the objective where it is a mean of importance weights
    schedules_finished: bool = True  # whether everything that follows a schedule has come to rest

    @property
    def validation_elbo(self) -> float | None:
        """The plain ELBO of held-out rows, which every objective has; ``E_q log p(x|z)`` for a posterior without a density."""
        if self.validation_log_likelihood is None or self.validation_kl is None:
            return self.validation_log_likelihood
        return self.validation_log_likelihood - self.validation_kl

    def to_reproducible_dict(self) -> dict[str, Any]:
        """All of it but the wall clock: equal for equal seeds."""
        return {name: value for name, value in asdict(self).items() if name != "seconds"}


@dataclass(frozen=True)
class FitResult:
    """What ``fit`` returns. ``model`` is the model that was given, now with the best weights."""

    model: VAE
    history: tuple[Epoch, ...]
    best_epoch: (
        int | None
    )  # by validation; None where there was none, and the weights are the last ones
    stop_reason: str  # why it ended: "epochs", "minutes", "patience", "interrupted", "callback", "data" (an iterator is used up)
    notes: tuple[str, ...]  # what was decided or noticed on the way, a sentence each
    out: Path | None = None


def write_history(path: Path, history: list[Epoch]) -> None:
    """``history.jsonl``: one object per line, ended by a newline each."""
    write_atomically(path, "".join(json.dumps(asdict(epoch)) + "\n" for epoch in history).encode())


def read_history(path: Path) -> list[Epoch]:
    """The epochs of a ``history.jsonl``; none where there is no such file."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [Epoch(**json.loads(line)) for line in lines]
