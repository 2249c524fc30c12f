"""What a report tells: a run, the data it is measured on, and the numbers, each as `aevb.metrics` gives it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .._persistence import SavedModel
from ..data import Dataset, Rows
from ..data._spec import Spec
from ..errors import DataError
from ..metrics import (
    ActiveUnits,
    CodebookUsage,
    Estimate,
    LogLikelihood,
    RateDistortion,
    active_units,
    codebook_usage,
    kl_per_dimension,
    log_likelihood,
    rate_distortion,
)
from ..metrics._doctor._context import evenly_spaced_rows
from ..metrics.health import Diagnosis, doctor
from ..models import VAE
from ..plots._columns import MAX_COLUMN_PANELS
from ..plots._tiles import ValueLimits, value_limits
from ..training._history import Epoch, read_history
from ._figure_set import FigureSet
from ._html import Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class ReportMetrics:
    """The numbers, of held-out rows. An autoencoder has no likelihood, rate or units that could fall idle; one row shows no units."""

    rate_distortion: RateDistortion
    log_likelihood: LogLikelihood | None
    active_units: ActiveUnits | None
    kl_per_dimension: Tensor | None  # [latent]
    codebook_usage: CodebookUsage | None = (
        None  # of a codebook; log p(x) of such a model can be bounded, and not estimated
    )

    @property
    def reconstruction(self) -> Estimate:
        """``E_q log p(x|z)``."""
        return self.rate_distortion.reconstruction

    @staticmethod
    def from_model(
        model: VAE, rows: Rows, samples: int, seed: int, on_progress: Callable[[int], None] | None
    ) -> ReportMetrics:
        """Measure a model on rows."""
        if not model.posterior.has_density:
            return ReportMetrics(rate_distortion(model, rows, seed=seed), None, None, None)
        if not model.posterior.full_support:
            return ReportMetrics(
                rate_distortion(model, rows, seed=seed),
                None,
                None,
                None,
                codebook_usage(model, rows),
            )
        weighed = log_likelihood(model, rows, samples, seed=seed, on_progress=on_progress)
        terms = weighed.rate_distortion or rate_distortion(model, rows, seed=seed)
        active = active_units(model, rows) if len(rows) > 1 else None
        return ReportMetrics(terms, weighed, active, kl_per_dimension(model, rows))


@dataclass(frozen=True)
class ReportContext:
    """All that the sections of a report draw from."""

    saved_model: SavedModel
    data: Dataset
    rows: Rows  # held-out rows that were measured
    history: Sequence[Epoch]
    metrics: ReportMetrics
    seed: int
    figures: FigureSet = field(default_factory=FigureSet)
    diagnosis: Diagnosis | None = None  # None of a model that knows its training rows alone

    @property
    def model(self) -> VAE:
        return self.saved_model.model

    @property
    def spec(self) -> Spec:
        return self.data.spec

    @property
    def item_noun(self) -> str:
        return self.spec.item_noun

    @property
    def dimensions(self) -> int:
        return self.spec.dimensions

    @property
    def value_limits(self) -> ValueLimits | None:
        """The values that are drawn black and white, where data are images."""
        if not self.spec.image:
            return None
        if self.spec.support == "levels":
            return 0.0, (self.spec.levels or 256) - 1.0
        return value_limits(self.held_out_sample(64)) if self.spec.support == "real" else (0.0, 1.0)

    @property
    def columns_phrase(self) -> str:
        """Which columns of a table are drawn."""
        return (
            f"The first {MAX_COLUMN_PANELS} of {self.dimensions:,} columns"
            if self.dimensions > MAX_COLUMN_PANELS
            else "Columns"
        )

    def spread_indices(self, count: int) -> list[int]:
        """Places of at most ``count`` held-out rows, evenly spaced: rows in order of time or class are all seen."""
        return torch.linspace(0, len(self.rows) - 1, min(count, len(self.rows))).long().tolist()

    def held_out_sample(self, count: int) -> Tensor:
        """Held-out rows ``[<= count, *event]``."""
        return self.rows[self.spread_indices(count)]

    def figure_section(self, anchor: str, title: str, ax: Axes, alt: str, caption: str) -> Section:
        """A section that is one picture."""
        return Section(anchor, title, self.figures.add_figure(anchor, ax, alt, caption))

    @property
    def is_conditioned_on_labels(self) -> bool:
        """Whether the model has seen the classes that the labels are."""
        condition = self.model.condition
        return condition is not None and any(
            factor.class_names == self.spec.class_names
            for factor in condition.variables
            if factor.class_names
        )

    def describe_row(self, row: int) -> str:
        """A held-out row as the text calls it, with its class where there is one."""
        if self.rows.labels is None or self.spec.class_names is None or self.rows.labels[row] < 0:
            return f"{self.item_noun} {row}"
        return f"{self.item_noun} {row} ({self.spec.class_names[int(self.rows.labels[row])]})"


def build_report_context(
    saved_model: SavedModel,
    data: Dataset,
    samples: int,
    seed: int,
    max_rows: int | None,
    diagnosis: Diagnosis | None,
    on_progress: Callable[[int], None] | None,
) -> ReportContext:
    """Measure a run on the test rows of its data. Raises ``DataError`` for data of another kind than it was trained on."""
    check_same_data_kind(saved_model.spec, data.spec)
    held_out = (data.test if max_rows is None else evenly_spaced_rows(data.test, max_rows)).to(
        saved_model.model.device
    )
    findings, history = (
        ReportMetrics.from_model(saved_model.model, held_out, samples, seed, on_progress),
        read_history(saved_model.path / "history.jsonl"),
    )
    if diagnosis is None and saved_model.model.posterior.n_rows is None:
        own = saved_model.spec is None or saved_model.spec.name == data.spec.name
        diagnosis = doctor(saved_model.model, data if own else held_out, history=history, seed=seed)
    return ReportContext(saved_model, data, held_out, history, findings, seed, diagnosis=diagnosis)


def check_same_data_kind(training_spec: Spec | None, spec: Spec) -> None:
    """A number of one kind of data is no number of another."""
    if training_spec is None:
        return
    for name in ("event_shape", "support", "levels", "likelihood"):
        then, now = getattr(training_spec, name), getattr(spec, name)
        if then != now:
            raise DataError(
                f'the run was trained on "{training_spec.name}" with {name}={then!r}, and "{spec.name}" has {name}={now!r}: '
                "load the data as they were loaded for training."
            )
