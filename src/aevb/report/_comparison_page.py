"""The page of a comparison: numbers of several runs, their differences, and their pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .. import plots
from .._files import write_atomically
from .._persistence import count_parameters, library_versions
from ..data._formatting import format_count, format_list
from ..inference._batches import seeded_evaluation
from ..metrics import Comparison, Estimate, Evaluation
from ..metrics._comparison import QUANTITY_NAMES, Difference, QuantityComparison
from ..notes import Note
from ..plots._series import MAX_SERIES
from ._data_sections import draw_reconstructions, draw_samples
from ._figure_set import FigureSet
from ._html import (
    Section,
    data_table,
    figure_grid,
    format_signed,
    name_value_table,
    note_list,
    paragraph,
    use_minus_signs,
)
from ._model_summary import architecture_pairs, training_pairs
from ._numbers import format_number
from ._page import render_page
from ._report_context import ReportContext

COMPARISON_IMAGE_PAIRS, COMPARISON_SCATTER_ROWS = 10, 300
"""Images and rows that are reconstructed."""

COMPARISON_SAMPLE_IMAGES, COMPARISON_SAMPLE_ROWS = 30, 1000
"""Images and rows that are drawn from each model."""

COMPARISON_DATA_ROWS = 10_000
"""Rows of data that samples are compared with."""

MAX_PICTURED_RUNS = 12
SUMMARY_KEYS = ("prior", "posterior", "likelihood", "objective", "gradient", "epochs")
COMPARISON_SUBTITLE = "Comparison of variational autoencoders"
DIFFERENCES_NOTE = (
    "Differences to {best}, ± one standard error. p is the probability that chance alone makes a "
    "difference in {what} of at least this size, corrected for all pairs; from 0.05 a difference "
    "is called noise. In every column, * marks a difference that is more than noise."
)
FOREST_PLOT_ALT = "The difference of each run to the best one, with error bars."
FOREST_PLOT_CAPTION = (
    "Bars extend two standard errors of the difference to each side, without correction. Blue is "
    "the best run, red is worse, grey is noise."
)
VALIDATION_CURVES_CAPTION = (
    "The ELBO of each run (of an autoencoder the reconstruction log-likelihood) on its own "
    "validation rows during training. The steep beginning does not set the scale."
)
NO_RESULT = "No two of these runs can be compared, because their numbers differ in kind."
VERDICT_CELLS = {"best": "best", "noise": "noise", "worse": "worse", "unknown": ""}


@dataclass(frozen=True)
class ComparisonEntry:
    """A run of a comparison.

    Args:
        name: Name of the run in tables and pictures.
        configuration_name: Name of its configuration if seeds are combined, else its own.
        differences: The settings in which it differs from the other runs.
        configuration_differences: The same without the seed.
        report: The run with its numbers.
        path: The run folder.
        exclusion_reason: Why it is not compared, as the rest of a sentence about the run.
    """

    name: str
    configuration_name: str
    differences: str
    configuration_differences: str
    report: ReportContext
    path: Path = Path()
    exclusion_reason: str | None = None

    @property
    def evaluation(self) -> Evaluation:
        """The numbers of the run."""
        return self.report.evaluation

    @property
    def title(self) -> str:
        """Name and differences, for its pictures."""
        return f"{self.name}: {self.differences or self.path.name}"


@dataclass(frozen=True)
class ComparisonPage:
    """The content of the page of a comparison.

    Args:
        title: Heading of the page.
        entries: The runs.
        comparison: Their differences and verdicts.
        differing_settings: Names of the settings that differ, with a value for each run.
        rows_sentence: Which rows were evaluated.
        figures: The pictures of the page.
    """

    title: str
    entries: Sequence[ComparisonEntry]
    comparison: Comparison
    differing_settings: Sequence[tuple[str, Sequence[str]]]
    rows_sentence: str
    figures: FigureSet = field(default_factory=FigureSet)

    @property
    def configurations(self) -> list[ComparisonEntry]:
        """The first run of each configuration."""
        return list({entry.configuration_name: entry for entry in reversed(self.entries)}.values())[
            ::-1
        ]

    @property
    def pictured_entries(self) -> list[ComparisonEntry]:
        """The runs with pictures: one of each configuration."""
        return self.configurations[:MAX_PICTURED_RUNS]

    @property
    def compared_entries(self) -> list[ComparisonEntry]:
        """The runs that are compared."""
        return [entry for entry in self.entries if entry.exclusion_reason is None]

    @property
    def reference_report(self) -> ReportContext:
        """The first compared run; it describes the data."""
        return self.compared_entries[0].report


def write_comparison(page: ComparisonPage, target: Path) -> Path:
    """Write the page as one file with its pictures; returns its path."""
    sections = [
        make(page)
        for make in (
            _numbers_section,
            _differences_section,
            _reconstructions_section,
            _samples_section,
            _settings_section,
            _training_section,
            _runs_section,
        )
    ]
    versions = library_versions()
    content = render_page(
        title=page.title,
        subtitle=COMPARISON_SUBTITLE,
        headline=use_minus_signs(_headline(page)),
        cards=[],
        sections=[section for section in sections if section is not None],
        footer=f"Computed with aevb {versions['aevb']}, torch {versions['torch']}, "
        f"seed {page.reference_report.seed}, on held-out rows.",
    )
    write_atomically(target, content.encode())
    return target


def _headline(page: ComparisonPage) -> str:
    """The conclusions, with the settings of the best run."""
    comparison = page.comparison
    if len(comparison.table) < 2:
        return NO_RESULT
    best = comparison.table[comparison.best_index].name
    differences = next(
        entry.configuration_differences
        for entry in page.entries
        if entry.configuration_name == best
    )
    name = f"{best} ({differences})" if differences else best
    first, *others = map(str, comparison.conclusions)
    return " ".join([name + first.removeprefix(best), *others])


def _numbers_section(page: ComparisonPage) -> Section:
    """Every number that some run has, with a row for each run."""
    labels = dict.fromkeys(
        number.label
        for entry in page.entries
        for number in entry.evaluation.table
        if number.value is not None
    )
    names = name_value_table(
        (entry.name, ": ".join(filter(None, (str(entry.path), entry.differences))))
        for entry in page.entries
    )
    units = f"Nats per {page.reference_report.item_noun}, ± one standard error over held-out data."
    table = data_table(
        ("", *labels), [_numbers_row(entry, list(labels)) for entry in page.entries], "cells"
    )
    return Section("numbers", "Results", names + paragraph(page.rows_sentence, units) + table)


def _numbers_row(entry: ComparisonEntry, labels: Sequence[str]) -> list[str]:
    """The numbers of a run, – for those that it does not have."""
    numbers = {number.label: number for number in entry.evaluation.table}
    cells = []
    for label in labels:
        number = numbers.get(label)
        is_missing = number is None or number.value is None or math.isnan(number.value)
        cells.append("–" if number is None or is_missing else format_number(number))
    return [entry.name, *cells]


def _differences_section(page: ComparisonPage) -> Section | None:
    """The difference of each run to the best one."""
    comparison = page.comparison
    excluded = [
        Note(
            "run_not_compared",
            f"{entry.name} ({entry.path}) is not compared: it {entry.exclusion_reason}.",
            "warning",
            {"run": str(entry.path)},
        )
        for entry in page.entries
        if entry.exclusion_reason is not None
    ]
    if len(comparison.table) < 2:
        body = note_list(excluded)
        return Section("differences", "Differences", body) if body else None
    names = [row.name for row in comparison.table]
    picture = page.figures.add_figure(
        "differences",
        plots.forest_plot(comparison.primary.differences, names),
        FOREST_PLOT_ALT,
        FOREST_PLOT_CAPTION,
    )
    explanation = DIFFERENCES_NOTE.format(
        best=names[comparison.best_index], what=QUANTITY_NAMES[comparison.primary.quantity]
    )
    return Section(
        "differences",
        "Differences",
        note_list((*comparison.notes, *excluded))
        + picture
        + paragraph(explanation)
        + _differences_table(page),
    )


def _differences_table(page: ComparisonPage) -> str:
    """A row of differences for each run or configuration, with its mean over seeds."""
    comparison, columns = page.comparison, _comparison_columns(page)
    has_means = "seeds" in comparison.error_source
    header = ["", "", "p", *(column.title for column in columns)]
    if has_means:
        header.insert(3, f"mean {columns[0].title}")
    rows = []
    for index, row in enumerate(comparison.table):
        primary = comparison.primary.differences[index]
        cells = [
            _format_difference(column.quantity.differences[index], column.digits)
            for column in columns
        ]
        if has_means:
            cells.insert(0, _format_estimate(comparison.primary.values[index]))
        p_value = "" if primary is None else _format_p_value(primary.p_value)
        rows.append([row.name, VERDICT_CELLS[comparison.verdicts[index]], p_value, *cells])
    return data_table(header, rows, "cells")


@dataclass(frozen=True)
class ComparisonColumn:
    """A column of the table of differences."""

    title: str
    quantity: QuantityComparison
    digits: int = 2


def _comparison_columns(page: ComparisonPage) -> list[ComparisonColumn]:
    """The compared quantities, and bits per dimension of data with probabilities."""
    comparison, spec = page.comparison, page.reference_report.spec
    columns = [
        ComparisonColumn(QUANTITY_NAMES[quantity.quantity], quantity)
        for quantity in comparison.quantities
    ]
    if spec.measure == "probability" and comparison.primary.quantity != "reconstruction":
        in_bits = comparison.primary.to_bits_per_dimension(spec.dimensions)
        columns.append(ComparisonColumn("bits/dim", in_bits, 4))
    return columns


def _format_estimate(value: Estimate, digits: int = 2) -> str:
    """``mean ± standard error``, – where the mean is NaN."""
    if math.isnan(value.mean):
        return "–"
    error = value.standard_error
    return format_signed(value.mean, digits) + (
        "" if math.isnan(error) else f" ± {error:,.{digits}f}"
    )


def _format_difference(difference: Difference | None, digits: int) -> str:
    """A signed difference, with * if it is significant."""
    if difference is None:
        return ""
    sign = "+" if difference.value.mean > 0 else ""
    star = "*" if difference.is_significant else ""
    return f"{sign}{_format_estimate(difference.value, digits)}{star}"


def _format_p_value(p_value: float) -> str:
    """A p-value in three decimals."""
    return "–" if math.isnan(p_value) else "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _settings_section(page: ComparisonPage) -> Section:
    """The settings in which the runs differ."""
    body = (
        data_table(
            ("", *(entry.name for entry in page.entries)),
            [(name, *values) for name, values in page.differing_settings],
            "cells",
        )
        if page.differing_settings
        else paragraph("All settings of the runs are equal.")
    )
    return Section("settings", "Settings", body)


def _training_section(page: ComparisonPage) -> Section | None:
    """Validation during training."""
    entries = [
        entry
        for entry in page.compared_entries
        if any(epoch.validation is not None for epoch in entry.report.history)
    ]
    if not entries:
        return None
    names = [entry.configuration_name for entry in entries]
    ax = plots.validation_curves([entry.report.history for entry in entries], names)
    seeds = " Seeds of one configuration have one colour." if len(set(names)) < len(entries) else ""
    figure = page.figures.add_figure(
        "validation",
        ax,
        "Validation against epochs, a line for each run.",
        f"{VALIDATION_CURVES_CAPTION}{seeds}",
    )
    return Section("training", "Training curves", figure)


def _reconstructions_section(page: ComparisonPage) -> Section | None:
    """The same held-out data reconstructed by each run."""
    entries = [
        entry for entry in page.pictured_entries if entry.report.model.posterior.n_rows is None
    ]
    if not entries:
        return None
    skipped = [entry.name for entry in page.pictured_entries if entry not in entries]
    skipped_sentence = (
        f"{format_list(skipped)} cannot encode new rows: the posterior has parameters for each "
        "training row."
        if skipped
        else ""
    )
    what = (
        "Held-out images above their reconstructions"
        if page.reference_report.has_pictures
        else "Held-out sequences, and dashed their reconstructions"
        if page.reference_report.spec.kind == "series"
        else "Reconstruction against original"
    )
    caption = f"{what}: the mean of p(x|z) for the encoded original."
    return Section(
        "reconstructions",
        "Reconstructions",
        paragraph(caption, _selection_note(page), skipped_sentence)
        + figure_grid(*(_reconstruction_figure(page, entry) for entry in entries)),
    )


def _reconstruction_figure(page: ComparisonPage, entry: ComparisonEntry) -> str:
    """Held-out data reconstructed by a run."""
    report = entry.report
    count = COMPARISON_IMAGE_PAIRS if report.has_pictures else COMPARISON_SCATTER_ROWS
    rows = report.rows.subset(report.spread_indices(count))
    originals = rows.tensor()
    with seeded_evaluation(report.model, report.seed):
        reconstructed = report.model.reconstruct(originals, rows.context)
    limits = page.reference_report.value_limits
    ax = draw_reconstructions(report, originals, reconstructed, limits)
    alt = f"Held-out data and their reconstructions by {entry.name}."
    figure = page.figures.add_figure(f"reconstructions-{entry.name}", ax, alt)
    return _titled_figure(entry, figure)


def _samples_section(page: ComparisonPage) -> Section | None:
    """Samples of each run."""
    entries = [entry for entry in page.pictured_entries if entry.report.has_samples]
    if not entries:
        return None
    caption = (
        "Means of p(x|z), with z drawn from the prior with one seed."
        if page.reference_report.has_pictures
        else "Held-out rows filled, rows from the model outlined. The histograms of a good model "
        "agree."
    )
    return Section(
        "samples",
        "Samples",
        paragraph(caption, _selection_note(page))
        + figure_grid(*(_sample_figure(page, entry) for entry in entries)),
    )


def _sample_figure(page: ComparisonPage, entry: ComparisonEntry) -> str:
    """Samples of a run."""
    report = entry.report
    if report.has_pictures:
        ax = plots.images(
            report.pictures(draw_samples(report, COMPARISON_SAMPLE_IMAGES, mean=True)),
            limits=page.reference_report.value_limits,
        )
    elif report.spec.kind == "series":
        ax = plots.series(draw_samples(report, MAX_SERIES, mean=False))
    else:
        draws = draw_samples(report, COMPARISON_SAMPLE_ROWS, mean=False)
        data = report.rows[:COMPARISON_DATA_ROWS].cpu()
        ax = plots.samples(draws, draws, data, report.spec.columns)
    figure = page.figures.add_figure(f"samples-{entry.name}", ax, f"Samples of {entry.name}.")
    return _titled_figure(entry, figure)


def _titled_figure(entry: ComparisonEntry, figure: str) -> str:
    """A picture below the name of its run."""
    return f"<div>{paragraph(entry.title)}{figure}</div>"


def _selection_note(page: ComparisonPage) -> str:
    """Which runs have pictures."""
    count = len(page.configurations)
    sentences = []
    if count < len(page.entries):
        sentences.append("One run of each configuration is shown.")
    if count > MAX_PICTURED_RUNS:
        sentences.append(f"The first {MAX_PICTURED_RUNS} of {count}.")
    return " ".join(sentences)


def _runs_section(page: ComparisonPage) -> Section:
    """The parts and the training of each configuration."""
    rows = [(entry.configuration_name, _run_summary(entry)) for entry in page.pictured_entries]
    return Section("runs", "Runs", name_value_table(rows))


def _run_summary(entry: ComparisonEntry) -> str:
    """Parts and training of a run in one line."""
    report = entry.report
    pairs = dict(architecture_pairs(report.model) + training_pairs(report.training, report.history))
    parts = [f"{name}: {pairs[name]}" for name in SUMMARY_KEYS if name in pairs]
    return "; ".join([format_count(count_parameters(report.model), "parameter"), *parts])
