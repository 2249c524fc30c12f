"""The page of a comparison: the numbers of several runs, what is noise between them, and what they make of the same data."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from .. import plots
from .._files import write_atomically
from .._persistence import count_parameters, library_versions
from ..data._formatting import format_count, format_list
from ..metrics import Comparison, Estimate, RateDistortion
from ..metrics._blocks import seeded_evaluation
from ..metrics._comparison import QUANTITY_NAMES, Difference, QuantityComparison
from . import _model_summary as parts
from ._figure_set import FigureSet
from ._html import Section, bullets, data_table, figure_grid, name_value_table, paragraph
from ._numbers import format_signed_estimate
from ._page import render_page
from ._report_context import ReportContext

COMPARISON_IMAGE_PAIRS, COMPARISON_SCATTER_ROWS = 10, 300  # images and rows that are reconstructed
COMPARISON_SAMPLE_IMAGES, COMPARISON_SAMPLE_ROWS, COMPARISON_DATA_ROWS = (
    30,
    1000,
    10_000,
)  # images drawn, rows drawn, rows of data beside them
MAX_PICTURED_RUNS = 12  # runs whose pictures are shown
COMPARISON_SUBTITLE = "Variational autoencoders side by side"
COMPARISON_UNITS = "Nats per {one}, ± one standard error over held-out data."
DIFFERENCES_NOTE = (
    "Each less {best}, ± one standard error of the difference. p says how often noise alone makes so much of {what}, corrected for all "
    "pairs; from 0.05 on it is called noise. What is more than noise, in any column, is marked *."
)
FOREST_PLOT_ALT = "The difference of each run to the best one, with error bars."
FOREST_PLOT_CAPTION = "Bars reach two standard errors of the difference to each side, before correction. Grey is noise, red is worse, blue the best."
VALIDATION_CURVES_CAPTION = (
    "The ELBO (of an autoencoder the reconstruction) of each run on its own validation rows while it was trained. "
    "The steep beginning does not set the scale."
)
VERDICT_CELLS = {"best": "best", "noise": "noise", "worse": "worse", "unknown": ""}


@dataclass(frozen=True)
class ComparisonEntry:
    """A run as its page tells it."""

    name: str  # what tables and pictures call it
    configuration_name: (
        str  # that of its configuration where seeds are taken together, its own elsewhere
    )
    differences: str  # in what it differs from the others
    configuration_differences: str  # the same without its seed
    report: ReportContext
    active_units: int | None = None  # latent variables in use
    exclusion_reason: str | None = None  # it is not compared

    @property
    def rate_distortion(self) -> RateDistortion:
        return self.report.metrics.rate_distortion

    @property
    def title(self) -> str:
        return f"{self.name}: {self.differences or self.report.saved_model.path.name}"


@dataclass(frozen=True)
class ComparisonPage:
    """All that the page draws from: runs, what comes of comparing them, and the settings in which they differ, one value for each run."""

    title: str
    entries: Sequence[ComparisonEntry]
    comparison: Comparison
    differing_settings: Sequence[tuple[str, Sequence[str]]]
    rows_sentence: str  # on which rows, in a sentence
    figures: FigureSet = field(default_factory=FigureSet)

    @property
    def pictured_entries(self) -> list[ComparisonEntry]:
        """The runs whose pictures are shown: one of each configuration."""
        return list({entry.configuration_name: entry for entry in reversed(self.entries)}.values())[
            ::-1
        ][:MAX_PICTURED_RUNS]

    @property
    def reference_report(self) -> ReportContext:
        """One of those that are compared."""
        return next(entry.report for entry in self.entries if entry.exclusion_reason is None)


def write_comparison(comparison_page: ComparisonPage, target: Path) -> Path:
    """Write the page, one file with everything in it; returns its path."""
    made = [
        make(comparison_page)
        for make in (
            _numbers_section,
            _differences_section,
            _settings_section,
            _training_section,
            _reconstructions_section,
            _samples_section,
            _runs_section,
        )
    ]
    found = library_versions()
    content = render_page(
        title=comparison_page.title,
        subtitle=COMPARISON_SUBTITLE,
        headline=_use_minus_signs(_headline(comparison_page)),
        cards=[],
        sections=[section for section in made if section is not None],
        footer=f"Measured with aevb {found['aevb']}, torch {found['torch']}, seed {comparison_page.reference_report.seed}. Numbers are of held-out rows.",
    )
    write_atomically(target, content.encode())
    return target


def _headline(comparison_page: ComparisonPage) -> str:
    """The sentence that the page opens with, with what the best one is."""
    if len(comparison_page.comparison.table) < 2:
        return "No two of these runs can be compared: their numbers are not of one thing."
    best = comparison_page.comparison.table[comparison_page.comparison.best_index].name
    about = next(
        entry.configuration_differences
        for entry in comparison_page.entries
        if entry.configuration_name == best
    )
    named = f"{best} ({about})" if about else best
    first, *rest = comparison_page.comparison.conclusions
    return " ".join([named + first.removeprefix(best), *rest])


def _numbers_section(comparison_page: ComparisonPage) -> Section:
    """A line for each run."""
    head = (
        "",
        "log p(x)",
        "ELBO",
        "rate",
        "distortion",
        *(["bits/dim"] if comparison_page.reference_report.spec.discrete else []),
        "latents in use",
    )
    rows = [
        _numbers_row(entry, comparison_page.reference_report.spec.discrete)
        for entry in comparison_page.entries
    ]
    keys = name_value_table(
        (
            entry.name,
            f"{entry.report.saved_model.path}{': ' if entry.differences else ''}{entry.differences}",
        )
        for entry in comparison_page.entries
    )
    said = COMPARISON_UNITS.format(one=comparison_page.reference_report.item_noun)
    return Section(
        "numbers",
        "The numbers",
        keys + paragraph(comparison_page.rows_sentence, said) + data_table(head, rows, "cells"),
    )


def _numbers_row(entry: ComparisonEntry, with_bits: bool) -> list[str]:
    findings, terms = entry.report.metrics, entry.rate_distortion
    weighed = findings.log_likelihood
    best = terms.elbo if weighed is None else weighed.value
    counted = entry.report.spec.discrete
    bits = (
        [_format_estimate(best.bits_per_dimension(entry.report.dimensions), 4) if counted else "–"]
        if with_bits
        else []
    )
    active = (
        "–"
        if entry.active_units is None
        else f"{entry.active_units} of {math.prod(entry.report.model.latent_shape)}"
    )
    numbers = [_format_estimate(value) for value in (terms.elbo, terms.rate, terms.distortion)]
    return [
        entry.name,
        "–" if weighed is None else _format_estimate(weighed.value),
        *numbers,
        *bits,
        active,
    ]


def _differences_section(comparison_page: ComparisonPage) -> Section | None:
    """What each side is less than the best, and whether that is noise."""
    found = comparison_page.comparison
    left_out = [entry for entry in comparison_page.entries if entry.exclusion_reason is not None]
    apart = bullets(
        _use_minus_signs(
            f"{entry.name} ({entry.report.saved_model.path}) is not compared: it {entry.exclusion_reason}."
        )
        for entry in left_out
    )
    if len(found.table) < 2:
        return Section("differences", "The differences", apart) if left_out else None
    names = [side.name for side in found.table]
    picture = comparison_page.figures.add_figure(
        "differences",
        plots.forest_plot(found.primary.differences, names),
        FOREST_PLOT_ALT,
        FOREST_PLOT_CAPTION,
    )
    below = paragraph(
        DIFFERENCES_NOTE.format(
            best=names[found.best_index], what=QUANTITY_NAMES[found.primary.quantity]
        )
    )
    said = bullets(map(_use_minus_signs, found.notes))
    return Section(
        "differences",
        "The differences",
        said + (apart if left_out else "") + picture + below + _differences_table(comparison_page),
    )


def _differences_table(comparison_page: ComparisonPage) -> str:
    """A line of differences for each side; where seeds are taken together their mean, too."""
    found, told = comparison_page.comparison, _comparison_columns(comparison_page)
    means = "seeds" in found.error_source
    head = (
        "",
        "",
        "p",
        *([f"mean {told[0].title}"] if means else []),
        *(each.title for each in told),
    )
    rows = []
    for place, side in enumerate(found.table):
        deciding = found.primary.differences[place]
        own = [_format_estimate(found.primary.values[place])] if means else []
        cells = [_format_difference(each.column.differences[place], each.digits) for each in told]
        rows.append(
            [
                side.name,
                VERDICT_CELLS[found.verdicts[place]],
                "" if deciding is None else _format_p_value(deciding.p_value),
                *own,
                *cells,
            ]
        )
    return data_table(head, rows, "cells")


@dataclass(frozen=True)
class ComparisonColumn:
    """A column as the page has it."""

    title: str
    column: QuantityComparison
    digits: int = 2


def _comparison_columns(comparison_page: ComparisonPage) -> list[ComparisonColumn]:
    """The columns of differences; bits per dimension where data are counted in steps."""
    found, spec = comparison_page.comparison, comparison_page.reference_report.spec
    bits = spec.discrete and found.primary.quantity != "reconstruction"
    nats = [
        ComparisonColumn(QUANTITY_NAMES[column.quantity], column) for column in found.quantities
    ]
    return [
        *nats,
        *(
            [ComparisonColumn("bits/dim", found.primary.to_bits_per_dimension(spec.dimensions), 4)]
            if bits
            else []
        ),
    ]


def _format_difference(difference: Difference | None, digits: int) -> str:
    if difference is None:
        return ""
    return (
        ("+" if difference.value.mean > 0 else "")
        + _format_estimate(difference.value, digits)
        + ("*" if difference.is_significant else "")
    )


def _format_p_value(p_value: float) -> str:
    return "–" if math.isnan(p_value) else "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _settings_section(comparison_page: ComparisonPage) -> Section | None:
    """In what the runs differ."""
    if not comparison_page.differing_settings:
        return Section(
            "settings", "What differs", paragraph("All settings of the runs are the same.")
        )
    head = ("", *(entry.name for entry in comparison_page.entries))
    return Section(
        "settings",
        "What differs",
        data_table(
            head, [(name, *values) for name, values in comparison_page.differing_settings], "cells"
        ),
    )


def _training_section(comparison_page: ComparisonPage) -> Section | None:
    """How validation went."""
    compared = [entry for entry in comparison_page.entries if entry.exclusion_reason is None]
    drawn = [
        entry
        for entry in compared
        if any(epoch.validation is not None for epoch in entry.report.history)
    ]
    if not drawn:
        return None
    ax = plots.validation_curves(
        [entry.report.history for entry in drawn], [entry.configuration_name for entry in drawn]
    )
    seeds = (
        "Seeds of one configuration have one colour."
        if len({entry.configuration_name for entry in drawn}) < len(drawn)
        else ""
    )
    alt = "Validation against epochs, a line for each run."
    return Section(
        "training",
        "Training",
        comparison_page.figures.add_figure(
            "validation", ax, alt, f"{VALIDATION_CURVES_CAPTION} {seeds}".strip()
        ),
    )


def _reconstructions_section(comparison_page: ComparisonPage) -> Section | None:
    """The same held-out data through every run."""
    drawn = [
        entry
        for entry in comparison_page.pictured_entries
        if entry.report.model.posterior.n_rows is None
    ]
    figures = [_reconstruction_figure(comparison_page, entry) for entry in drawn]
    without = [
        entry.name
        for entry in comparison_page.pictured_entries
        if entry.report.model.posterior.n_rows is not None
    ]
    unknown = (
        f"New rows are unknown to {format_list(without)}, which has a code for each training row alone."
        if without
        else ""
    )
    how = (
        "Held-out images above, below each its reconstruction"
        if comparison_page.reference_report.spec.image
        else "Originals across, reconstructions upwards"
    )
    said = f"{how}: the mean of p(x|z) at the code of the original."
    return (
        Section(
            "reconstructions",
            "Reconstructions",
            paragraph(said, _selection_note(comparison_page), unknown) + figure_grid(*figures),
        )
        if figures
        else None
    )


def _reconstruction_figure(comparison_page: ComparisonPage, entry: ComparisonEntry) -> str:
    story = entry.report
    rows = story.rows.subset(
        story.spread_indices(
            COMPARISON_IMAGE_PAIRS if story.spec.image else COMPARISON_SCATTER_ROWS
        )
    )
    originals = rows.tensor()
    with seeded_evaluation(story.model, story.seed):
        made = story.model.reconstruct(originals, rows.context)
    ax = plots.reconstructions(
        originals, made, story.spec.columns, limits=comparison_page.reference_report.value_limits
    )
    return _titled_figure(
        entry,
        comparison_page.figures.add_figure(
            f"reconstructions-{entry.name}",
            ax,
            f"Held-out data and what {entry.name} makes of them.",
        ),
    )


def _samples_section(comparison_page: ComparisonPage) -> Section | None:
    """What each run makes up."""
    drawn = [
        entry
        for entry in comparison_page.pictured_entries
        if entry.report.model.posterior.has_density or "prior" in entry.report.saved_model.training
    ]
    figures = [_sample_figure(comparison_page, entry) for entry in drawn]
    image = "Means of p(x|z), with z drawn from the prior by the same seed."
    rows = "Held-out rows filled, rows drawn from the model outlined; the closer, the better."
    said = paragraph(
        image if comparison_page.reference_report.spec.image else rows,
        _selection_note(comparison_page),
    )
    return Section("samples", "Samples", said + figure_grid(*figures)) if figures else None


def _sample_figure(comparison_page: ComparisonPage, entry: ComparisonEntry) -> str:
    story, alt = entry.report, f"Data that {entry.name} made up."
    if story.spec.image:
        ax = plots.images(
            _draw_samples(story, COMPARISON_SAMPLE_IMAGES, mean=True),
            limits=comparison_page.reference_report.value_limits,
        )
    else:
        ax = plots.samples(
            made := _draw_samples(story, COMPARISON_SAMPLE_ROWS, mean=False),
            made,
            story.rows[:COMPARISON_DATA_ROWS].cpu(),
            story.spec.columns,
        )
    return _titled_figure(
        entry, comparison_page.figures.add_figure(f"samples-{entry.name}", ax, alt)
    )


def _titled_figure(entry: ComparisonEntry, figure: str) -> str:
    """A picture below the name of its run: beside others there is no room for a caption at its side."""
    return f"<div>{paragraph(entry.title)}{figure}</div>"


def _draw_samples(report: ReportContext, n: int, mean: bool) -> Tensor:
    """Draws, told what held-out rows evenly spread were, where the model is told something."""
    context = report.rows.context
    told = (
        None if context is None else context[[place * len(report.rows) // n for place in range(n)]]
    )
    with seeded_evaluation(report.model, report.seed):
        return report.model.sample(n, told, mean=mean).cpu()


def _selection_note(comparison_page: ComparisonPage) -> str:
    several = len({entry.configuration_name for entry in comparison_page.entries})
    one = (
        "One run of each configuration is shown." if several < len(comparison_page.entries) else ""
    )
    return one + (
        f" The first {MAX_PICTURED_RUNS} of {several}." if several > MAX_PICTURED_RUNS else ""
    )


def _runs_section(comparison_page: ComparisonPage) -> Section:
    """What each configuration is made of, and how a run of it was trained."""
    listed = [
        (entry.configuration_name, _run_summary(entry))
        for entry in comparison_page.pictured_entries
    ]
    return Section("runs", "The runs", name_value_table(listed))


def _run_summary(entry: ComparisonEntry) -> str:
    known = dict(
        parts.architecture_pairs(entry.report.model)
        + parts.training_pairs(entry.report.saved_model.training, entry.report.history)
    )
    said = [
        f"{name}: {known[name]}"
        for name in ("prior", "posterior", "likelihood", "objective", "gradient", "epochs")
        if name in known
    ]
    return "; ".join([format_count(count_parameters(entry.report.model), "parameter"), *said])


def _format_estimate(value: Estimate, digits: int = 2) -> str:
    return "–" if math.isnan(value.mean) else format_signed_estimate(value, digits)


def _use_minus_signs(text: str) -> str:
    """Numbers with a minus sign that does not break from them; names keep their hyphens.

    >>> _minus("digits-1 has -3.2 (-4)")
    'digits-1 has −3.2 (−4)'
    """
    return re.sub(r"(?<![\w-])-(?=\d)", "−", text)
