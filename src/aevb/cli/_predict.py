"""What a model says of labels: how often it is right, and which label each row has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import IncompatibleError
from . import _output_files as outputs
from ._console import ConsoleOutput
from ._formatting import estimate_record
from ._generate import RunArgument, SourceArgument, print_written
from ._options import CommonOptions, OutputOptions, ReadingOptions
from ._output_files import OutputArrays
from ._run_folder import load_rows, load_run

if TYPE_CHECKING:
    from ..data import Dataset, Rows
    from ..metrics import Accuracy
    from ..models import VAE


@dataclass(frozen=True)
class LabelAccuracy:
    """How often a model that infers labels is right on held-out rows."""

    accuracy: Accuracy

    @property
    def sentence(self) -> str:
        """The share, and what it has to beat."""
        first = f"{_format_percent(self.accuracy.value)} of {self.accuracy.n_rows:,} test rows get the right label"
        if self.accuracy.nearest_neighbour is None:
            return f"{first}."
        beside = f"with {self.accuracy.n_labels:,} labels known; the nearest row of these has it for {_format_percent(self.accuracy.nearest_neighbour)}"
        return f"{first}, {beside}."

    @property
    def record(self) -> dict[str, Any]:
        return {
            "accuracy": estimate_record(self.accuracy.value),
            "nearest": estimate_record(self.accuracy.nearest_neighbour),
            "labels": self.accuracy.n_labels,
        }


def infers_labels(model: VAE) -> bool:
    """Whether the model infers a label."""
    return model.condition is not None and model.condition.is_optional


def label_accuracy(model: VAE, rows: Rows, data: Dataset | None = None) -> LabelAccuracy | None:
    """How often the model is right; None for one that infers no label, and for rows without any."""
    from ..metrics import accuracy

    if not infers_labels(model) or rows.labels is None or not (rows.labels >= 0).any():
        return None
    return LabelAccuracy(
        accuracy(model, rows.to(model.device), None if data is None else data.train)
    )


def predict(
    run: RunArgument,
    source: SourceArgument,
    /,
    *,
    reading: ReadingOptions = ReadingOptions(),
    output: OutputOptions,
    common: CommonOptions = CommonOptions(),
) -> None:
    """The label of each row, and the probability of every label: csv, parquet, npz, npy."""
    from .. import inference

    opened = load_run(run, common)
    outputs.check_output(output, outputs.allowed_endings())
    if not infers_labels(opened.model):
        raise IncompatibleError(
            f"the model of `{opened.path}` infers no labels: train one that does, aevb fit SOURCE --preset semi_supervised_vae."
        )
    rows = load_rows(opened, source, reading, ConsoleOutput(common.quiet))
    found = inference.classify(opened.model, rows)
    arrays = {"probabilities": np.asarray(found.probabilities)}
    outputs.write_output(
        output,
        OutputArrays(
            arrays, [f"p_{name}" for name in found.class_names], labels=found.predicted_names
        ),
    )
    print_written(common, output, f"{len(rows):,} labels")


def _format_percent(share: Any) -> str:
    return f"{100 * share.mean:.1f} ± {100 * share.standard_error:.1f} %"
