"""From a run folder to a page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .._files import write_atomically
from .._persistence import SavedModel, library_versions, load_saved_model
from ..data import Dataset
from ..metrics.health import Diagnosis
from . import _diagnosis as health
from . import _numbers as numbers
from ._page import render_page
from ._report_context import ReportContext, build_report_context
from ._sections import SECTIONS


def write_report(
    run: str | Path | SavedModel,
    data: Dataset,
    *,
    samples: int = 100,
    seed: int = 0,
    max_rows: int | None = None,
    diagnosis: Diagnosis | None = None,
    out: str | Path | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Path:
    """Write ``report.html``, one page with everything in it, and its pictures as PNG files in ``pictures`` beside it; returns its path.

    Args:
        run: a run folder, or what ``aevb._persistence.read`` made of it (for a model with parts of one's own).
        data: what the run was trained on, or data of the same kind; the test rows are measured.
        samples: importance samples per datum for log p(x).
        seed: of every draw: the same seed gives the same page.
        rows: how many of the test rows are measured, evenly spread; all of them by default.
        diagnosis: what ``metrics.doctor`` said of the run, where it was asked already.
        out: where the page goes; ``report.html`` in the run folder by default.
        advance: is told how many (sample, datum) pairs have been weighed, for a progress bar.

    Raises:
        RunError: the folder cannot be read, or the page not be written.
        DataError: the data are not of the kind that the run was trained on.
        MissingExtraError: matplotlib is not installed.
    """
    saved = run if isinstance(run, SavedModel) else load_saved_model(run)
    target = Path(out) if out is not None else saved.path / "report.html"
    story = build_report_context(saved, data, samples, seed, max_rows, diagnosis, on_progress)
    content = render_report(story)
    for name, picture in story.figures.png_by_name.items():
        write_atomically(target.parent / "pictures" / f"{name}.png", picture)
    write_atomically(target, content.encode())
    return target


def render_report(report: ReportContext) -> str:
    """The page as HTML."""
    found = library_versions()
    return render_page(
        title=report.spec.name,
        subtitle="A variational autoencoder, measured"
        if report.model.posterior.has_density
        else "An autoencoder, measured",
        headline=numbers.headline(report) + health.first_finding_sentence(report.diagnosis),
        cards=numbers.summary_cards(report),
        sections=[section for make in SECTIONS if (section := make(report)) is not None],
        footer=f"Measured with aevb {found['aevb']}, torch {found['torch']}, seed {report.seed}. Numbers are of held-out rows.",
    )
