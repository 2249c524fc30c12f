"""From a run folder to a page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..data import Dataset
from ..files import write_atomically
from ..metrics.health import Diagnosis
from ..persistence import Saved, read, versions
from . import health, numbers
from .page import page
from .sections import SECTIONS
from .story import Story, tell


def write(
    run: str | Path | Saved,
    data: Dataset,
    *,
    samples: int = 100,
    seed: int = 0,
    rows: int | None = None,
    diagnosis: Diagnosis | None = None,
    out: str | Path | None = None,
    advance: Callable[[int], None] | None = None,
) -> Path:
    """Write ``report.html``, one page with everything in it, and its pictures as PNG files in ``pictures`` beside it; returns its path.

    Args:
        run: a run folder, or what ``aevb.persistence.read`` made of it (for a model with parts of one's own).
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
    saved = run if isinstance(run, Saved) else read(run)
    target = Path(out) if out is not None else saved.path / "report.html"
    story = tell(saved, data, samples, seed, rows, diagnosis, advance)
    content = render(story)
    for name, picture in story.album.pictures.items():
        write_atomically(target.parent / "pictures" / f"{name}.png", picture)
    write_atomically(target, content.encode())
    return target


def render(story: Story) -> str:
    """The page as HTML."""
    found = versions()
    return page(
        title=story.spec.name,
        kind="A variational autoencoder, measured" if story.model.posterior.density else "An autoencoder, measured",
        verdict=numbers.verdict(story) + health.in_short(story.diagnosis),
        cards=numbers.cards(story),
        sections=[section for make in SECTIONS if (section := make(story)) is not None],
        footer=f"Measured with aevb {found['aevb']}, torch {found['torch']}, seed {story.seed}. Numbers are of held-out rows.",
    )
