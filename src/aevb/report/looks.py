"""Data as the model sees them: reconstructed, and made up."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .. import plots
from ..metrics.sweep import evaluating
from ..networks.condition import Labels, coded
from ..plots.columns import LIMIT, correlation, rows_of
from .html import Section, paragraph, table
from .story import Story

SAMPLES = 36  # images made up
DRAWS = 1000  # rows made up, for histograms
REAL = 10_000  # rows of data beside them
LISTED = 8  # rows of a table that are printed
PAIRS = 20  # images reconstructed
POINTS = 300  # rows reconstructed
CLASSES, ACROSS = 20, 12  # classes that are shown, and draws of each


def reconstructions(story: Story) -> Section:
    """Held-out data above, what the model makes of their codes below."""
    rows = story.rows.subset(story.spread(PAIRS if story.spec.image else POINTS))
    picked = rows.tensor()
    with evaluating(story.model, story.seed):
        made = story.model.reconstruct(picked, rows.context)
    ax = plots.reconstructions(picked, made, story.spec.columns, limits=story.limits)
    how = "the mean of p(x|z) at the code of the original"
    if story.spec.image:
        alt = f"{len(picked)} held-out images, each with its reconstruction below."
        caption = f"Held-out images above, below each its reconstruction, {how}. {_sharpness(picked, made)}"
    else:
        alt = "A scatter plot per column, reconstruction against original."
        caption = f"{story.columns} of {len(picked):,} held-out rows: originals across, reconstructions upwards, {how}; equal on the line."
    return story.picture("reconstructions", "Reconstructions", ax, alt, caption)


def samples(story: Story) -> Section | None:
    """What the model makes up; an autoencoder has no distribution of codes to draw from, unless one was fitted afterwards."""
    if not story.model.posterior.density and "prior" not in story.saved.training:
        return None
    return _images(story) if story.spec.image else _rows(story)


def _images(story: Story) -> Section:
    ax = plots.samples(_draw(story, SAMPLES, mean=True), _draw(story, SAMPLES, mean=False), limits=story.limits)
    alt = f"{SAMPLES} images drawn from the model: their means on the left, draws with pixel noise on the right."
    caption = (
        "Nothing here was in the data: z is drawn from the prior, x from the likelihood. Left, the mean of p(x|z); right, a draw from "
        "p(x|z) for the same z, with the noise that the likelihood gives each pixel on its own."
    )
    return story.picture("samples", "Samples", ax, alt, caption)


def _rows(story: Story) -> Section:
    """Histograms, correlations and a few rows."""
    spec, real, draws = story.spec, story.data.train[:REAL].cpu(), _draw(story, DRAWS, mean=False)
    caption = f"{story.columns}: {len(real):,} training rows filled, {DRAWS:,} rows drawn from the model outlined. The closer, the better."
    alt = "A histogram per column, of training rows and of generated rows."
    histograms = story.album.add("samples", plots.samples(draws, draws, real, spec.columns), alt, caption)
    compared = _compared(story, real, draws) if story.dimensions > 1 else ""
    return Section("samples", "Samples", histograms + compared + _listed(story, draws))


def _compared(story: Story, real: Tensor, draws: Tensor) -> str:
    apart = torch.from_numpy(correlation(rows_of(real)) - correlation(rows_of(draws)))
    above = apart[tuple(torch.triu_indices(len(apart), len(apart), 1))]
    off = above[above.isfinite()].abs().mean().item()
    said = f" Those of generated rows are off by {off:.2f} on average." if math.isfinite(off) else ""
    ax = plots.correlations(real, draws, story.spec.columns)
    caption = f"Correlations between columns, from −1 (blue) to 1 (red).{said}"
    return story.album.add("correlations", ax, "Correlation matrices of training rows and of generated rows.", caption)


def _listed(story: Story, draws: Tensor) -> str:
    names = list(story.spec.columns or map(str, range(1, story.dimensions + 1)))[:LIMIT]
    cells = [[f"{value:.4g}".replace("-", "−") for value in row[:LIMIT]] for row in draws[:LISTED].flatten(1).tolist()]
    return paragraph(f"{LISTED} generated rows:") + table(("", *names), [(str(i), *row) for i, row in enumerate(cells, 1)], "cells")


def _draw(story: Story, n: int, mean: bool) -> Tensor:
    """The same seed for means and draws: the codes, drawn first, are the same."""
    with evaluating(story.model, story.seed):
        return story.model.sample(n, _told(story, n), mean=mean).cpu()


def _told(story: Story, n: int) -> Tensor | None:
    """What ``n`` draws are told: what held-out rows, evenly spread, were."""
    context = story.rows.context
    return None if context is None else context[torch.linspace(0, len(story.rows) - 1, n).round().long()]


def by_label(story: Story) -> Section | None:
    """Draws for each class that a model is told: a line of each, the same codes in every line."""
    condition = story.model.condition
    if condition is None or condition.labels is None or not story.model.posterior.density:
        return None
    labels = condition.labels
    names, codes = labels.categories[:CLASSES], min(ACROSS, DRAWS)
    drawn = [_of_class(story, labels, place, codes) for place in range(len(names))]
    if not story.spec.image:
        means = [[f"{value:.4g}".replace("-", "−") for value in each.flatten(1)[:, :LIMIT].mean(0).tolist()] for each in drawn]
        head = ("", *list(story.spec.columns or map(str, range(1, story.dimensions + 1)))[:LIMIT])
        below = paragraph(f"Means of {codes} rows drawn for each {labels.name}.")
        return Section("labels", f"By {labels.name}", below + table(head, [(n, *m) for n, m in zip(names, means, strict=True)], "cells"))
    ax = plots.images(torch.cat(drawn), codes, limits=story.limits)
    more = f" The first {len(names)} of {labels.width}." if labels.width > len(names) else ""
    caption = (
        f"A line for each {labels.name}: {', '.join(names)}. Draws of a column share the noise of their code, so lines differ in what the "
        f"model was told, and columns in the rest; means of p(x|z).{more}"
    )
    return story.picture("labels", f"By {labels.name}", ax, f"{codes} images drawn for each of {len(names)} classes.", caption)


def _of_class(story: Story, labels: Labels, place: int, n: int) -> Tensor:
    """Means of ``n`` draws told one class, and else what held-out rows were; the same seed for every class."""
    rows = story.rows.subset(torch.linspace(0, len(story.rows) - 1, n).round().long())
    assert rows.told is not None
    values = rows.told.values.clone()
    values[:, rows.told.factors.index(labels)] = place
    with evaluating(story.model, story.seed):
        return story.model.sample(n, coded(rows.told.factors, values), mean=True).cpu()


def _sharpness(originals: Tensor, made: Tensor) -> str:
    ratio = plots.high_frequency_ratio(originals, made)
    if math.isnan(ratio):
        return ""
    verdict = "fuzzier than" if ratio < 0.95 else "as sharp as" if ratio <= 1.05 else "rougher than"
    return f"They are {verdict} the originals: their energy above a quarter cycle per pixel is {ratio:.2f} times as large."
