"""Checks of the data: duplicates across the split, order in time, drift."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..._registry import register
from ...data._fingerprints import find_duplicates, row_hashes, same_storage
from ...data._formatting import format_count, format_list
from ...data._missing_codes import MISSING_CODE_NOTE
from ...data._temporal_order import measure_temporal_order
from ...notes import Argument, message
from ._check import CheckRegistration
from ._context import DiagnosticContext
from ._diagnosis import CheckResult, Finding


@register(CheckRegistration(name="duplicate_rows", title="Rows on both sides", order=-1))
def _duplicate_rows(context: DiagnosticContext) -> CheckResult | None:
    """Check for held-out rows that are training rows, more often than these repeat each other."""
    rows, train = context.all_rows
    if train is None:
        return None
    hashes = row_hashes(train, same_storage(rows, train))
    across = find_duplicates(rows, train).double().mean().item()
    _, repeats = hashes.unique(return_counts=True)
    within = (repeats[repeats > 1].sum() / len(hashes)).item()
    # of independent rows, as many have a duplicate across the split as within the training rows
    noise = math.sqrt(within * (1 - within) / len(rows))
    limits, finding = context.thresholds, None
    if across - within > max(limits.duplicate_share, limits.standard_errors * noise):
        finding = Finding(
            "duplicates_across_split",
            "Rows on both sides of the split",
            f"{across:.1%} of the {len(rows):,} rows are training rows, too; {within:.1%} of the "
            "training rows occur more than once.",
            "Their numbers are those of rows that the model has seen, and too good.",
            "Keep all copies of a row on one side: remove them before the split, or from the "
            "held-out rows.",
        )
    elif within >= limits.repeated_row_share and context.model.likelihood.measure != "probability":
        finding = Finding(
            "repeated_rows",
            "Repeated rows",
            f"{within:.1%} of the training rows occur more than once.",
            "The model learns these rows by heart, and held-out rows are among them: their numbers "
            "are too good, and training is restless at any learning rate.",
            "Keep each row once, with its number as a column where it matters.",
        )
    return CheckResult(
        "rows that are training rows, too",
        f"{across:.1%}",
        finding,
        {"duplicates": across, "repeats": within},
    )


@register(CheckRegistration(name="missing_codes", title="Codes for missing values", order=1))
def _missing_codes(context: DiagnosticContext) -> CheckResult | None:
    """Check for a number that likely stands for missing values, as reading the table noticed."""
    notes = () if context.spec is None else context.spec.notes
    note = next((note for note in notes if note.code == MISSING_CODE_NOTE), None)
    if note is None:
        return None
    columns = note.data["columns"]
    shares = {
        name: sum(code["count"] for code in codes) / note.data["rows"]
        for name, codes in columns.items()
    }
    finding = Finding(
        "missing_codes",
        "Numbers that likely stand for missing values",
        note.message,
        "The model learns them as values, and they dominate the scale of their columns and every "
        "number of the evaluation.",
        "Declare them and train again, or keep them if they are values.",
    )
    return CheckResult(
        "columns with likely codes for missing values",
        format_list(f"{name} ({share:.0%} of the rows)" for name, share in shares.items()),
        finding,
        {"columns": columns},
    )


@register(CheckRegistration(name="row_order", title="Order in time", order=80))
def _row_order(context: DiagnosticContext) -> CheckResult | None:
    """Check whether consecutive rows are alike."""
    rows = context.all_rows[0]
    ratio = None if context.spec is None else context.spec.temporal_order
    if ratio is not None:
        finding = Finding(
            "temporal_order_split_at_random",
            "Ordered rows, split at random",
            f"In the order in which they were read, consecutive rows differ {ratio:.2f} times as "
            "much as any two rows.",
            "They are not independent draws, and held-out rows have near-duplicates among the "
            "training rows: their numbers are too good.",
            message("Split by time, {order}.", order=Argument("order", "time")),
        )
        return CheckResult(
            "difference of neighbours, as read",
            f"{ratio:.2f} times that of any two",
            finding,
            {"temporal_order": ratio},
        )
    order = measure_temporal_order(len(rows), lambda index: rows[index].cpu().numpy())
    if order is None:
        return None
    ratio, finding = order.von_neumann_ratio, None
    if order.is_ordered:
        finding = Finding(
            "rows_in_order_of_time",
            "Rows in order of time",
            f"Consecutive rows differ {ratio:.2f} times as much as any two rows, and less the "
            "closer they are.",
            "They are not independent draws: there are effectively fewer rows, and standard errors "
            "are too small.",
            "Read standard errors as lower limits, or evaluate every tenth row.",
        )
    return CheckResult(
        "difference of neighbouring rows",
        f"{ratio:.2f} times that of any two",
        finding,
        {"temporal_order": ratio},
    )


@register(CheckRegistration(name="distribution_drift", title="Drift", order=2))
def _distribution_drift(context: DiagnosticContext) -> CheckResult | None:
    """Test for drift from the training rows, by Kolmogorov-Smirnov tests.

    Every latent variable and every column is tested, with Bonferroni's correction. The ELBO of
    rows is compared with that of other held-out rows: training rows have a better ELBO than any.
    """
    train, limits = context.train, context.thresholds
    if train is None or min(len(context.rows), len(train)) < limits.min_rows:
        return None
    latents = _largest_column_drift(
        _latent_columns(context.posterior_means),
        _latent_columns(context.train_posterior_means),
        limits.drift_p_value,
    )
    columns = _largest_column_drift(
        _table_columns(context), _table_columns(context, training=True), limits.drift_p_value
    )
    distance = _elbo_distance(context)
    signs, numbers = [], {}
    if columns is not None:
        numbers["columns_p"] = columns.p_value
        if columns.p_value < limits.drift_p_value:
            signs.append(
                f"values of {_column_names(context, columns.columns)} are not distributed as in "
                f"the training rows, p = {columns.p_value:.1g}"
            )
    if latents is not None:
        numbers["latents_p"] = latents.p_value
        if latents.p_value < limits.drift_p_value:
            signs.append(_latent_drift_text(latents, first=not signs))
    if distance is not None:
        numbers["elbo_distance"] = distance
        p = kolmogorov_smirnov_p_value(distance, len(context.rows), len(context.reference or ()))
        if distance > limits.elbo_distance and p < limits.drift_p_value:
            signs.append(
                "the distributions of their ELBO and of that of other held-out rows are "
                f"{distance:.2f} apart, where 1 is the most"
            )
    parts = [
        f"{name} p = {drift.p_value:.2g}"
        for name, drift in (("latents", latents), ("columns", columns))
        if drift is not None
    ]
    parts += [] if distance is None else [f"ELBO {distance:.2f} apart"]
    if not parts:
        return None
    finding = None
    if signs:
        finding = Finding(
            "drift",
            "Drift",
            f"{format_count(len(context.rows), 'row')}: {'; '.join(signs)}.",
            "The rows come from another distribution than the training rows; no number of the "
            "model holds for them.",
            "Find out what changed between the two sets; train on rows like these, too, if such "
            "rows are to be expected.",
        )
    return CheckResult("drift from the training rows", ", ".join(parts), finding, numbers)


@dataclass(frozen=True)
class ColumnDrift:
    """The columns whose distributions differ most.

    Args:
        p_value: That of the most different column, corrected for the number of columns.
        columns: Columns that are significant on their own, the most different first; at least one.
    """

    p_value: float
    columns: list[int]


def _largest_column_drift(
    columns: Sequence[Tensor], train_columns: Sequence[Tensor], significance: float
) -> ColumnDrift | None:
    """The columns with the least p-value against those of the training rows."""
    if not columns:
        return None
    found = [
        _column_p_value(a, b, len(columns)) for a, b in zip(columns, train_columns, strict=True)
    ]
    ranked = sorted(range(len(found)), key=lambda column: found[column])
    p_values = [found[column][0] for column in ranked]
    different = [column for column, p in zip(ranked, p_values, strict=True) if p < significance]
    return ColumnDrift(p_values[0], different or ranked[:1])


def _column_p_value(a: Tensor, b: Tensor, n_columns: int) -> tuple[float, float]:
    """The p-value of a column, corrected for their number, and the negative distance."""
    if not len(a) or not len(b):
        return 1.0, 0.0
    distance = kolmogorov_smirnov_distance(a, b)
    p_value = kolmogorov_smirnov_p_value(distance, len(a), len(b))
    return min(1.0, n_columns * p_value), -distance


def _latent_drift_text(drift: ColumnDrift, first: bool) -> str:
    """The drift of the latents in words, as a first or as a further sign."""
    variable = f"most of all latent variable {drift.columns[0] + 1}"
    if not first:
        return f"nor are their latents, {variable}"
    return (
        f"their latents are not distributed as in the training rows, p = {drift.p_value:.1g}, "
        f"{variable}"
    )


def _column_names(context: DiagnosticContext, columns: Sequence[int]) -> str:
    """The columns by name."""
    names = None if context.spec is None else context.spec.columns
    return format_list(
        [names[column] if names else f"column {column + 1}" for column in columns], limit=3
    )


def _latent_columns(z: Tensor | None) -> Sequence[Tensor]:
    """The values of each latent variable, ``[N]``."""
    return () if z is None else z.flatten(1).T.unbind()


def _table_columns(context: DiagnosticContext, training: bool = False) -> Sequence[Tensor]:
    """The observed values of each column of a table; empty for images and series."""
    shape = context.model.event_shape
    if len(shape) != 1 or shape[0] > context.thresholds.max_tested_columns:
        return ()
    part = context.fitted_rows if training else context.rows
    columns = context.batch(len(part), part).x.cpu().T.unbind()
    return tuple(column[~column.isnan()] for column in columns)


def _elbo_distance(context: DiagnosticContext) -> float | None:
    """Kolmogorov-Smirnov distance of the ELBO of rows from that of the reference rows."""
    reference = context.reference_rate_distortion
    if reference is None or not context.model.posterior.has_density:
        return None
    terms, other = context.rate_distortion.per_datum, reference.per_datum
    if terms is None or other is None or other.shape[1] < context.thresholds.min_rows:
        return None
    return kolmogorov_smirnov_distance(terms.sum(0), other.sum(0))


def kolmogorov_smirnov_distance(a: Tensor, b: Tensor) -> float:
    """Largest difference of two empirical distribution functions, of ``[n]`` and ``[m]`` values.

    >>> kolmogorov_smirnov_distance(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0, 5.0]))
    1.0
    """
    every = torch.cat([a, b]).sort().values
    shares = [
        torch.searchsorted(part.sort().values, every, right=True).double() / len(part)
        for part in (a, b)
    ]
    return (shares[0] - shares[1]).abs().max().item()


def kolmogorov_smirnov_p_value(distance: float, n: int, m: int) -> float:
    """Probability of a distance at least as large for two samples of one distribution.

    Kolmogorov (1933), asymptotic.

    >>> round(kolmogorov_smirnov_p_value(0.1, 500, 500), 4)
    0.0135
    """
    t = distance * math.sqrt(n * m / (n + m))
    if t < 0.2:
        return 1.0
    total = sum((-1) ** (k - 1) * math.exp(-2 * k * k * t * t) for k in range(1, 101))
    return min(1.0, max(0.0, 2 * total))
