"""The context of a report: a run, the rows that are evaluated, and their numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .._persistence import SavedModel
from ..data import Dataset, Rows, Spec
from ..errors import DataError
from ..metrics import (
    Baselines,
    Diagnosis,
    Evaluation,
    Quality,
    doctor,
    evaluate,
    fit_baselines,
    kl_per_dimension,
    quality,
)
from ..metrics._rows import evenly_spaced_rows
from ..models import VAE
from ..plots._columns import MAX_COLUMN_PANELS
from ..plots._series import film_strips
from ..plots._tiles import ValueLimits, value_limits
from ..training._history import Epoch, read_history
from ._figure_set import FigureSet
from ._html import Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_QUALITY_ROWS = 1000
"""Held-out rows that samples are compared with."""


@dataclass(frozen=True)
class ReportContext:
    """The record of a run from which the sections of a page are made.

    Args:
        model: The trained model.
        spec: Description of the rows that are evaluated.
        rows: Held-out rows on the device of the model.
        evaluation: The numbers of these rows.
        name: Name of the run folder.
        training: How the model was trained, as ``model.json`` records it.
        history: Epochs of the training.
        data: The data of the run; None if other rows are evaluated.
        training_name: Name of the training data.
        kl_per_dimension: KL divergence of each latent variable, ``[latent]``; None without a
            density.
        diagnosis: Findings of the doctor; None for a posterior with parameters per training row.
        seed: Seed of every draw.
        figures: The pictures of the page.
    """

    model: VAE
    spec: Spec
    rows: Rows
    evaluation: Evaluation
    name: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[Epoch] = ()
    data: Dataset | None = None
    training_name: str | None = None
    kl_per_dimension: Tensor | None = None
    diagnosis: Diagnosis | None = None
    seed: int = 0
    figures: FigureSet = field(default_factory=FigureSet)

    @cached_property
    def quality(self) -> Quality | None:
        """Samples against held-out rows; None for a single row.

        Other data than those of the run have no training rows to compare with; ``quality`` then has
        no comparison of samples.
        """
        if len(self.rows) < 2:
            return None
        rows = self.rows.subset(slice(MAX_QUALITY_ROWS))
        train = rows if self.data is None else self.data.train
        full = self.spec.schema is not None
        found = quality(self.model, train, rows, self.spec, full=full, seed=self.seed)
        if self.data is not None:
            return found
        return replace(
            found, generated=None, training_baseline=None, closest_records=None, membership=None
        )

    @property
    def item_noun(self) -> str:
        """The noun for one row."""
        return self.spec.item_noun

    @property
    def dimensions(self) -> int:
        """The number of elements of one row."""
        return self.spec.dimensions

    @property
    def has_samples(self) -> bool:
        """Whether there is a prior to draw from; an autoencoder needs ``fit_prior`` for one."""
        return self.model.posterior.has_density or "prior" in self.training

    @property
    def has_pictures(self) -> bool:
        """Whether rows are drawn as pictures: images, and videos as strips of their frames."""
        return self.spec.kind in ("image", "video")

    def pictures(self, x: Tensor) -> Any:
        """Rows as images ``[N, *image]``."""
        return film_strips(x) if self.spec.kind == "video" else x

    @property
    def value_limits(self) -> ValueLimits | None:
        """The values that are black and white in images."""
        if not self.has_pictures:
            return None
        if self.spec.support == "levels":
            return 0.0, (self.spec.levels or 256) - 1.0
        return value_limits(self.held_out_sample(64)) if self.spec.support == "real" else (0.0, 1.0)

    @property
    def column_names(self) -> list[str]:
        """The names of the columns that pictures and tables show; their numbers by default."""
        names = self.spec.columns or [str(i + 1) for i in range(self.dimensions)]
        return list(names)[:MAX_COLUMN_PANELS]

    @property
    def columns_phrase(self) -> str:
        """Which columns of a table, or channels of series, are shown."""
        if self.spec.kind == "series":
            return "Each channel over the steps of a sequence"
        return (
            f"The first {MAX_COLUMN_PANELS} of {self.dimensions:,} columns"
            if self.dimensions > MAX_COLUMN_PANELS
            else "Columns"
        )

    def spread_indices(self, count: int) -> list[int]:
        """Indices of at most ``count`` rows, evenly spaced, because rows may be in order."""
        return torch.linspace(0, len(self.rows) - 1, min(count, len(self.rows))).long().tolist()

    def held_out_sample(self, count: int) -> Tensor:
        """At most ``count`` rows, ``[<= count, *event]``."""
        return self.rows[self.spread_indices(count)]

    def figure_section(self, anchor: str, title: str, ax: Axes, alt: str, caption: str) -> Section:
        """A section with a single picture."""
        return Section(anchor, title, self.figures.add_figure(anchor, ax, alt, caption))

    @property
    def is_conditioned_on_labels(self) -> bool:
        """Whether the labels are a context of the model."""
        condition = self.model.condition
        return condition is not None and any(
            variable.class_names == self.spec.class_names
            for variable in condition.variables
            if variable.class_names
        )

    def describe_row(self, row: int) -> str:
        """The noun and the index of a row, and the class of a labelled row."""
        if self.rows.labels is None or self.spec.class_names is None or self.rows.labels[row] < 0:
            return f"{self.item_noun} {row}"
        return f"{self.item_noun} {row} ({self.spec.class_names[int(self.rows.labels[row])]})"


def build_report_context(
    saved_model: SavedModel,
    data: Dataset | Rows,
    samples: int,
    seed: int,
    max_rows: int | None,
    diagnosis: Diagnosis | None,
    baselines: Baselines | None,
    on_progress: Callable[[int], None] | None,
) -> ReportContext:
    """Evaluate a run on rows; ``DataError`` if they differ in kind from the training data."""
    model, training_spec = saved_model.model, saved_model.spec
    own_data = data if isinstance(data, Dataset) else None
    spec = training_spec if own_data is None else own_data.spec
    if spec is None:
        raise DataError(
            "the run does not record the kind of its data",
            argument="data",
            suggestions=("Pass a Dataset",),
        )
    check_same_data_kind(training_spec, spec)
    rows = data.evaluation_rows if isinstance(data, Dataset) else data
    rows = (rows if max_rows is None else evenly_spaced_rows(rows, max_rows)).to(model.device)
    if baselines is None and own_data is not None:
        baselines = fit_baselines(model, own_data.train, spec)
    evaluation = evaluate(
        model,
        rows,
        samples=samples,
        seed=seed,
        spec=spec,
        baselines=baselines,
        strict=False,
        on_progress=on_progress,
    )
    kl = kl_per_dimension(model, rows) if evaluation.log_likelihood is not None else None
    history = read_history(saved_model.path)
    if diagnosis is None and model.posterior.n_rows is None:
        is_own = training_spec is None or training_spec.name == spec.name
        held_out = rows if own_data is None or not is_own else own_data
        diagnosis = doctor(model, held_out, history=history, baselines=baselines, seed=seed)
    return ReportContext(
        model=model,
        spec=spec,
        rows=rows,
        evaluation=evaluation,
        name=saved_model.path.name,
        training=saved_model.training,
        history=history,
        data=own_data,
        training_name=None if training_spec is None else training_spec.name,
        kl_per_dimension=kl,
        diagnosis=diagnosis,
        seed=seed,
    )


def check_same_data_kind(training_spec: Spec | None, spec: Spec) -> None:
    """Raise ``DataError`` if data differ in shape, support or likelihood from the training data."""
    if training_spec is None:
        return
    for name in ("event_shape", "support", "levels", "likelihood"):
        expected, actual = getattr(training_spec, name), getattr(spec, name)
        if expected != actual:
            raise DataError(
                f'the run was trained on "{training_spec.name}" with {name}={expected!r}, and '
                f'"{spec.name}" has {name}={actual!r}',
                argument="data",
                suggestions=("Load the data as for training",),
            )
