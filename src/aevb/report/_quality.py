"""Numbers on the quality of samples, reconstructions and latent variables."""

from __future__ import annotations

from collections.abc import Iterator

from ..data._formatting import format_count
from ..metrics import Interval, Quality, SampleComparison, TwoSampleTest
from ._html import Section, data_table, note_list, paragraph, use_minus_signs
from ._report_context import ReportContext

QualityRow = tuple[str, str, str, str, str]
"""Name, value, interval, reference, meaning."""

INTERVAL_NOTE = (
    "Intervals contain 95 % of the values that other rows would give: from groups of rows left out "
    "in turn, from random halves of the rows, or by Wilson's score; no row counts twice."
)
TABLE_HEADER = ("", "value", "95 % interval", "training rows", "meaning")


def quality_section(report: ReportContext) -> Section | None:
    """The similarity of samples and data, and the classes in latent space.

    Other data than those of the run have no training rows to compare with; their section has the
    reconstructions alone.
    """
    result = report.quality
    if result is None:
        return None
    body = data_table(TABLE_HEADER, _quality_rows(result, report.data is not None), "numbers")
    if report.data is not None and result.generated is not None:
        notes = note_list(result.generated.frechet_distance.notes)
    else:
        notes = ""
    return Section(
        "quality",
        "Quality of samples",
        paragraph(_comparison_sentence(result, report), INTERVAL_NOTE) + body + notes,
    )


def _comparison_sentence(result: Quality, report: ReportContext) -> str:
    """What is compared with what."""
    rows = format_count(result.n_rows, f"held-out {report.item_noun}")
    if report.data is None or result.generated is None:
        return f"Over {rows}."
    frechet = result.generated.frechet_distance
    return (
        f"{frechet.n_generated:,} samples of the model against {rows}, in {frechet.features}; "
        "the column of training rows has as many training rows in place of the samples."
    )


def _quality_rows(result: Quality, has_training_rows: bool) -> Iterator[QualityRow]:
    """A row for each number."""
    if has_training_rows and result.generated is not None and result.training_baseline is not None:
        yield from _sample_rows(result.generated, result.training_baseline)
    reconstruction = result.reconstruction
    if reconstruction.psnr is None:
        yield _quality_row(
            "squared error",
            reconstruction.squared_error,
            "",
            "of reconstructions, over that of the mean of each column (of its commonest category)",
        )
    else:
        meaning = (
            "of reconstructions, in decibels: 10 log10(range² / squared error), range "
            f"{reconstruction.data_range:g}"
        )
        yield _quality_row("PSNR", reconstruction.psnr, "", meaning)
    if reconstruction.ssim is not None:
        meaning = "structural similarity of reconstructions, 1 at best"
        yield _quality_row("SSIM", reconstruction.ssim, "", meaning)
    separation = result.class_separation
    if has_training_rows and separation is not None:
        chance = f"{separation.chance_level:.3g} by chance"
        yield _quality_row(
            "5-nearest-neighbour accuracy",
            separation.knn_accuracy,
            chance,
            "share of rows whose class the nearest training rows in latent space predict",
        )
        yield _quality_row(
            "… of sampled z",
            separation.knn_accuracy_sampled,
            chance,
            "the same with z drawn from the posterior",
        )


def _sample_rows(samples: SampleComparison, training: SampleComparison) -> Iterator[QualityRow]:
    """The numbers of samples, with those of training rows for reference."""
    frechet, frechet_reference = samples.frechet_distance, training.frechet_distance
    neighbours, reference = samples.precision_recall, training.precision_recall
    rows = (
        (
            "Fréchet distance",
            frechet.distance,
            frechet_reference.distance,
            "between Gaussians fitted to samples and data, 0 at best; too large for few rows",
        ),
        (
            "… bias-corrected",
            frechet.bias_corrected,
            frechet_reference.bias_corrected,
            "without the part of the bias that falls as one over the number of rows",
        ),
        ("precision", neighbours.precision, reference.precision, "share of samples among the data"),
        ("recall", neighbours.recall, reference.recall, "share of data among the samples"),
        (
            "density",
            neighbours.density,
            reference.density,
            "number of data around a sample, 1 as around data",
        ),
        ("coverage", neighbours.coverage, reference.coverage, "share of data with a sample nearby"),
    )
    for name, value, training_value, meaning in rows:
        if value and training_value:
            yield _quality_row(name, value, value.format_number(training_value.value), meaning)
    tests = (
        (samples.classifier_test, training.classifier_test),
        (samples.linear_classifier_test, training.linear_classifier_test),
    )
    for test, usual in tests:
        if test is not None and usual is not None:
            yield _classifier_row(test, usual)


def _classifier_row(test: TwoSampleTest, usual: TwoSampleTest) -> QualityRow:
    """How well a classifier separates samples from data."""
    name = test.classifier.replace("_", " ")
    meaning = (
        f"area under the curve of {name} that separates samples from held-out rows, 0.5 at best; "
        f"its accuracy is {test.accuracy.value:.2f} (p = {test.p_value:.2g})"
    )
    reference = test.auc.format_number(usual.auc.value)
    return _quality_row(f"two-sample test, {name}", test.auc, reference, meaning)


def _quality_row(name: str, value: Interval, reference: str, meaning: str) -> QualityRow:
    """A number with its interval."""
    interval = (
        f"{value.format_number(value.low)}\u00a0to\u00a0{value.format_number(value.high)}"
        if value.is_finite
        else ""
    )
    return (
        name,
        use_minus_signs(value.format_number(value.value)),
        use_minus_signs(interval),
        use_minus_signs(reference),
        meaning,
    )
