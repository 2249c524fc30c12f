"""The page of a sweep: which combination, how sure, and what was traded for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..files import write_atomically
from ..persistence import versions
from .album import Album
from .html import Section, pairs, paragraph, table
from .page import page

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ALT = "Distortion against rate of every run of the sweep, by latent size and beta"
CAPTION = (
    "A small point is a run, a large one the mean over the seeds; lines join the betas of one latent size. Along a grey line the ELBO is "
    "the same, and it is higher to the lower left. To the right the code carries more nats, below less is missing once it is known."
)
SEEDS = "In nats, each the mean over the seeds ± one standard error: what another seed would change, not what other rows would."
ROWS = "In nats, each the mean over the held-out rows ± one standard error: what other rows would change."

RUNS = ("run", "ELBO", "rate", "distortion")


@dataclass(frozen=True)
class Outcome:
    """A sweep as its page tells it."""

    title: str
    verdict: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]  # a line for each combination
    runs: Sequence[Sequence[str]]  # the columns of RUNS
    settings: Sequence[tuple[str, str]]


def write_sweep(outcome: Outcome, picture: Axes, target: Path) -> Path:
    """Write the page, one file with everything in it, its picture too; returns its path."""
    rows = [_minus(row) for row in outcome.rows]
    runs = [[name, *_minus(numbers)] for name, *numbers in outcome.runs]
    figure = Album().add("rate_distortion", picture, ALT, CAPTION)
    sections = [
        Section("combinations", "The combinations", paragraph(SEEDS) + table(outcome.head, rows, "cells")),
        Section("rate-distortion", "Rate and distortion", figure),
        Section("runs", "The runs", paragraph(ROWS) + table(RUNS, runs, "cells")),
        Section("settings", "The settings", pairs(outcome.settings)),
    ]
    footer = f"Measured with aevb {versions()['aevb']}, torch {versions()['torch']}."
    content = page(outcome.title, "Variational autoencoders side by side", _minus([outcome.verdict])[0], (), sections, footer)
    write_atomically(target, content.encode())
    return target


def _minus(texts: Sequence[str]) -> list[str]:
    """Numbers with a minus sign that does not break from them."""
    return [text.replace("-", "−") for text in texts]
