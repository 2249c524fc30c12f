"""Pictures of data: reconstructions and samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import plots
from ..inference._batches import seeded_evaluation
from ..networks._condition import Labels, encode_context
from ..plots._columns import MAX_COLUMN_PANELS, correlation_matrix, flatten_events
from ..plots._series import MAX_SERIES
from ..plots._tiles import ValueLimits
from ._html import Section, data_table, paragraph
from ._report_context import ReportContext
from ._table_sections import rows_table, table_reconstructions_section, table_samples_section

if TYPE_CHECKING:
    from matplotlib.axes import Axes

N_SAMPLE_IMAGES, N_SAMPLE_ROWS = 36, 1000
"""Images and rows that are drawn from the model."""

N_SAMPLE_STRIPS, STRIP_COLUMNS = 4, 2
"""Videos that are drawn from the model, and strips of frames in a line."""

MAX_DATA_ROWS = 10_000
"""Rows of data that samples are compared with."""

N_LISTED_ROWS = 8
"""Generated rows in a table."""

N_RECONSTRUCTED_IMAGES, N_RECONSTRUCTED_ROWS = 20, 300
MAX_CLASSES, DRAWS_PER_CLASS = 20, 12
ROWS_PER_CLASS = 3

SHARPNESS_TOLERANCE = 0.05
"""Reconstructions within this share of the energy of the originals count as equally sharp."""


def reconstructions_section(report: ReportContext) -> Section:
    """Held-out data and their reconstructions."""
    count = N_RECONSTRUCTED_IMAGES if report.has_pictures else N_RECONSTRUCTED_ROWS
    rows = report.rows.subset(report.spread_indices(count))
    originals = rows.tensor()
    with seeded_evaluation(report.model, report.seed):
        reconstructed = report.model.reconstruct(originals, rows.context)
    if report.spec.schema is not None:
        return table_reconstructions_section(report, originals.cpu(), reconstructed)
    ax = draw_reconstructions(report, originals, reconstructed, report.value_limits)
    how = "the mean of p(x|z) for the encoded original"
    if report.has_pictures:
        noun = f"{report.item_noun}s"
        alt = f"{len(originals)} held-out {noun}, each above its reconstruction."
        sharpness = _sharpness_sentence(originals, reconstructed) if report.spec.image else ""
        caption = f"Held-out {noun} above their reconstructions, {how}. {sharpness}"
    elif report.spec.kind == "series":
        alt = "Held-out sequences and their reconstructions, a panel per channel."
        caption = f"{report.columns_phrase}: held-out data; dashed the reconstruction, {how}."
    else:
        alt = "A scatter plot per column, reconstruction against original."
        caption = (
            f"{report.columns_phrase} of {len(originals):,} held-out rows: reconstruction, {how}, "
            "against original. The line is equality."
        )
    return report.figure_section("reconstructions", "Reconstructions", ax, alt, caption)


def samples_section(report: ReportContext) -> Section | None:
    """Data drawn from the model; None for an autoencoder without a fitted prior."""
    if not report.has_samples:
        return None
    if report.spec.schema is not None:
        return table_samples_section(report)
    if report.has_pictures:
        return _sample_images_section(report)
    return _series_section(report) if report.spec.kind == "series" else _sample_rows_section(report)


def draw_reconstructions(
    report: ReportContext, originals: Tensor, reconstructed: Tensor, limits: ValueLimits | None
) -> Axes:
    """Originals and their reconstructions as pictures, series or columns."""
    if report.spec.kind == "series":
        return plots.series(originals, reconstructed)
    if report.spec.kind == "video":
        pairs = torch.cat([originals, reconstructed], -2)
        return plots.images(report.pictures(pairs), STRIP_COLUMNS, limits=limits)
    return plots.reconstructions(originals, reconstructed, report.spec.columns, limits=limits)


def _series_section(report: ReportContext) -> Section:
    """Series of the data and of the model."""
    real = report.held_out_sample(MAX_SERIES).cpu()
    draws = draw_samples(report, MAX_SERIES, mean=False)
    data = report.figures.add_figure(
        "held-out", plots.series(real), "Held-out sequences.", f"{report.columns_phrase}: data."
    )
    caption = f"{report.columns_phrase}: draws from the model, with z drawn from the prior."
    samples = report.figures.add_figure(
        "samples", plots.series(draws), "Sequences drawn from the model.", caption
    )
    return Section("samples", "Samples", data + samples)


def _sample_images_section(report: ReportContext) -> Section:
    """Means and draws side by side."""
    n = N_SAMPLE_STRIPS if report.spec.kind == "video" else N_SAMPLE_IMAGES
    means, draws = (report.pictures(draw_samples(report, n, mean=mean)) for mean in (True, False))
    ax = plots.samples(means, draws, limits=report.value_limits)
    alt = f"{n} {report.item_noun}s drawn from the model: means on the left, draws on the right."
    caption = (
        f"{report.item_noun.capitalize()}s from the model, with z drawn from the prior. Left: the "
        "mean of p(x|z). Right: a draw from p(x|z) for the same z, with the independent pixel "
        "noise of the likelihood."
    )
    return report.figure_section("samples", "Samples", ax, alt, caption)


def _sample_rows_section(report: ReportContext) -> Section:
    """Histograms, correlations and some rows."""
    spec, draws = report.spec, draw_samples(report, N_SAMPLE_ROWS, mean=False)
    real = (report.rows if report.data is None else report.data.train)[:MAX_DATA_ROWS].cpu()
    kind = "held-out" if report.data is None else "training"
    caption = (
        f"{report.columns_phrase}: {len(real):,} {kind} rows filled, {N_SAMPLE_ROWS:,} rows from "
        "the model outlined. The histograms of a good model agree."
    )
    alt = f"A histogram per column, of {kind} rows and of generated rows."
    histograms = report.figures.add_figure(
        "samples", plots.samples(draws, draws, real, spec.columns), alt, caption
    )
    compared = _correlations_figure(report, real, draws, kind) if report.dimensions > 1 else ""
    return Section("samples", "Samples", histograms + compared + _sample_rows_table(report, draws))


def _correlations_figure(report: ReportContext, real: Tensor, draws: Tensor, kind: str) -> str:
    """Correlation matrices and their mean distance."""
    errors = torch.from_numpy(
        correlation_matrix(flatten_events(real)) - correlation_matrix(flatten_events(draws))
    )
    pairs = errors[tuple(torch.triu_indices(len(errors), len(errors), 1))]
    mean_error = pairs[pairs.isfinite()].abs().mean().item()
    sentence = (
        f" Those of generated rows differ by {mean_error:.2f} on average."
        if math.isfinite(mean_error)
        else ""
    )
    return report.figures.add_figure(
        "correlations",
        plots.correlations(real, draws, report.spec.columns),
        f"Correlation matrices of {kind} rows and of generated rows.",
        f"Correlations between columns, from −1 (blue) to 1 (red).{sentence}",
    )


def _sample_rows_table(report: ReportContext, draws: Tensor) -> str:
    """The first generated rows."""
    cells = [_format_cells(row) for row in draws[:N_LISTED_ROWS].flatten(1)]
    return paragraph(f"{N_LISTED_ROWS} generated rows:") + data_table(
        ("", *report.column_names), [(str(i), *row) for i, row in enumerate(cells, 1)], "cells"
    )


def _format_cells(row: Tensor) -> list[str]:
    """The first columns of a row."""
    return [f"{value:.4g}".replace("-", "−") for value in row[:MAX_COLUMN_PANELS].tolist()]


def draw_samples(report: ReportContext, n: int, mean: bool) -> Tensor:
    """``n`` draws; means and draws of one seed share ``z``, which is drawn first.

    A model with context has the contexts of held-out rows, evenly spaced.
    """
    context = report.rows.context
    if context is not None:
        context = context[torch.linspace(0, len(report.rows) - 1, n).round().long()]
    with seeded_evaluation(report.model, report.seed):
        return report.model.sample(n, context, mean=mean).cpu()


def samples_by_label_section(report: ReportContext) -> Section | None:
    """Draws for each class of a model that is conditioned on labels, with the same z per class."""
    condition = report.model.condition
    if condition is None or condition.labels is None or not report.model.posterior.has_density:
        return None
    labels, n = condition.labels, DRAWS_PER_CLASS
    names = labels.categories[:MAX_CLASSES]
    draws = [_draw_class_means(report, labels, index, n) for index in range(len(names))]
    title = f"Samples by {labels.name}"
    if report.spec.schema is not None:
        cells = torch.cat([draw[:ROWS_PER_CLASS] for draw in draws])
        row_names = [name for name in names for _ in range(ROWS_PER_CLASS)]
        table = rows_table(report.spec.schema, cells, row_names)
        text = f"The expected values of {ROWS_PER_CLASS} rows for each {labels.name}."
        return Section("labels", title, paragraph(text) + table)
    if not report.has_pictures:
        rows = [
            (name, *_format_cells(draw.flatten(1).mean(0)))
            for name, draw in zip(names, draws, strict=True)
        ]
        table = data_table(("", *report.column_names), rows, "cells")
        return Section(
            "labels", title, paragraph(f"Means of {n} rows drawn for each {labels.name}.") + table
        )
    more = f" The first {len(names)} of {labels.width}." if labels.width > len(names) else ""
    caption = (
        f"A row of images for each {labels.name}: {', '.join(names)}. The images of a column share "
        f"the noise of z, so rows differ in the {labels.name} and columns in everything else. "
        f"Means of p(x|z).{more}"
    )
    ax = plots.images(report.pictures(torch.cat(draws)), n, limits=report.value_limits)
    alt = f"{n} images drawn for each of {len(names)} classes."
    return report.figure_section("labels", title, ax, alt, caption)


def _draw_class_means(report: ReportContext, labels: Labels, class_index: int, n: int) -> Tensor:
    """Means of ``n`` draws for one class, with one seed for every class.

    Further variables of the context are those of held-out rows.
    """
    rows = report.rows.subset(torch.linspace(0, len(report.rows) - 1, n).round().long())
    assert rows.context_table is not None
    values = rows.context_table.values.clone()
    values[:, rows.context_table.factors.index(labels)] = class_index
    context = encode_context(rows.context_table.factors, values)
    with seeded_evaluation(report.model, report.seed):
        return report.model.sample(n, context, mean=True).cpu()


def _sharpness_sentence(originals: Tensor, reconstructions: Tensor) -> str:
    """Energy at high frequencies of reconstructions and originals."""
    ratio = plots.high_frequency_ratio(originals, reconstructions)
    if math.isnan(ratio):
        return ""
    verdict = (
        "blurrier than"
        if ratio < 1 - SHARPNESS_TOLERANCE
        else "as sharp as"
        if ratio <= 1 + SHARPNESS_TOLERANCE
        else "rougher than"
    )
    return (
        f"They are {verdict} the originals: their energy above a quarter cycle per pixel is "
        f"{ratio:.2f} times as large."
    )
