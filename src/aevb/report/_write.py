"""From a run folder to a page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .._files import create_folder, path_inside, write_atomically
from .._persistence import SavedModel, library_versions, load_saved_model
from ..data import Dataset, Rows
from ..metrics import Baselines, Diagnosis
from ._diagnosis import first_finding_sentence
from ._numbers import headline, summary_cards
from ._page import render_page
from ._report_context import ReportContext, build_report_context
from ._sections import SECTIONS


def write_report(
    run: str | Path | SavedModel,
    data: Dataset | Rows,
    *,
    samples: int = 100,
    seed: int = 0,
    max_rows: int | None = None,
    diagnosis: Diagnosis | None = None,
    baselines: Baselines | None = None,
    out: str | Path | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Path:
    """Write the report of a run as one HTML page.

    The page contains its pictures; they are also written as PNG files to ``pictures`` beside it.

    Args:
        run: A run folder, or the result of ``load_saved_model`` for a model with parts of your own.
        data: The data of the run, of which the test rows are evaluated, or other rows of the same
            kind. Comparisons with training rows need the data of the run.
        samples: Importance samples per row for log p(x).
        seed: Seed of every draw; the same seed gives the same page.
        max_rows: Number of rows to evaluate, evenly spaced; all by default.
        diagnosis: The result of ``metrics.doctor``; computed by default.
        baselines: The result of ``metrics.fit_baselines``; by default they are fitted to the
            training rows of the data of the run.
        out: Path of the page; by default ``report.html`` in the run folder.
        on_progress: Receives the number of (sample, row) pairs that were evaluated.

    Returns:
        The path of the page.

    Raises:
        RunError: The folder cannot be read, or the page cannot be written there, for instance
            because its pictures would go through a symbolic link.
        DataError: The data differ in kind from the training data.
        MissingExtraError: matplotlib is not installed.
    """
    saved_model = run if isinstance(run, SavedModel) else load_saved_model(run)
    target = Path(out) if out is not None else saved_model.path / "report.html"
    create_folder(target.parent)
    pictures = path_inside(target.parent, "pictures")
    report = build_report_context(
        saved_model, data, samples, seed, max_rows, diagnosis, baselines, on_progress
    )
    content = render_report(report)
    for name, picture in report.figures.png_by_name.items():
        write_atomically(pictures / f"{name}.png", picture, within=target.parent)
    write_atomically(target, content.encode(), within=target.parent)
    return target


def render_report(report: ReportContext) -> str:
    """The page as HTML."""
    versions = library_versions()
    kind = "variational autoencoder" if report.model.posterior.has_density else "autoencoder"
    return render_page(
        title=report.spec.name,
        subtitle=f"Report on a{'n' if kind[0] == 'a' else ''} {kind}",
        headline=headline(report) + first_finding_sentence(report.diagnosis),
        cards=summary_cards(report),
        sections=[section for make in SECTIONS if (section := make(report)) is not None],
        footer=f"Computed with aevb {versions['aevb']}, torch {versions['torch']}, "
        f"seed {report.seed}, on held-out rows.",
    )
