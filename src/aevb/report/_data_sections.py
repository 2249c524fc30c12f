"""Data as the model sees them: reconstructed, and made up."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .. import plots
from ..metrics._blocks import seeded_evaluation
from ..networks._condition import Labels, encode_context
from ..plots._columns import MAX_COLUMN_PANELS, correlation_matrix, flatten_events
from ._html import Section, data_table, paragraph
from ._report_context import ReportContext

N_SAMPLE_IMAGES = 36  # images made up
N_SAMPLE_ROWS = 1000  # rows made up, for histograms
MAX_DATA_ROWS = 10_000  # rows of data beside them
N_LISTED_ROWS = 8  # rows of a table that are printed
N_RECONSTRUCTED_IMAGES = 20  # images reconstructed
N_RECONSTRUCTED_ROWS = 300  # rows reconstructed
MAX_CLASSES, DRAWS_PER_CLASS = 20, 12  # classes that are shown, and draws of each


def reconstructions_section(report: ReportContext) -> Section:
    """Held-out data above, what the model makes of their codes below."""
    rows = report.rows.subset(
        report.spread_indices(N_RECONSTRUCTED_IMAGES if report.spec.image else N_RECONSTRUCTED_ROWS)
    )
    picked = rows.tensor()
    with seeded_evaluation(report.model, report.seed):
        made = report.model.reconstruct(picked, rows.context)
    ax = plots.reconstructions(picked, made, report.spec.columns, limits=report.value_limits)
    how = "the mean of p(x|z) at the code of the original"
    if report.spec.image:
        alt = f"{len(picked)} held-out images, each with its reconstruction below."
        caption = f"Held-out images above, below each its reconstruction, {how}. {_sharpness_sentence(picked, made)}"
    else:
        alt = "A scatter plot per column, reconstruction against original."
        caption = f"{report.columns_phrase} of {len(picked):,} held-out rows: originals across, reconstructions upwards, {how}; equal on the line."
    return report.figure_section("reconstructions", "Reconstructions", ax, alt, caption)


def samples_section(report: ReportContext) -> Section | None:
    """What the model makes up; an autoencoder has no distribution of codes to draw from, unless one was fitted afterwards."""
    if not report.model.posterior.has_density and "prior" not in report.saved_model.training:
        return None
    return _sample_images_section(report) if report.spec.image else _sample_rows_section(report)


def _sample_images_section(report: ReportContext) -> Section:
    ax = plots.samples(
        _draw_samples(report, N_SAMPLE_IMAGES, mean=True),
        _draw_samples(report, N_SAMPLE_IMAGES, mean=False),
        limits=report.value_limits,
    )
    alt = f"{N_SAMPLE_IMAGES} images drawn from the model: their means on the left, draws with pixel noise on the right."
    caption = (
        "Nothing here was in the data: z is drawn from the prior, x from the likelihood. Left, the mean of p(x|z); right, a draw from "
        "p(x|z) for the same z, with the noise that the likelihood gives each pixel on its own."
    )
    return report.figure_section("samples", "Samples", ax, alt, caption)


def _sample_rows_section(report: ReportContext) -> Section:
    """Histograms, correlations and a few rows."""
    spec, real, draws = (
        report.spec,
        report.data.train[:MAX_DATA_ROWS].cpu(),
        _draw_samples(report, N_SAMPLE_ROWS, mean=False),
    )
    caption = f"{report.columns_phrase}: {len(real):,} training rows filled, {N_SAMPLE_ROWS:,} rows drawn from the model outlined. The closer, the better."
    alt = "A histogram per column, of training rows and of generated rows."
    histograms = report.figures.add_figure(
        "samples", plots.samples(draws, draws, real, spec.columns), alt, caption
    )
    compared = _correlations_figure(report, real, draws) if report.dimensions > 1 else ""
    return Section("samples", "Samples", histograms + compared + _sample_rows_table(report, draws))


def _correlations_figure(report: ReportContext, real: Tensor, draws: Tensor) -> str:
    apart = torch.from_numpy(
        correlation_matrix(flatten_events(real)) - correlation_matrix(flatten_events(draws))
    )
    above = apart[tuple(torch.triu_indices(len(apart), len(apart), 1))]
    off = above[above.isfinite()].abs().mean().item()
    said = (
        f" Those of generated rows are off by {off:.2f} on average." if math.isfinite(off) else ""
    )
    ax = plots.correlations(real, draws, report.spec.columns)
    caption = f"Correlations between columns, from −1 (blue) to 1 (red).{said}"
    return report.figures.add_figure(
        "correlations", ax, "Correlation matrices of training rows and of generated rows.", caption
    )


def _sample_rows_table(report: ReportContext, draws: Tensor) -> str:
    names = list(report.spec.columns or map(str, range(1, report.dimensions + 1)))[
        :MAX_COLUMN_PANELS
    ]
    cells = [
        [f"{value:.4g}".replace("-", "−") for value in row[:MAX_COLUMN_PANELS]]
        for row in draws[:N_LISTED_ROWS].flatten(1).tolist()
    ]
    return paragraph(f"{N_LISTED_ROWS} generated rows:") + data_table(
        ("", *names), [(str(i), *row) for i, row in enumerate(cells, 1)], "cells"
    )


def _draw_samples(report: ReportContext, n: int, mean: bool) -> Tensor:
    """The same seed for means and draws: the codes, drawn first, are the same."""
    with seeded_evaluation(report.model, report.seed):
        return report.model.sample(n, _held_out_context(report, n), mean=mean).cpu()


def _held_out_context(report: ReportContext, n: int) -> Tensor | None:
    """What ``n`` draws are told: what held-out rows, evenly spread, were."""
    context = report.rows.context
    return (
        None
        if context is None
        else context[torch.linspace(0, len(report.rows) - 1, n).round().long()]
    )


def samples_by_label_section(report: ReportContext) -> Section | None:
    """Draws for each class that a model is told: a line of each, the same codes in every line."""
    condition = report.model.condition
    if condition is None or condition.labels is None or not report.model.posterior.has_density:
        return None
    labels = condition.labels
    names, codes = labels.categories[:MAX_CLASSES], min(DRAWS_PER_CLASS, N_SAMPLE_ROWS)
    drawn = [_draw_class_means(report, labels, place, codes) for place in range(len(names))]
    if not report.spec.image:
        means = [
            [
                f"{value:.4g}".replace("-", "−")
                for value in each.flatten(1)[:, :MAX_COLUMN_PANELS].mean(0).tolist()
            ]
            for each in drawn
        ]
        head = (
            "",
            *list(report.spec.columns or map(str, range(1, report.dimensions + 1)))[
                :MAX_COLUMN_PANELS
            ],
        )
        below = paragraph(f"Means of {codes} rows drawn for each {labels.name}.")
        return Section(
            "labels",
            f"By {labels.name}",
            below + data_table(head, [(n, *m) for n, m in zip(names, means, strict=True)], "cells"),
        )
    ax = plots.images(torch.cat(drawn), codes, limits=report.value_limits)
    more = f" The first {len(names)} of {labels.width}." if labels.width > len(names) else ""
    caption = (
        f"A line for each {labels.name}: {', '.join(names)}. Draws of a column share the noise of their code, so lines differ in what the "
        f"model was told, and columns in the rest; means of p(x|z).{more}"
    )
    return report.figure_section(
        "labels",
        f"By {labels.name}",
        ax,
        f"{codes} images drawn for each of {len(names)} classes.",
        caption,
    )


def _draw_class_means(report: ReportContext, labels: Labels, class_index: int, n: int) -> Tensor:
    """Means of ``n`` draws told one class, and else what held-out rows were; the same seed for every class."""
    rows = report.rows.subset(torch.linspace(0, len(report.rows) - 1, n).round().long())
    assert rows.context_table is not None
    values = rows.context_table.values.clone()
    values[:, rows.context_table.factors.index(labels)] = class_index
    with seeded_evaluation(report.model, report.seed):
        return report.model.sample(
            n, encode_context(rows.context_table.factors, values), mean=True
        ).cpu()


def _sharpness_sentence(originals: Tensor, reconstructions: Tensor) -> str:
    ratio = plots.high_frequency_ratio(originals, reconstructions)
    if math.isnan(ratio):
        return ""
    verdict = "fuzzier than" if ratio < 0.95 else "as sharp as" if ratio <= 1.05 else "rougher than"
    return f"They are {verdict} the originals: their energy above a quarter cycle per pixel is {ratio:.2f} times as large."
