"""Faults of a table that are known before training: repeated rows, dependent columns, counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..networks._column import Measure
from ..notes import Argument, Level, Note, message
from ._formatting import format_count, format_list
from ._raw import RawData

MAX_ROWS, MAX_ELEMENTS = 4096, 1 << 21  # that are examined, evenly spaced
MAX_DEPENDENT_COLUMNS = 256  # a table with more is not examined for dependence
MIN_DISTINCT_SHARE = 0.5
MAX_RESIDUAL = 1e-4  # of a dependent column, in standard deviations: sums that were rounded pass
MAX_FEW_VALUES = 10
MIN_ROWS_PER_VALUE = 5
MIN_ZERO_SHARE, MIN_SKEWNESS = 0.01, 0.5  # of counts


@dataclass(frozen=True)
class DependentColumn:
    """A column that is an exact linear function of others.

    Args:
        column: The name of the column.
        formula: The function, as ``"a + b"``; the name of the other column where both are equal.
        equal: Whether it equals another column.
    """

    column: str
    formula: str
    equal: bool


def find_table_faults(raw: RawData, measure: Measure, requested: bool) -> tuple[Note, ...]:
    """Notes about repeated rows, and about columns that a density does not suit.

    Args:
        raw: The data in canonical form.
        measure: Whether the likelihood gives a density or a probability.
        requested: Whether the user chose the likelihood.
    """
    if raw.packed_shape:
        return ()
    values = raw.values
    count = min(len(values), MAX_ROWS, max(20, MAX_ELEMENTS // math.prod(values.shape[1:])))
    rows = np.asarray(values[np.unique(np.linspace(0, len(values) - 1, count).astype(int))])
    notes = repeated_row_notes(rows, len(values), "info" if measure == "probability" else "warning")
    if rows.ndim != 2 or measure == "probability":
        return notes
    table = rows + np.array(raw.offset or (0.0,))
    names = raw.columns or tuple(f"column {i}" for i in range(table.shape[1]))
    return (*notes, *dependence_notes(table, names), *value_notes(table, names, requested))


def repeated_row_notes(rows: np.ndarray, total: int, level: Level = "warning") -> tuple[Note, ...]:
    """The note that few rows are distinct.

    >>> [note.code for note in repeated_row_notes(np.zeros((30, 2)), 30)]
    ['repeated_rows']
    """
    flat = np.ascontiguousarray(rows.reshape(len(rows), -1)) + 0  # -0.0 becomes 0.0
    distinct = len(np.unique(flat.view(np.dtype((np.void, flat[0].nbytes)))))
    if len(rows) < 20 or distinct >= MIN_DISTINCT_SHARE * len(rows):
        return ()
    seen = "" if total == len(rows) else f" (of {total:,}, evenly spaced)"
    text = (
        f"Only {distinct:,} of {format_count(len(rows), 'row')}{seen} are distinct: held-out rows "
        "are copies of training rows, and their numbers are those of rows that the model has seen."
    )
    return (Note("repeated_rows", text, level, {"distinct": distinct, "rows": len(rows)}),)


def dependence_notes(table: np.ndarray, names: Sequence[str]) -> tuple[Note, ...]:
    """The note about equal columns and exact linear dependence.

    >>> x = np.random.default_rng(0).normal(size=(50, 2))
    >>> (note,) = dependence_notes(np.c_[x, x.sum(1)], ["a", "b", "total"])
    >>> note.data["columns"]
    {'total': 'a + b'}
    """
    found = find_dependent_columns(table, names)
    if not found:
        return ()
    listed = format_list([f"{each.column} = {each.formula}" for each in found], 8)
    text = (
        f"Exact linear dependence: {listed}. A density of such columns has no bound, and they add "
        "nothing: leave them out."
    )
    columns = {each.column: each.formula for each in found}
    equal = [each.column for each in found if each.equal]
    return (Note("dependent_columns", text, "warning", {"columns": columns, "equal": equal}),)


def find_dependent_columns(table: np.ndarray, names: Sequence[str]) -> list[DependentColumn]:
    """Columns that are exact linear functions of the columns before them, each with its formula."""
    if table.shape[1] > MAX_DEPENDENT_COLUMNS:
        return []
    x = table.astype(np.float64)
    deviation = x.std(0)
    varies = deviation > 1e-9 * np.abs(x).max(0, initial=1e-300)
    size = int(varies.sum())
    if len(x) < size + 10:
        return []
    unit = np.where(varies, deviation, 1.0)
    standard = (x - x.mean(0)) / unit
    correlation = standard[:, varies].T @ standard[:, varies] / len(x)
    # a residual variance is at least the least eigenvalue
    if not size or np.linalg.eigvalsh(correlation)[0] > MAX_RESIDUAL**2:
        return []
    basis = np.empty((len(x), 0))
    independent: list[int] = []
    found = []
    for column in np.flatnonzero(varies):
        rest = standard[:, column]
        for _ in range(2):  # twice: the first projection leaves rounding
            rest = rest - basis @ (basis.T @ rest)
        if np.sqrt(np.mean(rest**2)) > MAX_RESIDUAL:
            basis = np.c_[basis, rest / np.linalg.norm(rest)]
            independent.append(int(column))
            continue
        share = np.linalg.lstsq(standard[:, independent], standard[:, column], rcond=None)[0]
        terms = {
            i: float(a * unit[column] / unit[i])
            for i, a in zip(independent, share, strict=True)
            if abs(a) > MAX_RESIDUAL
        }
        offset = float(x[:, column].mean() - sum(a * x[:, i].mean() for i, a in terms.items()))
        offset = offset if abs(offset) > 1e-3 * unit[column] else 0.0
        found.append(_describe_dependence(names, int(column), terms, offset))
    return found


def _describe_dependence(
    names: Sequence[str], column: int, terms: dict[int, float], offset: float
) -> DependentColumn:
    """The formula of a dependent column."""
    rounded = {names[i]: round(a, 3) if abs(a - round(a)) < 1e-3 else a for i, a in terms.items()}
    parts = [
        (a, name if abs(a) == 1 else f"{abs(a):.4g} {name}")
        for name, a in ((name, float(a)) for name, a in rounded.items())
    ]
    parts += [(offset, f"{abs(offset):.4g}")] if offset else []
    text = " ".join(f"{'-' if a < 0 else '+'} {part}" for a, part in parts)
    text = text.removeprefix("+ ")
    equal = len(parts) == 1 and text in names
    return DependentColumn(names[column], text, equal)


def value_notes(
    table: np.ndarray, names: Sequence[str], requested: bool = False
) -> tuple[Note, ...]:
    """Notes about columns that a density does not suit: counts, and few whole numbers."""
    whole = (table == np.rint(table)).all(0)
    n_values = np.array([len(np.unique(column)) for column in table.T])
    enough = n_values * MIN_ROWS_PER_VALUE <= len(table)
    few = whole & (n_values > 1) & (n_values <= MAX_FEW_VALUES) & enough
    counts = np.array([not requested and _looks_like_counts(column) for column in table.T])
    found = [
        {names[i]: int(n_values[i]) for i in np.flatnonzero(mask).tolist()}
        for mask in (counts, few & ~counts)
    ]
    all_counts = bool(whole.all() and table.min() >= 0 and 2 * counts.sum() >= (n_values > 1).sum())
    return (
        *((_count_note(found[0], all_counts),) if found[0] else ()),
        *((_few_values_note(found[1]),) if found[1] and not (all_counts and found[0]) else ()),
    )


def _looks_like_counts(x: np.ndarray) -> bool:
    """Whether values are whole numbers from 0 with zeros and a long tail, and not grey levels."""
    if x.min() != 0 or not 1 < x.max() != 255 or (x != np.rint(x)).any():
        return False
    skewness = np.mean(((x - x.mean()) / x.std()) ** 3)
    return bool((x == 0).mean() >= MIN_ZERO_SHARE and skewness > MIN_SKEWNESS)


def _count_note(columns: dict[str, int], all_counts: bool) -> Note:
    """What fits counts."""
    advice = (
        "write {preset} or {likelihood}, which give them probabilities."
        if all_counts
        else "one likelihood serves all columns, and a density gives counts no probability; fit "
        "them alone, with {preset}."
    )
    text = message(
        "Whole numbers from 0 with zeros and a long tail, as counts have: {columns}; " + advice,
        columns=format_list(columns, 8),
        preset=Argument("preset", "count_vae"),
        likelihood=Argument("likelihood", "negative_binomial"),
    )
    return Note("counts", text, "warning", {"columns": list(columns), "all": all_counts})


def _few_values_note(columns: dict[str, int]) -> Note:
    """What is wrong with a density of few whole numbers, and what to do."""
    text = message(
        "These columns hold few different whole numbers, to which a density gives no probability, "
        "so that log p(x) has no bound: {columns}; leave them out, or use them as {condition}; fit "
        "columns of 0 and 1 alone with {likelihood}.",
        columns=format_list((f"{name} ({n} values)" for name, n in columns.items()), 8),
        condition=Argument("condition", next(iter(columns))),
        likelihood=Argument("likelihood", "bernoulli"),
    )
    return Note("few_values", text, "warning", {"columns": columns})
