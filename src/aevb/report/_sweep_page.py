"""The page of a sweep: the best combination, and the plane of rate and distortion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .._files import write_atomically
from .._persistence import library_versions
from ._figure_set import FigureSet
from ._html import Section, data_table, name_value_table, paragraph, use_minus_signs
from ._page import render_page

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SWEEP_FIGURE_ALT = "Distortion against rate of every run of the sweep, by latent size and beta"
SWEEP_FIGURE_CAPTION = (
    "A small point is a run, a large one the mean over seeds; lines join the values of beta of one "
    "latent size. The ELBO is constant along each grey line and higher to the lower left. To the "
    "right, z carries more nats; further down, fewer nats are missing once z is known."
)
SEED_ERROR_NOTE = (
    "In nats, mean over seeds ± one standard error: the variation with the seed, not with the rows."
)
ROW_ERROR_NOTE = (
    "In nats, mean over held-out rows ± one standard error: the variation with the rows."
)
RUN_TABLE_HEADER = ("run", "ELBO", "rate", "distortion")


@dataclass(frozen=True)
class SweepPage:
    """The content of the page of a sweep.

    Args:
        title: Heading of the page.
        headline: The result in a sentence.
        header: Column names of ``rows``.
        rows: Cells of each combination.
        run_rows: Cells of each run, with the columns ``RUN_TABLE_HEADER``.
        settings: Names and values of the settings of all runs.
    """

    title: str
    headline: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    run_rows: Sequence[Sequence[str]]
    settings: Sequence[tuple[str, str]]


def write_sweep(sweep_page: SweepPage, ax: Axes, target: Path) -> Path:
    """Write the page with its picture as one file; returns its path."""
    rows = [[*map(use_minus_signs, row)] for row in sweep_page.rows]
    runs = [[name, *map(use_minus_signs, numbers)] for name, *numbers in sweep_page.run_rows]
    figure = FigureSet().add_figure("rate_distortion", ax, SWEEP_FIGURE_ALT, SWEEP_FIGURE_CAPTION)
    combinations = paragraph(SEED_ERROR_NOTE) + data_table(sweep_page.header, rows, "cells")
    runs_table = paragraph(ROW_ERROR_NOTE) + data_table(RUN_TABLE_HEADER, runs, "cells")
    versions = library_versions()
    content = render_page(
        sweep_page.title,
        "Sweep of variational autoencoders",
        use_minus_signs(sweep_page.headline),
        (),
        [
            Section("combinations", "Combinations", combinations),
            Section("rate-distortion", "Rate and distortion", figure),
            Section("runs", "Runs", runs_table),
            Section("settings", "Settings", name_value_table(sweep_page.settings)),
        ],
        f"Computed with aevb {versions['aevb']}, torch {versions['torch']}.",
    )
    write_atomically(target, content.encode())
    return target
