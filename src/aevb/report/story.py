"""What a report tells: a run, the data it is measured on, and the numbers, each as `aevb.metrics` gives it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..data import Dataset, Rows
from ..data.spec import Spec
from ..errors import DataError
from ..metrics import (
    ActiveUnits,
    CodebookUsage,
    LogLikelihood,
    Measured,
    RateDistortion,
    active_units,
    codebook_usage,
    kl_per_dimension,
    log_likelihood,
    rate_distortion,
)
from ..metrics.health import Diagnosis, doctor
from ..metrics.health.patient import some
from ..models import VAE
from ..persistence import Saved
from ..plots.columns import LIMIT
from ..plots.tiles import Limits, limits_of
from ..training.history import Epoch, read_history
from .album import Album
from .html import Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Findings:
    """The numbers, of held-out rows. An autoencoder has no likelihood, rate or units that could fall idle; one row shows no units."""

    rate_distortion: RateDistortion
    log_likelihood: LogLikelihood | None
    active: ActiveUnits | None
    kl: Tensor | None  # [latent]
    usage: CodebookUsage | None = None  # of a codebook; log p(x) of such a model can be bounded, and not estimated

    @property
    def reconstruction(self) -> Measured:
        """``E_q log p(x|z)``."""
        return self.rate_distortion.reconstruction

    @staticmethod
    def of(model: VAE, rows: Rows, samples: int, seed: int, advance: Callable[[int], None] | None) -> Findings:
        """Measure a model on rows."""
        if not model.posterior.density:
            return Findings(rate_distortion(model, rows, seed=seed), None, None, None)
        if not model.posterior.covers:
            return Findings(rate_distortion(model, rows, seed=seed), None, None, None, codebook_usage(model, rows))
        weighed = log_likelihood(model, rows, samples, seed=seed, advance=advance)
        terms = weighed.terms or rate_distortion(model, rows, seed=seed)
        active = active_units(model, rows) if len(rows) > 1 else None
        return Findings(terms, weighed, active, kl_per_dimension(model, rows))


@dataclass(frozen=True)
class Story:
    """All that the sections of a report draw from."""

    saved: Saved
    data: Dataset
    rows: Rows  # held-out rows that were measured
    history: Sequence[Epoch]
    findings: Findings
    seed: int
    album: Album = field(default_factory=Album)
    diagnosis: Diagnosis | None = None  # None of a model that knows its training rows alone

    @property
    def model(self) -> VAE:
        return self.saved.model

    @property
    def spec(self) -> Spec:
        return self.data.spec

    @property
    def one(self) -> str:
        return self.spec.one

    @property
    def dimensions(self) -> int:
        return self.spec.dimensions

    @property
    def limits(self) -> Limits | None:
        """The values that are drawn black and white, where data are images."""
        if not self.spec.image:
            return None
        if self.spec.support == "levels":
            return 0.0, (self.spec.levels or 256) - 1.0
        return limits_of(self.shown(64)) if self.spec.support == "real" else (0.0, 1.0)

    @property
    def columns(self) -> str:
        """Which columns of a table are drawn."""
        return f"The first {LIMIT} of {self.dimensions:,} columns" if self.dimensions > LIMIT else "Columns"

    def spread(self, count: int) -> list[int]:
        """Places of at most ``count`` held-out rows, evenly spaced: rows in order of time or class are all seen."""
        return torch.linspace(0, len(self.rows) - 1, min(count, len(self.rows))).long().tolist()

    def shown(self, count: int) -> Tensor:
        """Held-out rows ``[<= count, *event]``."""
        return self.rows[self.spread(count)]

    def picture(self, anchor: str, title: str, ax: Axes, alt: str, caption: str) -> Section:
        """A section that is one picture."""
        return Section(anchor, title, self.album.add(anchor, ax, alt, caption))

    @property
    def labels_told(self) -> bool:
        """Whether the model has seen the classes that the labels are."""
        condition = self.model.condition
        return condition is not None and any(factor.classes == self.spec.classes for factor in condition.factors if factor.classes)

    def named(self, row: int) -> str:
        """A held-out row as the text calls it, with its class where there is one."""
        if self.rows.labels is None or self.spec.classes is None or self.rows.labels[row] < 0:
            return f"{self.one} {row}"
        return f"{self.one} {row} ({self.spec.classes[int(self.rows.labels[row])]})"


def tell(
    saved: Saved,
    data: Dataset,
    samples: int,
    seed: int,
    rows: int | None,
    diagnosis: Diagnosis | None,
    advance: Callable[[int], None] | None,
) -> Story:
    """Measure a run on the test rows of its data. Raises ``DataError`` for data of another kind than it was trained on."""
    check_kind(saved.spec, data.spec)
    held_out = (data.test if rows is None else some(data.test, rows)).to(saved.model.device)
    findings, history = Findings.of(saved.model, held_out, samples, seed, advance), read_history(saved.path / "history.jsonl")
    if diagnosis is None and saved.model.posterior.rows is None:
        own = saved.spec is None or saved.spec.name == data.spec.name
        diagnosis = doctor(saved.model, data if own else held_out, history=history, seed=seed)
    return Story(saved, data, held_out, history, findings, seed, diagnosis=diagnosis)


def check_kind(trained: Spec | None, given: Spec) -> None:
    """A number of one kind of data is no number of another."""
    if trained is None:
        return
    for name in ("event_shape", "support", "levels", "likelihood"):
        then, now = getattr(trained, name), getattr(given, name)
        if then != now:
            raise DataError(
                f'the run was trained on "{trained.name}" with {name}={then!r}, and "{given.name}" has {name}={now!r}: '
                "load the data as they were loaded for training."
            )
