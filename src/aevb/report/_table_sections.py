"""Sections on tables of mixed columns: schema, samples, associations, privacy and calibration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import plots
from ..data import Schema
from ..data._decode_frame import decode_numbers, dtype_of_column
from ..data._formatting import format_count
from ..errors import IncompatibleError
from ..inference import explain
from ..inference._batches import seeded_evaluation
from ..metrics import (
    AssociationComparison,
    ClosestRecords,
    HiddenCells,
    Interval,
    MarginalComparison,
    MembershipAttack,
)
from ..notes import visible_text
from ..plots._columns import MAX_COLUMN_PANELS
from ..plots._tables import MAX_MIXED_PANELS
from ._html import Section, data_table, note_list, paragraph, use_minus_signs
from ._report_context import ReportContext

MAX_DRAWN_ROWS = 5000
"""Rows of each set in the pictures of columns."""

MAX_LISTED_COLUMNS = 40
"""Columns in a table of numbers; those that matter most come first."""

N_LISTED_ROWS = 8
"""Rows in a table of rows."""

MAX_ROW_COLUMNS = 12
"""Columns of a table of rows."""

EXPLANATION_SAMPLES = 500
N_REASONS = 3

KIND_TEXTS = {"kolmogorov_smirnov": "Kolmogorov-Smirnov", "total_variation": "total variation"}
ASSOCIATION_TEXTS = {
    "spearman": "Spearman",
    "cramers_v": "Cramér's V",
    "correlation_ratio": "correlation ratio",
}


def schema_section(report: ReportContext) -> Section | None:
    """What each column holds, and why."""
    schema = report.spec.schema
    if schema is None:
        return None
    rows = [
        (
            row.name,
            row.kind,
            row.likelihood.replace("_", " ") or "set aside",
            f"{row.missing:.1%}" if row.missing else "",
            row.why,
        )
        for row in schema.table()
    ]
    sentence = (
        f"{format_count(len(schema.columns), 'column')} as learned from "
        f"{format_count(schema.rows, 'row')}. The kind of a column decides its likelihood, and "
        "with it which values samples can have."
    )
    header = ("column", "kind", "likelihood", "missing", "why")
    return Section(
        "schema",
        "Schema",
        paragraph(sentence) + data_table(header, rows, "listing") + note_list(schema.notes),
    )


def table_reconstructions_section(
    report: ReportContext, originals: Tensor, decoded: Tensor
) -> Section:
    """Numbers against their reconstructions, and the share of categories that are right.

    Args:
        report: The context.
        originals: Encoded held-out rows.
        decoded: Their reconstructions.
    """
    schema = _schema(report)
    decoded = legal_cells(schema, decoded, report.seed)
    columns = list(enumerate(schema.modelled))
    numbers = [i for i, column in columns if not column.n_levels and not column.unit]
    listed = [
        _accuracy_row(column.name, originals[:, i], decoded[:, i])
        for i, column in columns
        if column.n_levels
    ]
    figure = _scatter_figure(report, schema, originals, decoded, numbers) if numbers else ""
    table = data_table(("", "right", "commonest value"), listed[:MAX_LISTED_COLUMNS], "listing")
    sentence = "Share of the categories and ordered values that are reconstructed:"
    return Section(
        "reconstructions",
        "Reconstructions",
        figure + (paragraph(sentence) + table if listed else ""),
    )


def _scatter_figure(
    report: ReportContext, schema: Schema, originals: Tensor, decoded: Tensor, places: Sequence[int]
) -> str:
    """Columns of numbers, reconstruction against original."""
    x, y = (_data_values(schema, cells, places) for cells in (originals, decoded))
    shown = format_count(min(len(places), MAX_COLUMN_PANELS), "column")
    return report.figures.add_figure(
        "reconstructions",
        plots.reconstructions(x, y, [schema.modelled[i].name for i in places]),
        "A scatter plot per column of numbers, reconstruction against original.",
        f"{shown} of numbers in {len(originals):,} held-out rows: reconstruction, the point value "
        "of p(x|z) for the encoded original, against original. The line is equality.",
    )


def _accuracy_row(name: str, truth: Tensor, found: Tensor) -> tuple[str, str, str]:
    """The share of codes that are right, and that of the commonest code."""
    known = ~truth.isnan()
    truth, found = truth[known], found[known]
    if not len(truth):
        return name, "no cells", ""
    shares = ((truth == each).double().mean().item() for each in (found, truth.mode().values))
    right, commonest = (f"{share:.0%}" for share in shares)
    return name, right, commonest


def _data_values(schema: Schema, cells: Tensor, places: Sequence[int]) -> np.ndarray:
    """Columns of numbers in data units, ``[N, K]``."""
    columns = [schema.modelled[place] for place in places]
    return np.stack(
        [
            decode_numbers(column, cells[:, place].numpy(), dtype_of_column(column))
            for place, column in zip(places, columns, strict=True)
        ],
        1,
    )


def table_samples_section(report: ReportContext) -> Section:
    """The columns of generated rows next to those of real rows, and some generated rows."""
    schema = _schema(report)
    draws = draw_cells(report, MAX_DRAWN_ROWS)
    is_own = report.data is not None
    real = (report.data.train if report.data is not None else report.rows)[:MAX_DRAWN_ROWS]
    kind = "training" if is_own else "held-out"
    quality = report.quality
    marginals = quality and quality.generated and quality.generated.marginals
    order = list(range(len(schema.modelled)))
    if marginals is not None:
        distances = [column.largest for column in marginals.columns]
        order.sort(key=lambda place: -distances[place])
    ax = plots.column_marginals(
        real.cpu()[:, order], draws[:, order], [schema.modelled[place] for place in order]
    )
    more = len(order) - MAX_MIXED_PANELS
    first = f"The {MAX_MIXED_PANELS} columns that differ most" if more > 0 else "All columns"
    caption = (
        f"{first}, the worst first: {len(real):,} {kind} rows filled, {len(draws):,} rows from the "
        "model outlined. Heights are shares of the observed cells. Dots are repeated values, which "
        "the histograms leave out; the outermost bins hold everything beyond them."
    )
    figure = report.figures.add_figure(
        "samples", ax, f"A panel per column, of {kind} rows and of generated rows.", caption
    )
    return Section(
        "samples", "Samples", figure + _marginals_table(report) + _generated_rows(schema, draws)
    )


def _marginals_table(report: ReportContext) -> str:
    """Distances of the columns, the largest first."""
    quality = report.quality
    if quality is None or quality.generated is None or quality.training_baseline is None:
        return ""
    found, reference = quality.generated.marginals, quality.training_baseline.marginals
    if found is None or reference is None:
        return ""
    header = ("", "distance", "training rows", "which", "repeated values", "missing")
    rows = list(_marginal_rows(found, reference))
    used = [place for place, name in enumerate(header) if not name or any(r[place] for r in rows)]
    header, *rows = ([line[place] for place in used] for line in (header, *rows))
    return paragraph(_marginals_sentence(found, reference)) + data_table(header, rows, "listing")


def _marginals_sentence(found: MarginalComparison, reference: MarginalComparison) -> str:
    """What the distances are."""
    means = [
        f"{each.mean_distance:.3f}" for each in (found, reference) if each.mean_distance is not None
    ]
    average = f" On average they are {means[0]} and {means[1]}." if len(means) == 2 else ""
    return (
        f"Distances, from 0 to 1, of {found.n_synthetic:,} samples from "
        f"{found.n_real:,} held-out rows, and of training rows from these: no model can be much "
        f"closer.{average}"
    )


def _marginal_rows(
    found: MarginalComparison, reference: MarginalComparison
) -> Iterator[tuple[str, ...]]:
    """A row for each column."""
    by_name = {column.name: column for column in reference.columns}
    for column in found.worst_first[:MAX_LISTED_COLUMNS]:
        yield (
            column.name,
            _distance(column.distance),
            _distance(by_name[column.name].distance),
            KIND_TEXTS[column.statistic],
            "" if column.atoms is None else _distance(column.atoms),
            f"{column.missing_real:.1%}" if column.missing_real else "",
        )


def _distance(value: float | None) -> str:
    """A distance in three digits."""
    return "no cells" if value is None else f"{value:.3f}"


def _generated_rows(schema: Schema, draws: Tensor) -> str:
    """The first generated rows as the user gets them."""
    return paragraph(f"{N_LISTED_ROWS} generated rows:") + rows_table(
        schema, draws[:N_LISTED_ROWS], [str(i) for i in range(1, N_LISTED_ROWS + 1)]
    )


def rows_table(schema: Schema, cells: Tensor, names: Sequence[str]) -> str:
    """Encoded rows as a table of values."""
    values = decoded_texts(schema, cells)
    shown = list(values)[:MAX_ROW_COLUMNS]
    rows = [(name, *(values[column][row] for column in shown)) for row, name in enumerate(names)]
    left_out = len(values) - len(shown)
    more = paragraph(f"{format_count(left_out, 'further column')} not shown.") if left_out else ""
    return data_table(("", *shown), rows, "cells") + more


def decoded_texts(schema: Schema, cells: Tensor) -> dict[str, list[str]]:
    """The modelled columns of encoded rows as texts."""
    frame = schema.decode(cells)
    return {
        column.name: [_cell_text(value) for value in frame[column.name].to_list()]
        for column in schema.modelled
    }


def _cell_text(value: Any) -> str:
    """A value of a cell in a table; empty where it is missing."""
    if value is None or value != value:
        return ""
    text = f"{value:.5g}" if isinstance(value, float) else visible_text(value)
    return use_minus_signs(text if len(text) <= 24 else text[:23] + "…")


def associations_section(report: ReportContext) -> Section | None:
    """Associations of real and generated rows, and the pairs that differ most."""
    quality = report.quality
    found = quality and quality.generated and quality.generated.associations
    usual = quality and quality.training_baseline and quality.training_baseline.associations
    if found is None or len(found.names) < 2:
        return None
    figure = report.figures.add_figure(
        "associations",
        plots.associations(found.real, found.synthetic, found.names),
        "Matrices of associations of held-out rows, of generated rows, and their difference.",
        _associations_caption(found, usual),
    )
    rows = [
        (
            f"{each.columns[0]}, {each.columns[1]}",
            use_minus_signs(f"{each.real:.2f}"),
            use_minus_signs(f"{each.synthetic:.2f}"),
            ASSOCIATION_TEXTS[each.statistic],
        )
        for each in found.largest
    ]
    table = data_table(("", "held-out rows", "samples", "which"), rows, "listing")
    return Section("associations", "Associations", figure + table)


def _associations_caption(found: AssociationComparison, usual: AssociationComparison | None) -> str:
    """Which associations these are, and their mean difference."""
    sentence = (
        "Held-out rows and samples. Two columns of numbers: Spearman's correlation; two of "
        "categories: Cramér's V; one of each: the correlation ratio of ranks."
    )
    if found.mean_difference is None:
        return sentence
    reference = (
        f", those of training rows by {usual.mean_difference:.3f}"
        if usual is not None and usual.mean_difference is not None
        else ""
    )
    left_out = f" {found.n_left_out:,} further columns are left out." if found.n_left_out else ""
    return (
        f"{sentence} Those of samples differ by {found.mean_difference:.3f} on average{reference}."
        f"{left_out}"
    )


def privacy_section(report: ReportContext) -> Section | None:
    """How close generated rows are to training rows."""
    quality = report.quality
    rows: list[tuple[str, str, str, str]] = []
    if quality is not None and quality.closest_records is not None:
        rows += _privacy_rows(quality.closest_records)
    if quality is not None and quality.membership is not None:
        rows.append(_membership_row(quality.membership))
    if not rows:
        return None
    sentence = (
        "Whether samples repeat training rows. The distance of two rows is the mean over columns "
        "of differences, each between 0 and 1 (Gower): of numbers over their range, of categories "
        "0 or 1. Whether log p(x) tells training rows from held-out rows. These numbers are signs; "
        "they prove no privacy."
    )
    header = ("", "samples", "held-out rows", "meaning")
    return Section("privacy", "Privacy", paragraph(sentence) + data_table(header, rows, "listing"))


def _privacy_rows(found: ClosestRecords) -> Iterator[tuple[str, str, str, str]]:
    """Distances and copies."""
    yield (
        "closest record, median",
        f"{found.synthetic.median:.4f}",
        f"{found.held_out.median:.4f}",
        f"half of the rows are closer to one of {found.n_train:,} training rows",
    )
    yield (
        "closest record, 5 %",
        f"{found.synthetic.low:.4f}",
        f"{found.held_out.low:.4f}",
        "a twentieth of the rows is closer; much smaller than for held-out rows: copies with small "
        "changes",
    )
    yield (
        "closer to training",
        _with_interval(found.closer_to_training),
        "0.5",
        "share of samples that are closer to a training row than to any of as many held-out rows",
    )
    yield (
        "exact copies",
        _with_interval(found.copies),
        _with_interval(found.duplicates),
        "share of rows that equal a training row in every column",
    )


def _membership_row(found: MembershipAttack) -> tuple[str, str, str, str]:
    """The attack by log p(x)."""
    meaning = (
        "how often a training row is likelier than a held-out row: 0.5 tells nothing; above 0.6 "
        "the model knows its training rows"
    )
    return "membership attack", _with_interval(found.auc), "0.5", meaning


def _with_interval(value: Interval) -> str:
    """A share with its interval."""
    return str(value).replace(" to ", "\u00a0to\u00a0")


def calibration_section(report: ReportContext) -> Section | None:
    """Coverage of the intervals of cells that were hidden on purpose."""
    found = report.quality and report.quality.hidden_cells
    if found is None:
        return None
    rows = sorted(found.columns, key=lambda column: column.coverage.value)[:MAX_LISTED_COLUMNS]
    table = data_table(
        ("", "coverage", "hidden cells", "error", "kind"),
        [
            (
                column.name,
                _with_interval(column.coverage),
                f"{column.n_cells:,}",
                ""
                if column.relative_error != column.relative_error
                else f"{column.relative_error:.2f}",
                column.kind,
            )
            for column in rows
        ],
        "listing",
    )
    return Section("calibration", "Calibration", paragraph(*_calibration_text(found)) + table)


def _calibration_text(found: HiddenCells) -> Iterator[str]:
    """What was hidden, and how many cells were covered."""
    yield (
        f"{found.hidden_share:.0%} of the cells of {format_count(found.n_rows, 'held-out row')} "
        "were hidden and imputed."
    )
    kinds = (("numbers", found.numbers), ("categories", found.categories))
    for name, value in kinds:
        if value is not None:
            yield f"Of the {name}, {value.value:.0%} lie in their {found.level:.0%} " + (
                "intervals." if name == "numbers" else "sets."
            )
    yield (
        "Sets and intervals of few values cover more, because no smaller ones reach "
        f"{found.level:.0%}. The error is that of the imputed value over that of the column's mean "
        "or commonest value: 1 is no information."
    )


def unlikely_rows_section(report: ReportContext) -> Section | None:
    """The held-out rows with the lowest log-likelihood, and the cells that make them unlikely."""
    schema, estimate = report.spec.schema, report.evaluation.log_likelihood
    if schema is None or estimate is None:
        return None
    scores = estimate.per_datum
    places = scores.argsort()[:N_LISTED_ROWS].cpu()
    rows = report.rows.subset(places)
    try:
        found = explain(
            report.model, rows, EXPLANATION_SAMPLES, context=rows.context, seed=report.seed
        )
    except IncompatibleError:
        return None
    values = decoded_texts(schema, rows.tensor().cpu())
    surprise, top = found.surprise.cpu(), found.top(N_REASONS).cpu()
    listed = [
        (
            f"row {place}",
            f"{scores[place].item():,.1f}".replace("-", "−"),
            _reasons(schema, values, surprise[row], top[row].tolist(), row),
        )
        for row, place in enumerate(places.tolist())
    ]
    median = f"{scores.median().item():,.1f}".replace("-", "−")
    sentence = (
        "The rows that are least probable under the model, counted from 0 among the rows that were "
        "evaluated, and their cells that the other cells predict worst. In brackets: how many nats "
        f"less likely the cell is than a usual one. The median of log p(x) is {median}."
    )
    return Section(
        "unlikely",
        "Least likely rows",
        paragraph(sentence) + data_table(("", "log p(x)", "because of"), listed, "numbers"),
    )


def _reasons(
    schema: Schema, values: dict[str, list[str]], surprise: Tensor, top: Iterable[int], row: int
) -> str:
    """The cells with the largest surprise."""
    names = [schema.modelled[place].name for place in top if surprise[place] > 0]
    parts = [
        f"{name} = {values[name][row] or 'missing'} ({surprise[place].item():.1f})"
        for name, place in zip(names, top, strict=False)
    ]
    return "; ".join(parts)


def draw_cells(report: ReportContext, n: int) -> Tensor:
    """Encoded rows drawn from the model, with values that the columns can hold."""
    context = report.rows.context
    if context is not None:
        context = context[torch.arange(n) % len(report.rows)]
    schema = _schema(report)
    with seeded_evaluation(report.model, report.seed):
        drawn = report.model.sample(n, context).cpu()
    return legal_cells(schema, drawn, report.seed)


def legal_cells(schema: Schema, cells: Tensor, seed: int) -> Tensor:
    """Encoded cells with the nearest values that their columns can hold."""
    return schema.encode(schema.decode(cells.cpu(), seed=seed)).tensor()


def _schema(report: ReportContext) -> Schema:
    """The schema of a table of mixed columns."""
    assert report.spec.schema is not None
    return report.spec.schema
