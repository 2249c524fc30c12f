"""What a model says of labels: how often it is right, and which label each row has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import IncompatibleError
from . import outputs
from .figures import record_of
from .generate import Run, Source, told
from .options import Common, Output, Reading
from .outputs import Result
from .runs import open_run, rows_of
from .screen import Screen

if TYPE_CHECKING:
    from ..data import Dataset, Rows
    from ..metrics import Accuracy
    from ..models import VAE


@dataclass(frozen=True)
class Judged:
    """How often a model that infers labels is right on held-out rows."""

    found: Accuracy

    @property
    def sentence(self) -> str:
        """The share, and what it has to beat."""
        first = f"{_percent(self.found.value)} of {self.found.rows:,} test rows get the right label"
        if self.found.nearest is None:
            return f"{first}."
        beside = f"with {self.found.labels:,} labels known; the nearest row of these has it for {_percent(self.found.nearest)}"
        return f"{first}, {beside}."

    @property
    def record(self) -> dict[str, Any]:
        return {"accuracy": record_of(self.found.value), "nearest": record_of(self.found.nearest), "labels": self.found.labels}


def infers(model: VAE) -> bool:
    """Whether the model infers a label."""
    return model.condition is not None and model.condition.optional


def judged(model: VAE, rows: Rows, data: Dataset | None = None) -> Judged | None:
    """How often the model is right; None for one that infers no label, and for rows without any."""
    from ..metrics import accuracy

    if not infers(model) or rows.labels is None or not (rows.labels >= 0).any():
        return None
    return Judged(accuracy(model, rows.to(model.device), None if data is None else data.train))


def predict(run: Run, source: Source, /, *, reading: Reading = Reading(), output: Output, common: Common = Common()) -> None:
    """The label of each row, and the probability of every label: csv, parquet, npz, npy."""
    from .. import inference

    opened = open_run(run, common)
    outputs.claim(output, outputs.kinds())
    if not infers(opened.model):
        raise IncompatibleError(
            f"the model of `{opened.path}` infers no labels: train one that does, aevb fit SOURCE --preset semi_supervised_vae."
        )
    rows = rows_of(opened, source, reading, Screen(common.quiet))
    found = inference.classify(opened.model, rows)
    arrays = {"probabilities": np.asarray(found.probabilities)}
    outputs.write(output, Result(arrays, [f"p_{name}" for name in found.categories], labels=found.names))
    told(common, output, f"{len(rows):,} labels")


def _percent(share: Any) -> str:
    return f"{100 * share.mean:.1f} ± {100 * share.standard_error:.1f} %"
