"""Samples, reconstructions and codes in numbers."""

from __future__ import annotations

from ..data._formatting import format_count
from ..metrics._intervals import Interval
from ..metrics._quality import Quality, SampleComparison, quality
from ._html import Section, data_table, paragraph
from ._report_context import ReportContext

MAX_QUALITY_ROWS = 1000  # held-out rows that samples are compared with
QualityRow = tuple[
    str, str, str, str, str
]  # name, value, interval, what training rows get, meaning

INTERVAL_NOTE = (
    "Intervals hold 95 % of the values that other rows would give: by leaving out groups of rows in turn, from random halves of the rows, "
    "or by Wilson's score; no row is counted twice. `aevb quality` says more."
)


def quality_section(report: ReportContext) -> Section | None:
    """How close samples and reconstructions come to data, and what codes tell of classes."""
    if len(report.rows) < 2:
        return None
    rows = report.rows.subset(slice(MAX_QUALITY_ROWS))
    found = quality(
        report.model, report.data.train, rows, report.spec, full=False, seed=report.seed
    )
    return Section(
        "quality",
        "Samples and codes in numbers",
        paragraph(_features_note(found, report), INTERVAL_NOTE)
        + data_table(_QUALITY_HEADER, _quality_rows(found), "numbers"),
    )


_QUALITY_HEADER = ("", "value", "95 % interval", "training rows", "what it means")


def _features_note(result: Quality, report: ReportContext) -> str:
    if result.samples is None:
        return f"Of {format_count(result.n_rows, 'held-out ' + report.item_noun)}."
    frechet = result.samples.frechet
    return (
        f"{frechet.n_generated:,} draws from the model against {format_count(result.n_rows, 'held-out ' + report.item_noun)}, in {frechet.features}; "
        f"beside them as many training rows. {' '.join(frechet.notes)}"
    )


def _quality_rows(result: Quality) -> list[QualityRow]:
    made = result.reconstruction
    rows = (
        []
        if result.samples is None or result.training_baseline is None
        else _sample_rows(result.samples, result.training_baseline)
    )
    if made.psnr is None:
        rows.append(
            _quality_row(
                "squared error",
                made.squared_error,
                "",
                "of reconstructions, in units of what the columns' means leave",
            )
        )
    else:
        means = f"of reconstructions, in decibels: 10 log10(range² / squared error), range {made.data_range:g}"
        rows.append(_quality_row("PSNR", made.psnr, "", means))
    if made.ssim is not None:
        rows.append(
            _quality_row("SSIM", made.ssim, "", "of reconstructions: structure kept, 1 at best")
        )
    if result.separation is not None:
        chance = f"{result.separation.chance_level:.3g} by chance"
        rows.append(
            _quality_row(
                "5 neighbours",
                result.separation.neighbour_accuracy,
                chance,
                "share of codes whose class their nearest codes of training rows name",
            )
        )
        rows.append(
            _quality_row(
                "… of drawn codes",
                result.separation.sampled_neighbour_accuracy,
                chance,
                "the same with the noise of the posterior",
            )
        )
    return rows


def _sample_rows(samples: SampleComparison, training: SampleComparison) -> list[QualityRow]:
    pairs = (
        (
            "Frechet distance",
            samples.frechet.distance,
            training.frechet.distance,
            "of Gaussians around both clouds, 0 at best; too large with few rows",
        ),
        (
            "… without that bias",
            samples.frechet.bias_corrected,
            training.frechet.bias_corrected,
            "the part that falls as one over the rows taken off",
        ),
        (
            "precision",
            samples.precision_recall.precision,
            training.precision_recall.precision,
            "share of samples among data",
        ),
        (
            "recall",
            samples.precision_recall.recall,
            training.precision_recall.recall,
            "share of data among samples",
        ),
        (
            "density",
            samples.precision_recall.density,
            training.precision_recall.density,
            "how many data lie around a sample, 1 as around data",
        ),
        (
            "coverage",
            samples.precision_recall.coverage,
            training.precision_recall.coverage,
            "share of data with a sample nearby",
        ),
    )
    return [
        _quality_row(name, value, _use_minus_signs(value.format_number(beside.value)), means)
        for name, value, beside, means in pairs
        if value and beside
    ]


def _quality_row(name: str, value: Interval, reference: str, meaning: str) -> QualityRow:
    between = (
        f"{value.format_number(value.low)} to {value.format_number(value.high)}"
        if value.is_finite
        else ""
    )
    return (
        name,
        _use_minus_signs(value.format_number(value.value)),
        _use_minus_signs(between),
        reference,
        meaning,
    )


def _use_minus_signs(figures: str) -> str:
    return figures.replace("-", "−")
