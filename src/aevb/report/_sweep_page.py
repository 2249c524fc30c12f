"""The page of a sweep: which combination, how sure, and what was traded for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .._files import write_atomically
from .._persistence import library_versions
from ._figure_set import FigureSet
from ._html import Section, data_table, name_value_table, paragraph
from ._page import render_page

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SWEEP_FIGURE_ALT = "Distortion against rate of every run of the sweep, by latent size and beta"
SWEEP_FIGURE_CAPTION = (
    "A small point is a run, a large one the mean over the seeds; lines join the betas of one latent size. Along a grey line the ELBO is "
    "the same, and it is higher to the lower left. To the right the code carries more nats, below less is missing once it is known."
)
SEED_ERROR_NOTE = "In nats, each the mean over the seeds ± one standard error: what another seed would change, not what other rows would."
ROW_ERROR_NOTE = "In nats, each the mean over the held-out rows ± one standard error: what other rows would change."

RUN_TABLE_HEADER = ("run", "ELBO", "rate", "distortion")


@dataclass(frozen=True)
class SweepPage:
    """A sweep as its page tells it."""

    title: str
    headline: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]  # a line for each combination
    run_rows: Sequence[Sequence[str]]  # the columns of RUNS
    settings: Sequence[tuple[str, str]]


def write_sweep(sweep_page: SweepPage, ax: Axes, target: Path) -> Path:
    """Write the page, one file with everything in it, its picture too; returns its path."""
    rows = [_use_minus_signs(row) for row in sweep_page.rows]
    runs = [[name, *_use_minus_signs(numbers)] for name, *numbers in sweep_page.run_rows]
    figure = FigureSet().add_figure("rate_distortion", ax, SWEEP_FIGURE_ALT, SWEEP_FIGURE_CAPTION)
    sections = [
        Section(
            "combinations",
            "The combinations",
            paragraph(SEED_ERROR_NOTE) + data_table(sweep_page.header, rows, "cells"),
        ),
        Section("rate-distortion", "Rate and distortion", figure),
        Section(
            "runs",
            "The runs",
            paragraph(ROW_ERROR_NOTE) + data_table(RUN_TABLE_HEADER, runs, "cells"),
        ),
        Section("settings", "The settings", name_value_table(sweep_page.settings)),
    ]
    footer = (
        f"Measured with aevb {library_versions()['aevb']}, torch {library_versions()['torch']}."
    )
    content = render_page(
        sweep_page.title,
        "Variational autoencoders side by side",
        _use_minus_signs([sweep_page.headline])[0],
        (),
        sections,
        footer,
    )
    write_atomically(target, content.encode())
    return target


def _use_minus_signs(texts: Sequence[str]) -> list[str]:
    """Numbers with a minus sign that does not break from them."""
    return [text.replace("-", "−") for text in texts]
