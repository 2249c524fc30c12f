"""Checks of what the doctor can see, and of columns that a density does not suit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..._registry import register
from ...data._formatting import format_count, format_list
from ...data._mixed_tables import density_cells
from ...data._table_faults import MAX_ROWS, find_dependent_columns, value_notes
from ...networks import Column
from ...notes import Argument, message
from .._unbounded_density import find_unbounded_density
from ._check import CheckRegistration
from ._context import DiagnosticContext, evenly_spaced_rows
from ._diagnosis import CheckResult, Finding


@register(CheckRegistration(name="few_rows", title="Number of rows", order=-4))
def _few_rows(context: DiagnosticContext) -> CheckResult | None:
    """Check whether there are enough rows to judge a model by."""
    least = context.thresholds.min_rows
    value = format_count(len(context.rows), "row")
    if not context.has_few_rows:
        return CheckResult("rows", value)
    finding = Finding(
        "too_few_rows",
        "Too few rows to judge the model",
        f"{value}, and most checks need {least}.",
        "What is wrong with the model cannot be told from chance; that nothing else is found says "
        "little.",
        "Examine more rows: more held-out rows, or the training rows as data.",
    )
    return CheckResult("rows", value, finding)


@register(CheckRegistration(name="columns_seen", title="Columns that the model sees", order=165))
def _columns_seen(context: DiagnosticContext) -> CheckResult | None:
    """Check whether the model sees most columns of its table."""
    spec = context.spec
    if spec is None or spec.columns is None:
        return None
    excluded = [
        name
        for note in spec.notes
        if note.code == "columns_excluded"
        for name in note.data.get("columns", ())
    ]
    seen, total, finding = len(spec.columns), len(spec.columns) + len(excluded), None
    if spec.schema is None and len(excluded) >= context.thresholds.excluded_column_share * total:
        finding = Finding(
            "columns_set_aside",
            "Columns that the model does not see",
            f"{format_count(len(excluded), 'column')} of {total} were set aside when the data were "
            f"read: {format_list(excluded, 8)}.",
            "Neither the model nor the doctor knows what these columns hold.",
            "Write them as numbers where they can be, and train again.",
        )
    numbers = {"columns": float(seen), "excluded": float(len(excluded))}
    return CheckResult("columns that the model sees", f"{seen} of {total}", finding, numbers)


@register(CheckRegistration(name="unbounded_density", title="Density without bound", order=9))
def _unbounded_density(context: DiagnosticContext) -> CheckResult | None:
    """Check for columns whose density grows without bound as the decoder's scale shrinks."""
    if context.model.likelihood.measure == "probability" or context.has_few_rows:
        return None
    found = find_unbounded_density(context.model, context.rows, context.spec)
    names = (*found.repeated, *found.at_floor)
    finding = None
    if found:
        signs = {
            "values repeat, and the decoder's scale is below their distances": found.repeated,
            "the decoder's scale is at its lower bound": found.at_floor,
        }
        parts = [f"{format_list(who, 8)}: {sign}" for sign, who in signs.items() if who]
        finding = Finding(
            "density_unbounded",
            "A density that rests on the least scale",
            f"{'; '.join(parts)}.",
            "The density grows as the scale shrinks, down to the least scale of the model, so that "
            "log p(x) says little, and a longer run looks better.",
            message(
                "Leave these columns out; for counts alone use {counts}, for 0 and 1 alone {bits}.",
                counts=Argument("likelihood", "negative_binomial"),
                bits=Argument("likelihood", "bernoulli"),
            ),
        )
    value = format_count(len(names), "column")
    return CheckResult("density without bound", value, finding, {"columns": float(len(names))})


@register(CheckRegistration(name="dependent_columns", title="Linear dependence", order=11))
def _dependent_columns(context: DiagnosticContext) -> CheckResult | None:
    """Check for equal columns and columns that are exact linear functions of others."""
    table = _density_table(context)
    if table is None:
        return None
    found = find_dependent_columns(*table)
    finding = None
    if found:
        listed = format_list([f"{each.column} = {each.formula}" for each in found], 8)
        finding = Finding(
            "dependent_columns",
            "Exact linear dependence",
            f"{listed}.",
            "A density of such columns has no bound, and they add nothing that is not in the "
            "others.",
            f"Leave out {format_list([each.column for each in found], 8)}.",
        )
    return CheckResult("dependent columns", str(len(found)), finding)


@register(
    CheckRegistration(
        name="column_kinds", title="Counts and few values", order=170, causes=("density_unbounded",)
    )
)
def _column_kinds(context: DiagnosticContext) -> CheckResult | None:
    """Check for counts and for few whole numbers, to which a density gives no probability."""
    table = _density_table(context)
    if table is None or (context.spec is not None and context.spec.schema is not None):
        return None  # a schema has chosen a likelihood for each column
    notes = value_notes(*table)
    names = [name for note in notes for name in note.data["columns"]]
    finding = None
    if notes:
        finding = Finding(
            notes[0].code,
            "A density of whole numbers",
            notes[0].message,
            "log p(x) is a density at values that repeat: it is not comparable with a probability, "
            "and has no bound.",
            message(
                "For counts use {preset}; for 0 and 1 alone {bits}; leave few-valued columns out "
                "of a density.",
                preset=Argument("preset", "count_vae"),
                bits=Argument("likelihood", "bernoulli"),
            ),
        )
    value = format_count(len(names), "column")
    return CheckResult("columns of whole numbers under a density", value, finding)


def _density_table(context: DiagnosticContext) -> tuple[Any, list[str]] | None:
    """Rows of a table under a density, in data units, with the names of their columns."""
    shape = context.model.event_shape
    if context.model.likelihood.measure == "probability" or context.has_few_rows or len(shape) != 1:
        return None
    rows = evenly_spaced_rows(context.fitted_rows, MAX_ROWS)
    table = rows.tensor().double().cpu().numpy()
    if context.spec is not None and context.spec.schema is not None:
        return _mixed_density_table(table, context.spec.schema.modelled)
    if np.isnan(table).any():
        return None
    names = context.spec and context.spec.columns
    return table, list(names or (f"column {i + 1}" for i in range(shape[0])))


def _mixed_density_table(
    cells: np.ndarray, columns: Sequence[Column]
) -> tuple[np.ndarray, list[str]] | None:
    """The complete rows of the columns of real numbers of a table, in data units."""
    table, names = density_cells(cells, columns)
    return (table, names) if table.size else None
