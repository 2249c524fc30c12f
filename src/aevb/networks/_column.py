"""The record of a column of a table: what it holds, and how a model sees it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ..types import Configurable

ColumnKind = Literal[
    "continuous",
    "positive",
    "bounded",
    "count",
    "integer",
    "binary",
    "categorical",
    "ordinal",
    "date",
    "spiky",
    "derived",
    "constant",
    "identifier",
]
CellLikelihood = Literal[
    "",
    "normal",
    "student_t",
    "log_normal",
    "beta",
    "negative_binomial",
    "discretised_logistic",
    "ordinal",
    "categorical",
    "bernoulli",
    "spiky",
]
Measure = Literal["density", "probability", "mixed"]
Level = str | float | int | bool

_DERIVED = ("source", "source_levels", "codes")  # fields that derived columns have alone
_DENSITIES = ("normal", "student_t", "log_normal", "beta")


@dataclass(frozen=True)
class Column(Configurable):
    """A column of a table.

    A cell ``x`` is encoded as one number ``y``: ``(x - shift) / scale``; for a positive column
    ``(log x - shift) / scale``; for a bounded one ``(x - low) / (high - low)``; a count as it is;
    a category as its place in ``levels``. A missing cell is NaN.

    Args:
        name: The name of the column.
        kind: What the column holds.
        likelihood: The likelihood of its cells; empty for a column that is set aside.
        dtype: The dtype in the source, as narwhals names it.
        missing: The share of missing cells, from 0 to 1.
        levels: The values of a binary, ordinal or categorical column in the order of their codes;
            the value of a constant column; the values of a derived column.
        shift: See above, in the units of the data; seconds or days since 1970 for dates.
        scale: See above; for a count the mean.
        low: The least value, or the lower bound.
        high: The greatest value, or the upper bound.
        step: The distance between the values of a column on a grid, 1 for whole numbers; 0 for real
            numbers.
        grid: The distance between the values that were seen of real numbers or times, to multiples
            of which generated ones are rounded; 0 where there is none.
        atoms: The repeated values of a spiky column, ascending.
        edges: The edges of the bins of a spiky column, ascending.
        pooled: Rare levels that share the last code of ``levels``.
        pooled_counts: How often each of them occurs.
        unit: The unit of a date: ``"day"`` or ``"second"``.
        format: How dates are written, where they are text: a format of ``strptime``, or ``"iso"``.
        reason: Why the kind was chosen.
        source: The column of which a derived column is a function. Without ``levels`` the
            function is ``shift + scale * source``.
        source_levels: The values of the source for which the function is known; numbers ascend.
        codes: The place in ``levels`` of the value for each of them; -1 for a missing cell.

    Example:
        >>> Column(
        ...     "age", "integer", "discretised_logistic", shift=40.0, scale=12.0, step=1.0
        ... ).measure
        'probability'
    """

    name: str
    kind: ColumnKind
    likelihood: CellLikelihood = ""
    dtype: str = ""
    missing: float = 0.0
    levels: tuple[Level, ...] | None = None
    shift: float = 0.0
    scale: float = 1.0
    low: float | None = None
    high: float | None = None
    step: float = 0.0
    grid: float = 0.0
    atoms: tuple[float, ...] = ()
    edges: tuple[float, ...] = ()
    pooled: tuple[Level, ...] = ()
    pooled_counts: tuple[int, ...] = ()
    unit: Literal["", "day", "second"] = ""
    format: str = ""
    reason: str = ""
    source: str = ""
    source_levels: tuple[Level, ...] = ()
    codes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Make tuples of the lists of a record that was read from JSON."""
        for name in ("levels", "atoms", "edges", "pooled", "pooled_counts", *_DERIVED[1:]):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else tuple(value))
        if not self.source:  # the record of a model has no field that says nothing
            known = {name: x for name, x in self.arguments.items() if name not in _DERIVED}
            object.__setattr__(self, "arguments", known)

    @property
    def modelled(self) -> bool:
        """Whether the column is a cell of the encoded rows."""
        return bool(self.likelihood)

    def to_dict(self) -> dict[str, Any]:
        """Convert the record to JSON types.

        Returns:
            The fields by name; those of derived columns where the column is one.
        """
        record = asdict(self)
        return {name: x for name, x in record.items() if self.source or name not in _DERIVED}

    @property
    def all_levels(self) -> tuple[Level, ...]:
        """The values of a column with levels, each pooled one for itself."""
        levels = self.levels or ()
        return (*levels[:-1], *self.pooled) if self.pooled else levels

    @property
    def measure(self) -> Measure:
        """Whether the cells have a density, a probability, or both (atoms among real numbers)."""
        if self.likelihood in _DENSITIES:
            return "density"
        return "mixed" if self.likelihood == "spiky" and not self.step else "probability"

    @property
    def bounds(self) -> tuple[float, float]:
        """The bounds of a bounded column; 0 and 1 where they are not given."""
        return self.low or 0.0, 1.0 if self.high is None else self.high

    @property
    def n_levels(self) -> int:
        """The number of codes of a binary, ordinal or categorical column, otherwise 0."""
        return 0 if self.levels is None or not self.modelled else len(self.levels)


def atom_cells(column: Column) -> np.ndarray:
    """The encoded atoms of a spiky column, float32 ``[atoms]``, as its cells are."""
    return ((np.array(column.atoms) - column.shift) / column.scale).astype(np.float32)


def joint_measure(columns: Iterable[Column]) -> Measure:
    """Whether rows of these columns have a density, a probability, or both."""
    found: set[Measure] = {column.measure for column in columns}
    return found.pop() if len(found) == 1 else "mixed"
