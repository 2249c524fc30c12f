"""What may be wrong with the data: rows on both sides of the split, rows that follow one another, rows of another distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...data._fingerprints import find_duplicates, row_hashes, same_storage
from ...data._formatting import format_count, format_list
from ...data._temporal_order import measure_temporal_order
from ._context import DiagnosticContext
from ._diagnosis import CheckResult, Finding

DUPLICATE_SHARE_THRESHOLD = (
    0.01  # of the rows that stand in the training rows, too, from which it matters
)
DRIFT_P_VALUE = 1e-3  # p-value of a drift test
ELBO_DISTANCE_THRESHOLD = (
    0.3  # distance of two distributions of the ELBO from which a difference matters
)
MAX_TESTED_COLUMNS = 1024  # columns up to which each is tested


def duplicate_rows(diagnostics: DiagnosticContext) -> CheckResult | None:
    """Rows that are training rows, too, more often than training rows are each other's copies."""
    rows, train = diagnostics.all_rows
    if train is None:
        return None
    known = row_hashes(train, same_storage(rows, train))
    across = find_duplicates(rows, train).double().mean().item()
    _, repeats = known.unique(return_counts=True)
    within = (repeats[repeats > 1].sum() / len(known)).item()
    finding = None
    # of independent rows as many are among the others as repeat themselves there
    if across - within > max(
        DUPLICATE_SHARE_THRESHOLD, 4 * math.sqrt(within * (1 - within) / len(rows))
    ):
        finding = Finding(
            "Rows on both sides of the split",
            f"{across:.1%} of the {len(rows):,} rows are training rows, too; {within:.1%} of the training rows are there more than once.",
            "Their numbers are those of rows that the model has seen, and too good.",
            "Keep all copies of a row on one side: remove them before the split, or from the rows that are measured.",
        )
    return CheckResult(
        "rows that are training rows, too",
        f"{across:.1%}",
        finding,
        {"copies": across, "repeats": within},
    )


def row_order(diagnostics: DiagnosticContext) -> CheckResult | None:
    """Whether rows that follow one another are alike, as the frames of a film are: when they were read, or as they are given."""
    rows = diagnostics.all_rows[0]
    torn = None if diagnostics.spec is None else diagnostics.spec.temporal_order
    if torn is not None:
        finding = Finding(
            "A film, split at random",
            f"As they were read, rows that follow one another differ {torn:.2f} times as much as any two.",
            "They are no independent draws, and held-out rows have near-copies among the training rows: their numbers are too good.",
            'Split by time, order="time".',
        )
        return CheckResult(
            "difference of neighbours, as read",
            f"{torn:.2f} times that of any two",
            finding,
            {"succession": torn},
        )
    found = measure_temporal_order(len(rows), lambda index: rows[index].cpu().numpy())
    if found is None:
        return None
    finding = None
    if found.is_ordered:
        finding = Finding(
            "Rows in order of time",
            f"Rows that follow one another differ {found.von_neumann_ratio:.2f} times as much as any two rows, and the nearer the less.",
            "They are no independent draws: there are fewer of them than it seems, and standard errors are too small.",
            "Read error bars as lower ends, or measure every tenth row.",
        )
    return CheckResult(
        "difference of neighbouring rows",
        f"{found.von_neumann_ratio:.2f} times that of any two",
        finding,
        {"succession": found.von_neumann_ratio},
    )


def distribution_drift(diagnostics: DiagnosticContext) -> CheckResult | None:
    """Kolmogorov-Smirnov tests of training rows against these, of every latent variable and every column, each by Bonferroni.

    And of the ELBO of single rows against that of other held-out rows: training rows are better known than any, so that against those
    a distance would say no more than that.
    """
    train = diagnostics.train
    if train is None or min(len(diagnostics.rows), len(train)) < 20:
        return None
    sizes = len(diagnostics.rows), len(train)
    codes = _largest_column_drift(
        _latent_columns(diagnostics.posterior_means),
        _latent_columns(diagnostics.train_posterior_means),
        sizes,
    )
    cells = _largest_column_drift(
        _table_columns(diagnostics), _table_columns(diagnostics, training=True), sizes
    )
    signs, numbers = [], {}
    if cells is not None:
        numbers["columns_p"] = cells.p_value
    if cells is not None and cells.p_value < DRIFT_P_VALUE:
        signs.append(
            f"values of {_column_names(diagnostics, cells.columns)} are not distributed as in the training rows, p = {cells.p_value:.1g}"
        )
    if codes is not None:
        numbers["codes_p"] = codes.p_value
    if codes is not None and codes.p_value < DRIFT_P_VALUE:
        signs.append(
            f"nor are codes, least in latent variable {codes.columns[0] + 1}"
            if signs
            else _latent_drift_text(codes)
        )
    apart = _elbo_distance(diagnostics)
    if apart is not None:
        numbers["elbo_distance"] = apart
        if (
            apart > ELBO_DISTANCE_THRESHOLD
            and kolmogorov_smirnov_p_value(
                apart, len(diagnostics.rows), len(diagnostics.reference or ())
            )
            < DRIFT_P_VALUE
        ):
            signs.append(
                f"the distributions of their ELBO and of that of other held-out rows are {apart:.2f} apart, where 1 is the most"
            )
    finding = None
    if signs:
        finding = Finding(
            "Drift",
            f"{format_count(len(diagnostics.rows), 'row')}: {'; '.join(signs)}.",
            "The rows come from another distribution than the one that was learnt; no number of the model holds for them.",
            "Find out what changed between the two sets; train on rows like these, too, if they are to stay.",
        )
    said = [
        f"{name} p = {found.p_value:.2g}"
        for name, found in (("codes", codes), ("columns", cells))
        if found is not None
    ]
    said += [] if apart is None else [f"ELBO {apart:.2f} apart"]
    return (
        CheckResult("drift from the training rows", ", ".join(said), finding, numbers)
        if said
        else None
    )


@dataclass(frozen=True)
class ColumnDrift:
    """The columns that are furthest apart."""

    p_value: float  # of the furthest, corrected for the number of columns
    columns: list[int]  # those that are suspicious each by itself, the furthest first; at least one


def _largest_column_drift(
    columns: Sequence[Tensor], train_columns: Sequence[Tensor], sizes: tuple[int, int]
) -> ColumnDrift | None:
    if not columns:
        return None
    distances = [
        kolmogorov_smirnov_distance(a, b) for a, b in zip(columns, train_columns, strict=True)
    ]
    ranked = sorted(range(len(distances)), key=lambda place: -distances[place])
    p = [
        min(1.0, len(distances) * kolmogorov_smirnov_p_value(distances[place], *sizes))
        for place in ranked
    ]
    return ColumnDrift(
        p[0],
        [place for place, each in zip(ranked, p, strict=True) if each < DRIFT_P_VALUE]
        or ranked[:1],
    )


def _latent_drift_text(drift: ColumnDrift) -> str:
    return f"p = {drift.p_value:.1g} that their codes are distributed as those of the training rows, least in latent variable {drift.columns[0] + 1}"


def _column_names(diagnostics: DiagnosticContext, columns: Sequence[int]) -> str:
    """The columns by name."""
    names = None if diagnostics.spec is None else diagnostics.spec.columns
    return format_list(
        [names[place] if names else f"column {place + 1}" for place in columns], limit=3
    )


def _latent_columns(z: Tensor | None) -> Sequence[Tensor]:
    """The values of each latent variable, ``[N]``."""
    return () if z is None else z.flatten(1).T.unbind()


def _table_columns(diagnostics: DiagnosticContext, training: bool = False) -> Sequence[Tensor]:
    """The values of each column of a table, ``[N]``; nothing of images, whose pixels are no columns, and of tables with empty cells."""
    shape = diagnostics.model.event_shape
    if len(shape) != 1 or shape[0] > MAX_TESTED_COLUMNS:
        return ()
    both = [
        diagnostics.batch(len(part), part).x for part in (diagnostics.rows, diagnostics.fitted_rows)
    ]
    return () if any(bool(part.isnan().any()) for part in both) else both[training].cpu().T.unbind()


def _elbo_distance(diagnostics: DiagnosticContext) -> float | None:
    """The Kolmogorov-Smirnov distance of the ELBO of single rows; ``None`` where there is no ELBO, or nothing to hold it against."""
    here, there = (
        diagnostics.rate_distortion.per_datum,
        None
        if diagnostics.reference_rate_distortion is None
        else diagnostics.reference_rate_distortion.per_datum,
    )
    if (
        here is None
        or there is None
        or not diagnostics.model.posterior.has_density
        or there.shape[1] < 20
    ):
        return None
    return kolmogorov_smirnov_distance(here.sum(0), there.sum(0))


def kolmogorov_smirnov_distance(a: Tensor, b: Tensor) -> float:
    """The largest difference between two empirical distribution functions, of ``[n]`` and ``[m]`` values.

    >>> kolmogorov(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0, 5.0]))
    1.0
    """
    every = torch.cat([a, b]).sort().values
    share = [
        torch.searchsorted(part.sort().values, every, right=True).double() / len(part)
        for part in (a, b)
    ]
    return (share[0] - share[1]).abs().max().item()


def kolmogorov_smirnov_p_value(distance: float, n: int, m: int) -> float:
    """The probability of a distance at least as large where both samples are from one distribution; Kolmogorov (1933), asymptotic.

    >>> round(kolmogorov_smirnov_p_value(0.1, 500, 500), 4)
    0.0135
    """
    t = distance * math.sqrt(n * m / (n + m))
    if t < 0.2:
        return 1.0
    return min(
        1.0,
        max(0.0, 2 * sum((-1) ** (k - 1) * math.exp(-2 * k * k * t * t) for k in range(1, 101))),
    )
