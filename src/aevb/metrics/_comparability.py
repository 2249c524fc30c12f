"""Whether the numbers of two models measure the same thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..data import Schema, Spec
from ..data._formatting import format_list
from ..errors import IncompatibleError
from ..models import VAE
from ..networks._column import Column, Measure


@dataclass(frozen=True)
class ComparabilityKey:
    """Properties that two models must share for their numbers to be comparable.

    Args:
        has_elbo: Whether there is an ELBO.
        measure: Whether rows have a density, a probability, or both.
        event_shape: The shape of a row; of a table, the number of its columns.
        condition_names: The variables that ``p(x)`` is conditioned on.
        data_name: Name of the data in messages.
        binarisation: How grey values became 0 or 1.
        columns: Names of the columns of a table.
        rows_fingerprint: Fingerprint of all rows; ``None`` for rows from elsewhere.
        schema: What the columns of a table of mixed columns hold.
    """

    has_elbo: bool
    measure: Measure
    event_shape: tuple[int, ...]
    condition_names: tuple[str, ...] = ()
    data_name: str | None = field(default=None, compare=False)
    binarisation: str | None = None
    columns: tuple[str, ...] | None = None
    rows_fingerprint: str | None = None
    schema: Schema | None = field(default=None, compare=False)

    @staticmethod
    def from_model(
        model: VAE, spec: Spec | None = None, rows_fingerprint: str | None = None
    ) -> ComparabilityKey:
        """The key of a model and of the data that it was trained on."""
        condition = model.condition
        required = condition is not None and not condition.is_optional
        key = ComparabilityKey(
            model.posterior.has_density,
            model.likelihood.measure,
            tuple(model.event_shape),
            tuple(variable.name for variable in condition.variables)
            if condition is not None and required
            else (),
            rows_fingerprint=rows_fingerprint,
        )
        if spec is None:
            return key
        columns, shape = spec.columns, key.event_shape
        if spec.schema is not None:  # what follows from another column adds 0 to log p(x)
            columns = tuple(column.name for column in _measured(spec.schema))
            shape = (len(columns),)
        return replace(
            key,
            event_shape=shape,
            data_name=spec.name,
            binarisation=spec.binarisation,
            columns=columns,
            schema=spec.schema,
        )

    def reason_incomparable(self, other: ComparabilityKey) -> str | None:
        """Why ``other`` cannot be compared with this model, as a predicate; ``None`` if it can.

        >>> pixels = ComparabilityKey(True, "probability", (8, 8))
        >>> pixels.reason_incomparable(ComparabilityKey(True, "density", (8, 8)))
        'gives densities, and the others probabilities'
        """
        if other.event_shape != self.event_shape:
            return f"has events of shape {other.event_shape}, and the others {self.event_shape}"
        if other.columns != self.columns:
            return f"has other columns ({_column_list(other)}; the others: {_column_list(self)})"
        if other.binarisation != self.binarisation:
            return (
                f"has another binarisation ({other.binarisation or 'none'}; "
                f"the others: {self.binarisation or 'none'})"
            )
        if other.rows_fingerprint != self.rows_fingerprint:
            names = (
                f"{other.data_name}; the others: {self.data_name}"
                if other.data_name != self.data_name
                else f"{self.data_name} with other rows"
            )
            return f"has other data ({names})"
        if other.has_elbo != self.has_elbo:
            return (
                "is an autoencoder, which has no likelihood"
                if self.has_elbo
                else "has a likelihood, and the others are autoencoders"
            )
        if reason := _column_difference(self.schema, other.schema):
            return reason
        if other.measure != self.measure:
            return f"gives {_MEASURES[other.measure]}, and the others {_MEASURES[self.measure]}"
        if other.condition_names != self.condition_names:
            return (
                f"models p(x){_given_clause(other.condition_names)}, "
                f"and the others p(x){_given_clause(self.condition_names)}"
            )
        return None


def check_comparable(keys: Mapping[str, ComparabilityKey]) -> None:
    """Raise ``IncompatibleError`` where numbers measure different things."""
    (first, key), *others = keys.items()
    for name, other in others:
        if reason := key.reason_incomparable(other):
            raise IncompatibleError(
                f"`{name}` cannot be compared with `{first}`: it {reason}",
                argument="models",
                suggestions=("Leave one of them out",),
            )


_MEASURES: dict[Measure, str] = {
    "density": "densities",
    "probability": "probabilities",
    "mixed": "densities and probabilities",
}


def _measured(schema: Schema) -> tuple[Column, ...]:
    """The columns whose probability or density is known, in the order of the source."""
    return tuple(column for column in schema.columns if column.modelled or column.source)


def _column_difference(own: Schema | None, others: Schema | None) -> str | None:
    """The first column whose numbers are of another measure, with its two kinds."""
    if own is None or others is None:
        return None
    known = {column.name: column for column in _measured(own)}
    for column in _measured(others):
        before = known.get(column.name, column)
        if before.measure != column.measure:
            return (
                f"gives {_MEASURES[column.measure]} for the column `{column.name}` "
                f"({column.kind}), and the others {_MEASURES[before.measure]} ({before.kind})"
            )
    return None


def _column_list(key: ComparabilityKey) -> str:
    """The columns by name."""
    return format_list(key.columns) if key.columns else "none named"


def _given_clause(names: Sequence[str]) -> str:
    """The variables behind "p(x)"."""
    return f" given {format_list(names)}" if names else ""
